"""Does a run fit into memory and onto the disk? Checked before anything is loaded.

The memory of a step is estimated from the shape of the model, which needs only its configuration:

| part        | content                                                                         |
|-------------|---------------------------------------------------------------------------------|
| weights, gradients, moments | by kind of optimizer, split evenly over the ranks   |
| casts       | bf16 copies of fp32 weights that eager autocast keeps until the backward pass    |
| gathered    | with several ranks: two whole layers, the other weights, and their gradients     |
| activations | kept by the decoder layers of one micro-batch for the backward pass              |
| loss        | logits of a chunk, fp32 gradient of the head, gradient of the hidden states      |
| workspace   | gradients of a layer or copies of an update, libraries, allocator overhead       |

For Llama 3 8B in bf16, a row of 2,048 tokens keeps 12.3 GiB eagerly and 5.8 GiB compiled, and
0.125 GiB if all layers are recomputed.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple

import torch

from steep.core.errors import UserError
from steep.core.formatting import GIB, gib
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.loading import load_model_config
from steep.training.loss import chunk_positions
from steep.training.model_dims import ModelShape, ParameterShape, empty_model, shape_of
from steep.training.optimizers import SMALLEST_BLOCK
from steep.training.parallel import World
from steep.training.quantize import block_columns

log = logging.getLogger("steep")

CGROUPS = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")

_block_columns = cache(block_columns)  # a model has few widths, and many parameters of each width


class Kept(NamedTuple):
    """Bytes that a layer keeps per token and unit of each width."""

    hidden: int
    attention: int  # queries and keys
    intermediate: int


# By precision and compilation, measured in Llama's layers (`saved_tensors_hooks`) to 0.5%. Eager in
# bf16: two norms keep their input in fp32, the normalized input and their output (2 x 8); attention
# keeps q, k, v and its output (2 each); the feed-forward part keeps gate, up, SiLU(gate) and the
# product (4 x 2). Compiled layers keep their input, what attention reads and writes, gate and up,
# and recompute the rest (`prepare.MEMORY_BUDGET`). "autocast" is bf16 products of fp32 weights:
# eagerly, each product keeps a copy of its input.
KEPT = {
    ("float32", "none"): Kept(24, 8, 16),
    ("float32", "layers"): Kept(8, 8, 8),
    ("bfloat16", "none"): Kept(16, 4, 8),
    ("bfloat16", "layers"): Kept(4, 4, 4),
    ("autocast", "none"): Kept(26, 4, 8),
    ("autocast", "layers"): Kept(4, 4, 4),
}

# 4-byte copies of one parameter during an eager 8-bit update (measured on a processor: 17 to 32); a
# compiled update has none, nor has torch's fused AdamW.
EAGER_UPDATE_COPIES = 32
LIBRARIES = GIB // 4  # loaded late, and the allocator's own
WASTE = 0.03  # of everything else: allocators round up


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak memory of one rank by part, and the sizes of what the run writes."""

    parts: dict[str, int]  # bytes by part; the sum is `total`
    available: int | None  # free bytes of the device; None if unknown
    checkpoint_bytes: int  # bytes of one checkpoint, over all ranks
    export_bytes: int  # bytes of the trained model

    @property
    def total(self) -> int:
        """Return the sum of the parts."""
        return sum(self.parts.values())

    def line(self) -> str:
        """Return the estimate as one line of text."""
        parts = sorted(self.parts.items(), key=lambda part: -part[1])
        listed = " + ".join(f"{name} {gib(size)}" for name, size in parts if size)
        there = "" if self.available is None else f" of {gib(self.available)}"
        return f"memory: about {gib(self.total)}{there} = {listed}"

    def disk_bytes(self, keep_checkpoints: int) -> int:
        """Return the most bytes on disk; one checkpoint is written beside those kept."""
        written = keep_checkpoints + 1 if keep_checkpoints else 0
        return self.checkpoint_bytes * written + self.export_bytes

    def host_bytes(self, ranks: int, on_machine: int) -> int:
        """Return the memory of a machine beside its GPUs, `on_machine` of all `ranks`.

        It holds the model once, while the main rank writes it (and one rank alone, or the main rank
        of a model that is not read in parts, loads it), and before that the ranks' copies of a
        checkpoint.
        """
        return max(self.export_bytes, self.checkpoint_bytes * on_machine // ranks)


def estimate_memory(
    shape: ModelShape,
    settings: OptimizationConfig,
    ranks: int = 1,
    available: int | None = None,
) -> MemoryEstimate:
    """Estimate the peak memory of a step on one rank."""
    kind = settings.optimizer
    weight = 4 if kind == "adamw" else 2
    moments = sum(_moments(each, kind) for each in shape.parameters if each.trained)
    states = {
        "weights": weight * shape.parameter_count,
        "gradients": weight * shape.trained_count,
        "moments": moments,
    }
    parts = {name: math.ceil(size / ranks) for name, size in states.items()}
    parts |= _working(shape, settings, ranks)
    parts["workspace"] += LIBRARIES + int(WASTE * sum(parts.values()))
    checkpoint = weight * shape.trained_count + moments
    return MemoryEstimate(parts, available, checkpoint, weight * shape.parameter_count)


def _moments(parameter: ParameterShape, kind: OptimizerName) -> int:
    block = _block_columns(math.prod(parameter.size[1:]))
    if kind == "adamw" or len(parameter.size) < 2 or block < SMALLEST_BLOCK:
        return 8 * parameter.numbers
    return 2 * parameter.numbers + 2 * 4 * (parameter.numbers // block)


def _working(shape: ModelShape, settings: OptimizationConfig, ranks: int) -> dict[str, int]:
    """Return the bytes of a forward and backward pass beside the states."""
    fp32_weights, compiled = settings.optimizer == "adamw", settings.compile == "layers"
    product = 2 if settings.compute == "bfloat16" else 4
    autocast = fp32_weights and product == 2 and ranks == 1  # several ranks: FSDP casts
    rows = min(settings.micro_batch_sequences, math.ceil(settings.batch_sequences / ranks))
    tokens = rows * settings.context_tokens

    kept = KEPT["autocast" if autocast else settings.compute, settings.compile]
    layer = kept.hidden * shape.hidden + kept.intermediate * shape.intermediate
    layer += kept.attention * (shape.queries + shape.keys)
    residual = (4 if autocast else product) * shape.hidden
    every = settings.recompute_every
    recomputed = math.ceil(shape.layers / every) if every else 0
    last_norm = 3 * residual

    activations = (shape.layers - recomputed) * layer + recomputed * residual + last_norm

    head = shape.vocabulary * shape.hidden
    chunk = min(tokens, chunk_positions(shape.vocabulary, product, compiled)) * shape.vocabulary
    chunk *= 2 * product + (0 if compiled else 4 * 3)  # eager: three copies in fp32
    loss = 4 * head + max(chunk, 0 if fp32_weights else 2 * head)
    loss += tokens * shape.hidden * 2 * product

    update = 0  # after the backward pass, in the place of activations
    if not (fp32_weights or compiled):
        largest = max(each.numbers for each in shape.parameters if each.trained)
        update = EAGER_UPDATE_COPIES * 4 * largest // ranks
    return {
        "casts": 2 * shape.layer_parameters if autocast and not compiled else 0,
        "gathered": _gathered(shape, product) if ranks > 1 else 0,
        "activations": tokens * activations,
        "loss": loss,
        "workspace": max(tokens * layer, update - tokens * activations - loss),
    }


def _gathered(shape: ModelShape, product: int) -> int:
    layer = shape.layer_parameters // max(1, shape.layers)
    rest = shape.parameter_count - shape.layer_parameters
    return product * (2 * layer + rest) + (product + 4) * max(layer, rest)


def check_memory(model: Path | str, settings: OptimizationConfig, world: World) -> MemoryEstimate:
    """Estimate the memory of a run on this rank, and refuse a run that does not fit.

    Called on every rank; all refuse if one does.

    Raises:
        UserError: The run does not fit.
    """
    shape = trained_shape(load_model_config(model), settings)
    on_machine = world.together(gethostname).count(gethostname())
    available = available_memory(world.device)
    if available is not None and world.device.type == "cpu":
        available //= on_machine
    estimate = estimate_memory(shape, settings, world.size, available)
    world.together(lambda: check_fits(estimate, settings, world, on_machine))
    return estimate


def trained_shape(config: Any, settings: OptimizationConfig) -> ModelShape:
    """Return the shape of a model of this configuration, with the adapters that are trained."""
    empty = empty_model(config)
    if settings.lora_rank is not None:
        from steep.training.lora import add_lora

        empty = add_lora(empty, settings.lora_rank, settings.lora_alpha, seed=0)
    return shape_of(empty)


def check_fits(
    estimate: MemoryEstimate, settings: OptimizationConfig, world: World, on_machine: int
) -> None:
    """Refuse a run that does not fit into the memory of the device or of its host.

    The memory of a virtual machine may grow as it is used, so a host whose free memory is too small
    only gets a warning if all of its memory would do.

    Raises:
        UserError: The run does not fit.
    """
    if estimate.available is not None and estimate.total > estimate.available:
        raise _too_large(estimate, estimate.available, settings, world)
    needed, host = estimate.host_bytes(world.size, on_machine), host_memory()
    if world.device.type == "cpu" or host is None or needed <= host.free:
        return
    if needed <= host.total:
        log.warning(
            "%s: the host memory beside the GPUs may be too small: %s are needed, and %s of %s are "
            "free now",
            settings.section,
            gib(needed),
            gib(host.free),
            gib(host.total),
        )
        return
    copied = gib(estimate.checkpoint_bytes * on_machine // world.size)
    raise UserError(
        "The host memory beside the GPUs is too small for this run.",
        where=settings.section,
        expected=f"{gib(needed)}: the model while it is loaded or written "
        f"({gib(estimate.export_bytes)}), before that the copies of a checkpoint ({copied})",
        found=f"{gib(host.total)}, {gib(host.free)} of them free",
        hint="use a machine with more memory, or more machines",
    )


def _too_large(
    estimate: MemoryEstimate, available: int, settings: OptimizationConfig, world: World
) -> UserError:
    section = settings.section
    remedies = {
        f"lower {section}.micro_batch_sequences": settings.micro_batch_sequences > 1,
        f"set {section}.recompute_every to 1": settings.recompute_every != 1,
        f"set {section}.optimizer to adamw-8bit-stochastic": settings.optimizer == "adamw",
        "use more devices": world.size < settings.batch_sequences,
        "take a smaller model": True,
    }
    where = "this machine" if world.device.type == "cpu" else "the GPU"
    largest = max(estimate.parts, key=estimate.parts.__getitem__)
    return UserError(
        f"This run does not fit into the memory of {where}; its largest part is the {largest}.",
        where=section,
        expected=f"at most {gib(available)}",
        found=estimate.line().removeprefix("memory: "),
        hint=", or ".join(remedy for remedy, helps in remedies.items() if helps),
    )


def check_disk(directory: Path, estimate: MemoryEstimate, settings: OptimizationConfig) -> None:
    """Refuse a run whose checkpoints and model do not fit on the disk.

    Raises:
        UserError: The free space, including that of existing checkpoints, is too small.
    """
    section, keep_checkpoints = settings.section, settings.keep_checkpoints
    needed, free = estimate.disk_bytes(keep_checkpoints), free_bytes(directory, [directory])
    if needed > free:
        raise UserError(
            "The disk has no room for the checkpoints and the model of this run.",
            where=directory,
            expected=_disk_parts(estimate, keep_checkpoints),
            found=gib(free),
            hint=f"free some space or lower {section}.keep_checkpoints (0: no checkpoint), then "
            "run the same command again",
        )


def _disk_parts(estimate: MemoryEstimate, keep_checkpoints: int) -> str:
    model = f"the model {gib(estimate.export_bytes)}"
    if not keep_checkpoints:
        return model
    return (
        f"{gib(estimate.disk_bytes(keep_checkpoints))} = {keep_checkpoints + 1} checkpoints (one "
        f"is being written) x {gib(estimate.checkpoint_bytes)} + {model}"
    )


def free_bytes(directory: Path, runs: Iterable[Path]) -> int:
    """Return the free bytes on the disk of a directory, plus the checkpoints of runs."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    files = (each for run in runs for each in run.glob("checkpoint-*/**/*") if each.is_file())
    return shutil.disk_usage(there).free + sum(each.stat().st_size for each in files)


def available_memory(device: torch.device) -> int | None:
    """Return the free bytes of a device; for a processor, within the limits of control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    host = host_memory()
    return None if host is None else host.free


class HostMemory(NamedTuple):
    """Bytes of a machine that this process can use."""

    total: int  # if no other process used any
    free: int


def host_memory() -> HostMemory | None:
    """Return the memory that Linux can give this process; None if it cannot be read."""
    if not MEMINFO.is_file():
        return None
    fields = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    machine = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    totals, frees = zip(HostMemory(*machine), *_cgroups(), strict=True)
    return HostMemory(min(totals), min(frees))


def _cgroups() -> Iterator[HostMemory]:
    """Return what each control group above this process allows; caches are free."""
    listed = Path("/proc/self/cgroup")
    for line in listed.read_text().splitlines() if listed.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":  # version 1
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            root = CGROUPS / "memory"
        elif not controllers:  # version 2
            names, root = ("memory.max", "memory.current", "inactive_file"), CGROUPS
        else:
            continue
        own = root / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(root) and (group / names[0]).is_file():
                yield from _room(group, *names)


def _room(group: Path, limit: str, usage: str, cache: str) -> Iterator[HostMemory]:
    allowed = (group / limit).read_text().strip()
    if allowed != "max":
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / usage).read_text()) - int(stat.get(cache, 0))
        yield HostMemory(int(allowed), int(allowed) - used)
