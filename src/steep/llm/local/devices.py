"""The device and the precision of models that run in this process.

Every model runs on the GPU if there is one, and else on the CPU. A CPU computes in float32. On a
GPU, texts are written in bfloat16, and likelihoods are computed from float32 weights with TF32
products: they are compared with one another, and bfloat16 changes a few choices per hundred
(LOG.md, 2026-11-28).
"""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "tf32", "bfloat16"]
PrecisionSetting = Literal["auto", "float32", "tf32", "bfloat16"]


def default_device() -> str:
    """Return "cuda" if PyTorch finds a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def scoring_precision(configured: PrecisionSetting, device: str) -> Precision:
    """Return the precision of likelihoods; auto is TF32 on a GPU and float32 on a CPU."""
    if configured != "auto":
        return configured
    return "tf32" if device == "cuda" else "float32"


def scoring_device(configured: PrecisionSetting) -> tuple[str, Precision]:
    """Return the device and the precision in which likelihoods are computed here."""
    device = default_device()
    return device, scoring_precision(configured, device)
