"""The memory of a training step, estimated from the shape of the model and the settings.

| part        | content                                                                         |
|-------------|---------------------------------------------------------------------------------|
| weights, gradients, moments | by kind of optimizer, split evenly over the ranks   |
| casts       | bf16 copies of fp32 weights that autocast keeps until the backward pass          |
| gathered    | with several ranks: two whole layers, the other weights, and their gradients     |
| activations | kept by the decoder layers of one micro-batch for the backward pass              |
| loss        | logits of a chunk, fp32 gradient of the head, gradient of the hidden states      |
| workspace   | gradients of a layer while they are computed, libraries, allocator overhead      |

Activations per token and layer are sums over the widths of the residual stream (E), queries (A),
keys (K) and the feed-forward part (I), with the bytes in `KEPT`. They are measured in Llama's
layers (`saved_tensors_hooks`), to 0.5%. For Llama 3 8B in bf16, a row of 2,048 tokens keeps
12.3 GiB eagerly and 8.5 GiB compiled, and 0.125 GiB if all layers are recomputed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from steep.core.formatting import GIB, gib
from steep.training.adamw import SMALLEST_BLOCK
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.loss import CHUNK_POSITIONS
from steep.training.model_dims import ModelShape, ParameterShape
from steep.training.quantize import block_columns

_block_columns = cache(block_columns)  # a model has few widths, and many parameters of each width


class Kept(NamedTuple):
    """Bytes that a layer keeps per token and unit of each width."""

    hidden: int
    attention: int
    intermediate: int


# By precision and compilation. Eager in bf16: two norms keep their input in fp32, the normalized
# input and their output (2 x 8); attention keeps q, k, v and its output (2 each); the feed-forward
# part keeps gate, up, SiLU(gate) and the product (4 x 2). Compiled layers recompute the cheap ones.
# "autocast" is bf16 products of fp32 weights: each product keeps a copy of its input.
KEPT = {
    ("float32", "none"): Kept(24, 8, 16),
    ("float32", "layers"): Kept(16, 8, 12),
    ("bfloat16", "none"): Kept(16, 4, 8),
    ("bfloat16", "layers"): Kept(8, 4, 6),
    ("autocast", "none"): Kept(26, 4, 8),
    ("autocast", "layers"): Kept(10, 4, 6),
}

# 4-byte copies of one parameter during an eager 8-bit update (measured on a processor: 17 to 32); a
# compiled update has none, nor has torch's fused AdamW.
EAGER_UPDATE_COPIES = 32
LIBRARIES = GIB // 4  # loaded late, and the allocator's own
WASTE = 0.03  # of everything else: allocators round up


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak memory of one rank by part, and the sizes of what the run writes.

    Attributes:
        parts: Bytes by part; the sum is `total`.
        available: Free bytes of the device; None if unknown.
        checkpoint_bytes: Bytes of one checkpoint, over all ranks.
        export_bytes: Bytes of the trained model.
    """

    parts: dict[str, int]
    available: int | None
    checkpoint_bytes: int
    export_bytes: int

    @property
    def total(self) -> int:
        """Return the sum of the parts."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Return False if the available memory is known to be too small."""
        return self.available is None or self.total <= self.available

    def line(self) -> str:
        """Return the estimate as one line of text."""
        parts = sorted(self.parts.items(), key=lambda part: -part[1])
        listed = " + ".join(f"{name} {gib(size)}" for name, size in parts if size)
        there = "" if self.available is None else f" of {gib(self.available)}"
        return f"memory: about {gib(self.total)}{there} = {listed}"


def estimate_memory(
    shape: ModelShape,
    settings: OptimizationConfig,
    ranks: int = 1,
    available: int | None = None,
) -> MemoryEstimate:
    """Estimate the peak memory of a step on one rank.

    Args:
        shape: Shape of the model, see `model_dims.shape_of`.
        settings: The settings of the run, without `auto` values.
        ranks: Number of ranks that share the model and the batch.
        available: Free bytes of the device, if known.
    """
    states = _states(shape, settings.optimizer)
    untrained = shape.parameter_count - shape.trained_count
    frozen = untrained * weight_bytes(settings.optimizer)
    checkpoint = sum(states.values()) - states["gradients"] - frozen
    split = {name: math.ceil(size / ranks) for name, size in states.items()}
    forward = split | _working(shape, settings, ranks)
    update = split | {"update": _update(shape, settings) // ranks}
    highest = max((forward, update), key=lambda parts: sum(parts.values()))
    overhead = LIBRARIES + int(WASTE * sum(highest.values()))
    highest = highest | {"workspace": highest.get("workspace", 0) + overhead}
    export = shape.parameter_count * weight_bytes(settings.optimizer)
    return MemoryEstimate(highest, available, checkpoint, export)


def weight_bytes(kind: OptimizerName) -> int:
    """Return the bytes of a weight, and of its gradient."""
    return 4 if kind == "adamw" else 2


def _states(shape: ModelShape, kind: OptimizerName) -> dict[str, int]:
    """Return the bytes that stay from step to step, over all ranks."""
    weight, trained = weight_bytes(kind), shape.trained_count
    return {
        "weights": weight * shape.parameter_count,
        "gradients": weight * trained,
        "moments": sum(_moments(each, kind) for each in shape.parameters if each.trained),
    }


def _moments(parameter: ParameterShape, kind: OptimizerName) -> int:
    block = _block_columns(math.prod(parameter.size[1:]))
    if kind == "adamw" or len(parameter.size) < 2 or block < SMALLEST_BLOCK:
        return 8 * parameter.numbers
    return 2 * parameter.numbers + 2 * 4 * (parameter.numbers // block)


def _working(shape: ModelShape, settings: OptimizationConfig, ranks: int) -> dict[str, int]:
    """Return the bytes of a forward and backward pass beside the states."""
    rank_sequences = math.ceil(settings.batch_sequences / ranks)
    tokens = min(settings.micro_batch_sequences, rank_sequences) * settings.context_tokens
    autocast = _precision(settings, ranks) == "autocast"
    one_layer = tokens * _layer_bytes(shape, settings, ranks)
    return {
        "casts": 2 * shape.layer_parameters if autocast else 0,
        "gathered": _gathered(shape, settings) if ranks > 1 else 0,
        "activations": tokens * _activations(shape, settings, ranks),
        "loss": _loss(shape, settings, tokens),
        "workspace": one_layer,
    }


def _precision(settings: OptimizationConfig, ranks: int) -> str:
    mixed = settings.optimizer == "adamw" and settings.compute == "bfloat16"
    return "autocast" if mixed and ranks == 1 else settings.compute  # several: FSDP casts


def _layer_bytes(shape: ModelShape, settings: OptimizationConfig, ranks: int) -> int:
    kept = KEPT[_precision(settings, ranks), settings.compile]
    attention = 2 * shape.queries + 2 * shape.keys
    return (
        kept.hidden * shape.hidden
        + kept.attention * attention // 2
        + kept.intermediate * shape.intermediate
    )


def _activations(shape: ModelShape, settings: OptimizationConfig, ranks: int) -> int:
    """Return the bytes per token that all layers and the last norm keep."""
    every, layer = settings.recompute_every, _layer_bytes(shape, settings, ranks)
    recomputed = math.ceil(shape.layers / every) if every else 0
    residual = (2 if _precision(settings, ranks) == "bfloat16" else 4) * shape.hidden
    last_norm = 3 * residual
    return (shape.layers - recomputed) * layer + recomputed * residual + last_norm


def _loss(shape: ModelShape, settings: OptimizationConfig, tokens: int) -> int:
    product = 2 if settings.compute == "bfloat16" else 4
    head = shape.vocabulary * shape.hidden
    fp32_copies = 1 if settings.compile == "layers" else 3
    chunk = min(tokens, CHUNK_POSITIONS) * shape.vocabulary * (2 * product + 4 * fp32_copies)
    rounded = weight_bytes(settings.optimizer) * head if settings.optimizer != "adamw" else 0
    hidden = tokens * shape.hidden * 2 * product
    return 4 * head + max(chunk, rounded) + hidden


def _gathered(shape: ModelShape, settings: OptimizationConfig) -> int:
    product = 2 if settings.compute == "bfloat16" else 4
    layer = shape.layer_parameters // max(1, shape.layers)
    rest = shape.parameter_count - shape.layer_parameters
    return product * (2 * layer + rest) + (product + 4) * max(layer, rest)


def _update(shape: ModelShape, settings: OptimizationConfig) -> int:
    if settings.optimizer == "adamw" or settings.compile == "layers":
        return 0
    largest = max(each.numbers for each in shape.parameters if each.trained)
    return EAGER_UPDATE_COPIES * 4 * largest
