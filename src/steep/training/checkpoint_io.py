"""How tensors get into the files of a checkpoint, and back, on all ranks together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor
from torch.futures import Future

from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.training.checkpoint_files import checksum, sync, writing_errors
from steep.training.parallel import World, local_part, lost_ranks, patient_group

T = TypeVar("T")

METADATA = ".metadata"
NAMES_SHOWN = 10
OVERHEAD_BYTES = 4096  # per tensor: its header, alignment and line in the metadata


class Ranks:
    """The ranks of a checkpoint: an error of one rank is raised on all, so that none waits forever.

    They have a process group of their own, because a save runs beside the training. A single rank
    has no group and sends no messages.
    """

    def __init__(self, world: World) -> None:
        # DCP warns at each save and load of a single process.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        self._world = world
        self.rank, self.size = world.rank, world.size
        self._group = patient_group() if world.size > 1 else None

    def run(self, function: Callable[..., Any], state: dict[str, Tensor], **parts: Any) -> None:
        """Save or load with DCP, and raise the original error of a rank."""
        try:
            with lost_ranks(self._world):
                function(state, process_group=self._group, no_dist=self._group is None, **parts)
        except CheckpointException as error:  # a BaseException
            failures = [failure for failure, _ in error.failures.values()]
            raise next((f for f in failures if isinstance(f, UserError)), failures[0]) from error

    def together(self, work: Callable[[], T]) -> list[T]:
        """Return the results of `work` on all ranks; what one rank raises, all raise."""
        return self._world.together(work, self._group)


class Staging:
    """Copies of tensors on the host, in buffers that are allocated once."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies of the tensors, valid until the next call."""
        staged = {name: self._copy(name, tensor) for name, tensor in tensors.items()}
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the copies are asynchronous
        return staged

    def _copy(self, name: str, tensor: Tensor) -> Tensor:
        local = local_part(tensor)
        buffer = self._buffers.get(name)
        if buffer is None or (buffer.shape, buffer.dtype) != (local.shape, local.dtype):
            buffer = torch.empty(local.shape, dtype=local.dtype, pin_memory=local.is_cuda)
            self._buffers[name] = buffer
        buffer.copy_(local, non_blocking=True)
        if isinstance(tensor, DTensor):  # from_local would move the copy to the mesh
            return DTensor(  # type: ignore[no-untyped-call]
                buffer, tensor._spec, requires_grad=False
            )
        return buffer


def check_tensors(path: Path, reader: FileSystemReader, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint of other tensors; DCP would convert types and ignore surplus tensors.

    Raises:
        UserError: Names, shapes or types differ.
    """
    saved = {
        name: (tuple(entry.size), entry.properties.dtype)
        for name, entry in reader.read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    now = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    both = saved.keys() & now.keys()
    problems = {
        "only in the checkpoint": saved.keys() - now.keys(),
        "only in this run": now.keys() - saved.keys(),
        "different shape or type": {
            f"{name} {saved[name]} -> {now[name]}" for name in both if saved[name] != now[name]
        },
    }
    if any(problems.values()):
        raise UserError(
            "The tensors of this checkpoint differ from those of this run.",
            where=path,
            found="; ".join(
                f"{what}: {some_of(sorted(names), NAMES_SHOWN)}"
                for what, names in problems.items()
                if names
            ),
            hint="continue with the same model and optimizer, or move the directory away",
        )


def bytes_needed(tensors: Mapping[str, Tensor]) -> int:
    """Return the bytes of tensors on disk, over all ranks."""
    return sum(t.numel() * t.element_size() + OVERHEAD_BYTES for t in tensors.values())


@dataclass(frozen=True)
class _Written(WriteResult):
    """A written tensor, with the checksum of its file."""

    checksum: str


class CheckedWriter(FileSystemWriter):
    """Writes one file per rank, with its checksum, to disk for good.

    Everything happens inside the two calls of DCP to a storage writer, since DCP carries what one
    rank raises there to all: each rank writes, syncs and hashes its own file; rank 0 then calls
    `finish` with the checksums of all files.
    """

    def __init__(self, directory: Path, finish: Callable[[dict[str, str]], None]) -> None:
        # One thread: torch drops errors of further threads, and a full disk would go unnoticed.
        # The sync of torch leaves out what Python still buffers.
        super().__init__(directory, sync_files=False, thread_count=1, per_thread_copy_ahead=0)
        self._directory = directory
        self._finish = finish

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write the tensors of this rank."""
        # Errors are worded here: on the way to other ranks they lose their cause.
        with writing_errors(self._directory.parent):
            results = super().write_data(plan, planner).value()
            names = {result.storage_data.relative_path for result in results}
            checksums = {name: self._settle(name) for name in names}
        future: Future[list[WriteResult]] = Future()
        future.set_result(
            [
                _Written(
                    r.index,
                    r.size_in_bytes,
                    r.storage_data,
                    checksums[r.storage_data.relative_path],
                )
                for r in results
            ]
        )
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write the metadata; called on rank 0 only."""
        with writing_errors(self._directory.parent):
            super().finish(metadata, results)
            checksums = {
                result.storage_data.relative_path: result.checksum
                for of_rank in results
                for result in of_rank
                if isinstance(result, _Written)
            }
            self._finish({METADATA: self._settle(METADATA), **checksums})

    def _settle(self, name: str) -> str:
        sync(self._directory / name)
        return checksum(self._directory / name)
