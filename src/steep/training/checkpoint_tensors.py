"""The tensors of a checkpoint: copies on the host, and whether two states are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor

from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.training.checkpoint_files import HASHING_THREADS

NAMES_SHOWN = 10
OVERHEAD_BYTES = 4096  # for each tensor: its header, alignment and line in the metadata


class Staging:
    """Copies on the host, in memory that is taken once."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors as they are now; valid until the next call."""
        staged = {name: self._copy(name, tensor) for name, tensor in tensors.items()}
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the copies run behind
        return staged

    def _copy(self, name: str, tensor: Tensor) -> Tensor:
        local = local_part(tensor)
        buffer = self._buffers.get(name)
        if buffer is None or (buffer.shape, buffer.dtype) != (local.shape, local.dtype):
            buffer = torch.empty(local.shape, dtype=local.dtype, pin_memory=local.is_cuda)
            self._buffers[name] = buffer
        buffer.copy_(local, non_blocking=True)
        if isinstance(tensor, DTensor):  # not from_local: it would move the copy to the mesh
            return DTensor(  # type: ignore[no-untyped-call]
                buffer, tensor._spec, requires_grad=False
            )
        return buffer


def local_part(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def checksums(staged: Mapping[str, Tensor]) -> dict[str, bytes]:
    """SHA-256 of what this rank holds, by name."""

    def checksum(tensor: Tensor) -> bytes:
        data = local_part(tensor).reshape(-1).view(torch.uint8).numpy()
        return hashlib.sha256(data.data).digest()

    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        return dict(zip(staged, pool.map(checksum, staged.values()), strict=True))


def check_equal(path: Path, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
    """Compare the checksums of two states.

    Raises:
        UserError: Some differ.
    """
    different = [name for name in before if before[name] != after[name]]
    if different:
        raise UserError(
            "A trial checkpoint did not come back bit for bit.",
            where=path,
            found=some_of(different, NAMES_SHOWN),
            hint="check the disk; if it is sound, this is a bug of Steep",
        )


def check_tensors(path: Path, reader: FileSystemReader, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint of other tensors: DCP would convert types and ignore what is too many.

    Raises:
        UserError: Names, shapes or types differ; all kinds of difference are named.
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
        "of other shape or type": {
            f"{name} {saved[name]} -> {now[name]}" for name in both if saved[name] != now[name]
        },
    }
    if any(problems.values()):
        raise UserError(
            "This checkpoint holds other tensors than this run.",
            where=path,
            found="; ".join(
                f"{what}: {some_of(sorted(names), NAMES_SHOWN)}"
                for what, names in problems.items()
                if names
            ),
            hint="continue with the same model and optimizer, or move the directory away",
        )


def bytes_needed(tensors: Mapping[str, Tensor]) -> int:
    """What they take on disk, over all ranks."""
    return sum(t.numel() * t.element_size() + OVERHEAD_BYTES for t in tensors.values())
