"""Ranks act as one around a checkpoint: what one raises all raise, and nobody waits for the dead.

They talk through a process group of their own, because a save runs beside the training: the
messages of the two never meet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from steep.core.errors import UserError
from steep.training.parallel import World, lost_ranks

T = TypeVar("T")

# How long ranks wait for one that is still writing its part; a dead one is noticed at once.
PATIENCE = timedelta(minutes=30)


class Ranks:
    """The ranks that write together; a single one has no group and sends no messages."""

    def __init__(self, world: World) -> None:
        # DCP says so at each save and load of a single process, here in a thread.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        self._world = world
        self.rank, self.size = world.rank, world.size
        self._group = dist.new_group(backend="gloo", timeout=PATIENCE) if world.size > 1 else None

    def run(self, function: Callable[..., Any], state: dict[str, Tensor], **parts: Any) -> None:
        """Save or load by DCP, with errors that can be caught and read."""
        try:
            with lost_ranks(self._world):
                function(state, process_group=self._group, no_dist=self._group is None, **parts)
        except CheckpointException as error:  # no `Exception`
            failures = [failure for failure, _ in error.failures.values()]
            raise next((f for f in failures if isinstance(f, UserError)), failures[0]) from error

    def together(self, work: Callable[[], T]) -> list[T]:
        """What `work` returns on each rank; what it raises on one, it raises on all."""
        outcome: T | Exception
        try:
            outcome = work()
        except Exception as error:
            outcome = error
        outcomes: list[Any] = [outcome] * self.size
        if self._group is not None:
            with lost_ranks(self._world):
                dist.all_gather_object(outcomes, outcome, group=self._group)
        for each in outcomes:
            if isinstance(each, Exception):
                raise each
        return outcomes
