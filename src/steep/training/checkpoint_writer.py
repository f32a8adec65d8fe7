"""Staged tensors go to disk through `torch.distributed.checkpoint`, with checksums, for good.

Everything of ours happens inside the two calls that DCP makes to a storage writer, because it
carries what one rank raises there to all: each rank writes, syncs and sums up its own file, then
rank 0, when it has heard from all, finishes. No further message between ranks is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from steep.training.checkpoint_files import checksum, sync, writing_errors

METADATA = ".metadata"


@dataclass(frozen=True)
class _Written(WriteResult):
    """A tensor in a file, with the checksum of the whole file."""

    checksum: str


class CheckedWriter(FileSystemWriter):
    """Writes one file a rank.

    Args:
        directory: An empty directory that all ranks see.
        finish: Called on rank 0 with the checksums of all files, when they are on disk.
    """

    def __init__(self, directory: Path, finish: Callable[[dict[str, str]], None]) -> None:
        # One thread, as torch drops what its further ones raise: a full disk would go unnoticed.
        # Its own syncing leaves out what Python still buffers.
        super().__init__(directory, sync_files=False, thread_count=1, per_thread_copy_ahead=0)
        self._directory = directory
        self._finish = finish

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write the tensors of this rank."""
        # Errors get their words here: on the way to other ranks they lose what caused them.
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
        """Write where each tensor lies; only rank 0 is asked to."""
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
