"""The dimensions of a model, from its configuration alone, and the FLOPs of a training step.

A model on PyTorch's `meta` device has the shapes of all parameters but no values: 8B parameters
take a second and no memory, so a run that does not fit is refused before anything is downloaded.

FLOPs are counted as by torchtitan, for comparison with published figures: `6 * (N - input
embedding) + 12 * layers * heads * head_dim * context` per token. Attention is counted without a
discount for the causal half, recomputation is not counted, and peaks are those of dense bf16. An
output head tied to the input embedding is counted. A weight that is not trained (LoRA) needs no
gradient and counts 4 instead of 6. At context 2048, SmolLM2-135M takes 1.23 GFLOP per token and
Llama 3 8B 48.25; one H100 at its peak would train 803,000 and 20,500 tokens/s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from steep.core.errors import UserError

# Dense bf16 FLOP/s by a part of the device's name, from NVIDIA's data sheets (half of the figure
# "with sparsity" if only that is given). The first match counts.
PEAKS = (
    ("GB200", 2500e12),
    ("B200", 2250e12),
    ("H200 NVL", 835e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("H800", 989e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("A6000", 155e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("RTX 5090", 209e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)


class ParameterShape(NamedTuple):
    """The shape of a parameter; a tied one is listed once."""

    size: tuple[int, ...]
    trained: bool  # true if it gets a gradient
    # share of it that a token is multiplied with: 0 for an input embedding, the share of the active
    # experts, else 1
    used: float

    @property
    def numbers(self) -> int:
        """Return the number of its elements."""
        return math.prod(self.size)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions of a decoder-only transformer."""

    parameters: tuple[ParameterShape, ...]
    layers: int  # number of decoder layers
    layer_parameters: int  # elements of all decoder layers together
    hidden: int  # width of the residual stream
    queries: int  # heads times their dimension
    keys: int  # key-value heads times their dimension
    intermediate: int  # width inside the feed-forward part, over all active experts
    vocabulary: int  # rows of the output head

    @property
    def parameter_count(self) -> int:
        """Return the number of elements, trained or not."""
        return sum(each.numbers for each in self.parameters)

    @property
    def trained_count(self) -> int:
        """Return the number of trained elements."""
        return sum(each.numbers for each in self.parameters if each.trained)


def empty_model(config: Any) -> Any:
    """Return a causal LM of a Hugging Face configuration on the `meta` device."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """Return the decoder layers: the modules of the longest list in the model.

    Raises:
        UserError: There is no list.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UserError(
            "This model has no list of decoder layers.",
            where="train.model",
            expected="a decoder-only transformer",
            found=type(model).__name__,
        )
    return list(max(lists, key=lambda layers: sum(1 for _ in layers)))


def shape_of(model: nn.Module) -> ModelShape:
    """Read the shape of a Hugging Face causal LM, loaded or empty, whole or sharded."""
    hugging_face: Any = model
    config = hugging_face.config.get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    intermediate = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layers = decoder_layers(model)
    return ModelShape(
        parameters=_parameters(model, hugging_face.get_output_embeddings(), _experts_share(config)),
        layers=len(layers),
        layer_parameters=sum(each.numel() for layer in layers for each in layer.parameters()),
        hidden=config.hidden_size,
        queries=heads * head_dim,
        keys=(getattr(config, "num_key_value_heads", None) or heads) * head_dim,
        intermediate=intermediate * (getattr(config, "num_experts_per_tok", None) or 1),
        vocabulary=config.vocab_size,
    )


def _parameters(
    model: nn.Module, head: nn.Module | None, experts_share: float
) -> tuple[ParameterShape, ...]:
    tables = {
        each.weight
        for each in model.modules()
        if isinstance(each, nn.Embedding) and (head is None or each.weight is not head.weight)
    }

    def used(name: str, parameter: nn.Parameter) -> float:
        if parameter in tables:
            return 0.0
        return experts_share if ".experts." in name else 1.0

    return tuple(
        ParameterShape(tuple(parameter.shape), parameter.requires_grad, used(name, parameter))
        for name, parameter in model.named_parameters()
    )


def _experts_share(config: Any) -> float:
    """Return the share of a layer's experts that are active for a token."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((getattr(config, name) for name in names if getattr(config, name, None)), None)
    return config.num_experts_per_tok / experts if experts else 1.0


def flops_per_token(model: Any, context_tokens: int) -> float:
    """Return the FLOPs per token of a forward and backward pass."""
    return shape_flops(
        shape_of(model if isinstance(model, nn.Module) else empty_model(model)), context_tokens
    )


def shape_flops(shape: ModelShape, context_tokens: int) -> float:
    """Return the FLOPs per token of a forward and backward pass of a model of this shape."""
    products = sum(
        (6 if each.trained else 4) * each.used * each.numbers for each in shape.parameters
    )
    return products + 12 * shape.layers * shape.queries * context_tokens


def peak_flops(device: torch.device) -> float | None:
    """Return the dense bf16 peak of a device; None for a processor or an unknown device."""
    if device.type != "cuda":
        return None
    return peak_of(torch.cuda.get_device_name(device))


def peak_of(name: str) -> float | None:
    """Return the dense bf16 peak of a device by its name, e.g. "NVIDIA H100 80GB HBM3"."""
    return next((peak for part, peak in PEAKS if part.casefold() in name.casefold()), None)


def mfu(
    tokens_per_s: float, flops_per_token: float, peak: float | None, devices: int
) -> float | None:
    """Return the share of the peak of all devices that a rate reaches; None without a peak."""
    return None if peak is None else tokens_per_s * flops_per_token / (peak * devices)
