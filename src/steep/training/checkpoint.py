"""Checkpoints that survive `kill -9` at any instant, and from which a run resumes exactly.

Saving blocks training only while the tensors are copied to host memory; a thread writes the copy.
The copy takes as much host memory as the state, for the whole run. Shards are those of
`torch.distributed.checkpoint` (DCP): a run resumes on any number of ranks. All ranks must see one
directory. The previous checkpoint is kept while the next is written, so the disk needs room for
`keep` + 1.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
    remove_leftovers,
    temporary_path,
)
from steep.training.checkpoint_io import CheckedWriter, Ranks, Staging, bytes_needed, check_tensors
from steep.training.parallel import World

log = logging.getLogger("steep")

WRITES_APART = 20  # times the seconds of a write: the time between two writes in the background


class Checkpoints:
    """The checkpoints of one run; all ranks create one and call the same methods in the same order.

    Tensors are passed by name; a plain tensor must be equal on all ranks.

    Args:
        directory: Directory of the checkpoints.
        world: The ranks.
        keep: Number of newest checkpoints that are kept; with 0, `save` writes nothing.
        identity: What must be equal for a checkpoint to be continued; flat JSON.
        asynchronous: Write a copy while training continues. On a processor this saves no time,
            since the writer takes a core from the steps, and costs the memory of the copy.
    """

    def __init__(
        self,
        directory: Path,
        world: World,
        keep: int,
        identity: Mapping[str, Any],
        *,
        asynchronous: bool = True,
    ) -> None:
        assert keep >= 0, keep
        self._directory, self._keep = directory, keep
        self._identity = json.loads(json.dumps(dict(identity)))
        self._ranks = Ranks(world)
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[CheckpointRecord] | None = None
        self._staging = Staging() if asynchronous else None
        self._newest = 0
        self._write_s = 0.0  # seconds of the last write in the background

    def is_due(self, elapsed_s: float, interval_s: float) -> bool:
        """Return whether to save, so many seconds after the last save.

        A checkpoint that is still being written delays the next one, not the training, and writing
        takes at most a twentieth of the time.
        """
        if not self._keep:
            return False
        if self._pending is not None:
            if not self._pending.done():
                return False
            if self._pending.exception() is None:  # else: the save that is due raises it
                self._write_s = self._pending.result().seconds
        return elapsed_s > max(interval_s, WRITES_APART * self._write_s)

    def load(self, tensors: Mapping[str, Tensor]) -> int:
        """Fill `tensors` in place from the newest undamaged checkpoint.

        Returns:
            The number of steps done; 0 without a checkpoint.

        Raises:
            UserError: The identity or the tensors differ (nothing is changed then), or all
                checkpoints are damaged.
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
                "All checkpoints are damaged.",
                where=self._directory,
                found="; ".join(f"{path.name}: {error}" for path, error in damage.items()),
                hint="move them away to start again",
            )
        return 0

    def save(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Copy `tensors` to the host and write them, asynchronously if configured.

        A pending save is finished first: see `is_due`. A step that is already saved is not written
        again.

        Raises:
            UserError: The disk has too little room, or the pending save failed.
        """
        self.wait()
        if step == self._newest or not self._keep:
            return
        began = time.monotonic()
        self._ranks.together(
            partial(self._make_room, checkpoint_path(self._directory, step), tensors)
        )
        job = partial(self._write, self._directory, step, self._staged(tensors), began, self._keep)
        if self._staging is None:
            self._newest = job().step
            return
        self._pending = self._thread.submit(job)
        log.info("checkpoint: step %d blocked training for %.1f s", step, time.monotonic() - began)

    def wait(self) -> None:
        """Wait for a pending save.

        Raises:
            UserError: It failed; earlier checkpoints are undamaged.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            self._newest = pending.result().step

    def close(self) -> None:
        """Wait for a pending save, and log its error if it failed."""
        pending, self._pending = self._pending, None
        if pending is not None and (error := pending.exception()) is not None:
            log.error("checkpoint: %s", error)
        self._thread.shutdown()
        self._staging = None

    def _staged(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies on the host, or the tensors themselves if training waits."""
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
        """Check a checkpoint; each rank reads its share of the files."""
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
                    "checkpoint: %s is damaged (%s); resuming from the older %s",
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
