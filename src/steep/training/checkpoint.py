"""Checkpoints that a `kill -9` at any instant cannot spoil, and from which a run resumes exactly.

A checkpoint is a directory `checkpoint-<step>`, renamed into place when it is whole; older ones are
removed only after that. It holds weights, optimizer moments and the state of the random numbers;
the place in the data is the step itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from steep.core.errors import UserError
from steep.core.files import atomic_directory, read_json, write_json

PREFIX = "checkpoint-"


def save_checkpoint(
    directory: Path, step: int, model: Any, optimizer: torch.optim.Optimizer, identity: str
) -> None:
    """Write the state after `step` optimizer steps, then remove older checkpoints.

    Raises:
        UserError: The disk is full.
    """
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    with atomic_directory(directory / f"{PREFIX}{step:08d}") as temporary:
        # A Python file: torch's own writer hides a full disk behind an error without a number.
        with (temporary / "state.pt").open("wb") as file:
            torch.save(state, file)
        write_json(temporary / "step.json", {"step": step, "identity": identity})
    for path in _checkpoints(directory)[:-1]:
        shutil.rmtree(path)


def load_checkpoint(
    directory: Path, model: Any, optimizer: torch.optim.Optimizer, identity: str
) -> int:
    """Restore the newest checkpoint, if there is one; returns the number of steps done.

    Raises:
        UserError: The checkpoint belongs to other data or other settings.
    """
    found = _checkpoints(directory)
    if not found:
        return 0
    saved = read_json(found[-1] / "step.json")
    if saved["identity"] != identity:
        raise UserError(
            "This checkpoint was made with other data or settings; it cannot be continued.",
            where=found[-1],
            expected=identity,
            found=saved["identity"],
            hint="move the directory away to train anew",
        )
    state = torch.load(found[-1] / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    step: int = saved["step"]
    return step


def remove_checkpoints(directory: Path) -> None:
    """Remove the checkpoints of a run whose model is exported."""
    for path in _checkpoints(directory):
        shutil.rmtree(path)


def _checkpoints(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"{PREFIX}*"))
