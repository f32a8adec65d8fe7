"""Checkpoints that a `kill -9` at any instant cannot spoil, and from which a run resumes exactly.

Saving blocks training only while the tensors are copied to host memory; a thread writes them from
there. The copy costs as much host memory as the state is large, for as long as the run lasts.
Shards are those of `torch.distributed.checkpoint`: a run goes on with any number of ranks. All
ranks must see one directory. While a checkpoint is written the one before it is still there, so
the disk needs room for `keep` + 1.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from steep.core.errors import UserError
from steep.core.files import disk_errors
from steep.training.checkpoint_files import (
    CheckpointRecord,
    Damaged,
    check_files,
    check_identity,
    check_room,
    checkpoint_path,
    newest_first,
    publish,
    read_record,
    remove_checkpoints,
    remove_leftovers,
    temporary_path,
)
from steep.training.checkpoint_ranks import Ranks
from steep.training.checkpoint_tensors import (
    Staging,
    bytes_needed,
    check_equal,
    check_tensors,
    checksums,
    local_part,
)
from steep.training.checkpoint_writer import CheckedWriter
from steep.training.parallel import World

__all__ = ["Checkpoints", "RoundTripReport", "remove_checkpoints"]

log = logging.getLogger("steep")

MARK = 85  # what a rehearsal overwrites the tensors with


@dataclass(frozen=True, slots=True)
class RoundTripReport:
    """What saving (all of it) and loading took, and the bytes on disk."""

    save_s: float
    load_s: float
    bytes: int


class Checkpoints:
    """The checkpoints of one run. All ranks make one and call the same methods in the same order.

    Tensors are given by name; a plain tensor must be the same on all ranks.

    Args:
        directory: Where they lie.
        world: The ranks.
        keep: How many of the newest stay.
        identity: What must be equal for a checkpoint to be continued; flat, JSON-able.
        behind: Whether a copy is written while training goes on. On a processor that saves no time,
            as the writer takes a core from the steps, and costs the memory of the copy.
    """

    def __init__(
        self,
        directory: Path,
        world: World,
        keep: int,
        identity: Mapping[str, Any],
        *,
        behind: bool = True,
    ) -> None:
        assert keep > 0, keep
        self._directory, self._keep = directory, keep
        self._identity = json.loads(json.dumps(dict(identity)))
        self._ranks = Ranks(world)
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[CheckpointRecord] | None = None
        self._staging = Staging() if behind else None
        self._newest = 0

    def load(self, tensors: Mapping[str, Tensor]) -> int:
        """Fill `tensors` in place from the newest whole checkpoint.

        Returns:
            The steps done; 0 if there is no checkpoint.

        Raises:
            UserError: The identity or the tensors are others (nothing is touched then), or none
                of the checkpoints is whole.
        """
        self.wait()
        damage: dict[Path, Damaged] = {}
        for path in self._ranks.together(self._candidates)[0]:
            try:
                record = self._ranks.together(partial(self._check, path))[0]
            except Damaged as error:
                damage[path] = error
                continue
            self._read(path, tensors)
            self._warn(damage, path)
            self._newest = record.step
            return record.step
        if damage:
            raise UserError(
                "None of the checkpoints is whole.",
                where=self._directory,
                found="; ".join(f"{path.name}: {error}" for path, error in damage.items()),
                hint="move them away to train again",
            )
        return 0

    def save(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Copy `tensors` to the host and return; they are written behind the training.

        Without `behind`, return when they are written. A pending save is finished first. A step
        that is there already is not written again.

        Raises:
            UserError: The disk has too little room, or the pending save failed.
        """
        self.wait()
        if step == self._newest:
            return
        began = time.monotonic()
        self._ranks.together(
            partial(self._make_room, checkpoint_path(self._directory, step), tensors)
        )
        job = partial(self._write, self._directory, step, self._staged(tensors), began, self._keep)
        if self._staging is None:
            self._newest = job().step
        else:
            self._pending = self._thread.submit(job)

    def wait(self) -> None:
        """Finish what is pending.

        Raises:
            UserError: It could not be written; the checkpoints before it are whole.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            self._newest = pending.result().step

    def verify_round_trip(self, step: int, tensors: Mapping[str, Tensor]) -> RoundTripReport:
        """Save, overwrite, read back in place, compare bit for bit, remove.

        Raises:
            UserError: It cannot be saved, or comes back different; the tensors are spoilt then.
        """
        self.wait()
        trial = temporary_path(checkpoint_path(self._directory, step)) / "rehearsal"
        path = checkpoint_path(trial, step)
        began = time.monotonic()
        self._ranks.together(partial(self._make_room, path, tensors))
        try:
            staged = self._staged(tensors)
            size = self._write(trial, step, staged, began, 1).bytes
            save_s = time.monotonic() - began
            before = checksums(staged)
            with torch.no_grad():
                for tensor in tensors.values():
                    local_part(tensor).fill_(MARK)
            began = time.monotonic()
            self._ranks.together(partial(self._check, path))
            self._read(path, tensors)
            load_s = time.monotonic() - began
            after = checksums(self._staged(tensors))
            self._ranks.together(partial(check_equal, path, before, after))
        except Damaged as error:
            raise UserError(
                "A trial checkpoint cannot be read back.",
                where=self._directory,
                found=error,
                hint="check the disk",
            ) from error
        finally:
            if self._ranks.rank == 0:
                shutil.rmtree(trial.parent, ignore_errors=True)
        return RoundTripReport(save_s, load_s, size)

    def close(self) -> None:
        """Let a pending save end, and log what it met: nobody waited for it."""
        pending, self._pending = self._pending, None
        if pending is not None and (error := pending.exception()) is not None:
            log.error("checkpoint: %s", error)
        self._thread.shutdown()
        self._staging = None

    def _staged(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is written: copies on the host, or the tensors themselves while training waits."""
        if self._staging is not None:
            return self._staging.copy(tensors)
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def _candidates(self) -> list[Path]:
        if self._ranks.rank != 0:
            return []
        with disk_errors(self._directory):
            remove_leftovers(self._directory)
        return newest_first(self._directory)

    def _check(self, path: Path) -> CheckpointRecord:
        """Each rank reads its share of the files."""
        record = read_record(path)
        check_identity(path, record.identity, self._identity)
        check_files(path, sorted(record.files.items())[self._ranks.rank :: self._ranks.size])
        return record

    def _read(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        reader = FileSystemReader(path)
        self._ranks.together(partial(check_tensors, path, reader, tensors))
        self._ranks.run(load, dict(tensors), storage_reader=reader)

    def _warn(self, damage: Mapping[Path, Damaged], path: Path) -> None:
        if self._ranks.rank == 0:
            for bad, error in damage.items():
                log.warning(
                    "checkpoint: %s is damaged (%s); going on from the older %s",
                    bad,
                    error,
                    path.name,
                )

    def _make_room(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        if self._ranks.rank == 0:
            check_room(path, bytes_needed(tensors))

    def _write(
        self, directory: Path, step: int, staged: dict[str, Tensor], began: float, keep: int
    ) -> CheckpointRecord:
        path = checkpoint_path(directory, step)
        temporary = temporary_path(path)

        def finish(checksums: dict[str, str]) -> None:
            size = sum((temporary / name).stat().st_size for name in checksums)
            seconds = time.monotonic() - began
            record = CheckpointRecord(
                step, self._identity, self._ranks.size, torch.__version__, size, seconds, checksums
            )
            publish(temporary, path, record, keep)
            log.info("checkpoint: step %d, %.1f MB in %.1f s", step, size / 1e6, seconds)

        try:
            self._ranks.run(save, staged, storage_writer=CheckedWriter(temporary, finish))
        except BaseException:
            if self._ranks.rank == 0:
                shutil.rmtree(temporary, ignore_errors=True)
            raise
        return read_record(path)
