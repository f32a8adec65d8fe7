"""States for checkpoints: every type that training keeps, with bits that no arithmetic made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steep.training.checkpoint import Checkpoints
from steep.training.parallel import World

ALONE = World(0, 1, 0, torch.device("cpu"), None)
IDENTITY = {"corpus.sha256": "1234", "corpus.seed": 7, "learning_rate": 5e-6, "replay": None}


def make_state(seed: int) -> dict[str, Tensor]:
    """Weights, codes, moments, and tensors of odd shapes."""
    generator = torch.Generator().manual_seed(seed)

    def bits(dtype: torch.dtype, *shape: int) -> Tensor:
        """Random bits: also infinities and numbers that are none."""
        size = torch.empty(shape, dtype=dtype).numel() * dtype.itemsize
        raw = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=generator)
        return raw.view(dtype).reshape(shape)

    return {
        "weight": bits(torch.bfloat16, 37, 24),
        "signed codes": bits(torch.int8, 37, 24),
        "codes": bits(torch.uint8, 37, 24),
        "scales": bits(torch.float32, 37, 1),
        "norm": torch.nn.Parameter(bits(torch.float32, 24)),
        "step": bits(torch.float32, 1).reshape(()),
        "random": bits(torch.uint8, 100),
        "one row": bits(torch.float32, 1, 5),
        "turned": bits(torch.float32, 6, 4).T,
        "empty": torch.empty(0, dtype=torch.bfloat16),
    }


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(_bytes(one[name]), _bytes(other[name])) and one[name].dtype == other[name].dtype
        for name in one
    )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def open_alone(
    directory: Path, keep: int = 2, identity: Mapping[str, Any] = IDENTITY
) -> Checkpoints:
    return Checkpoints(directory, ALONE, keep, identity)


def write(directory: Path, steps: list[int], keep: int = 9) -> None:
    """Checkpoints whose states have the step as seed."""
    checkpoints = open_alone(directory, keep)
    for step in steps:
        checkpoints.save(step, make_state(step))
    checkpoints.wait()
    checkpoints.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
