"""FLOPs of a training step, and the share of a device's peak that it reaches (MFU).

The convention is torchtitan's, for comparison with published figures: `6 * (N - input embedding) +
12 * layers * heads * head_dim * context` FLOPs per token. Attention is counted without a discount
for the causal half, recomputation is not counted, and peaks are those of dense bf16. An output head
tied to the input embedding is counted. A weight that is not trained (LoRA) needs no gradient and
counts 4 instead of 6.

At context 2048, SmolLM2-135M takes 1.23 GFLOP per token and Llama 3 8B 48.25; one H100 at its peak
would train 803,000 and 20,500 tokens/s.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from steep.training.model_dims import ModelShape, empty_model, shape_of

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


def flops_per_token(model: Any, context_tokens: int) -> float:
    """Return the FLOPs per token of a forward and backward pass.

    Args:
        model: A Hugging Face causal LM, whole or sharded, or its configuration.
        context_tokens: Tokens per row.
    """
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
