"""A checkpoint on disk, and how it is published and removed atomically.

A checkpoint is a directory `checkpoint-<step>` with the files of `torch.distributed.checkpoint` and
a `step.json` that lists their checksums. It is written under a temporary name that starts with a
dot and ends in `.tmp`; the next run removes what a `kill -9` leaves there.

Checksums are SHA-256 over pieces, so that several threads can share one file: 1.5 GB/s per core
with SHA instructions. They detect a truncated or corrupt file before anything is loaded.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.core.files import disk_errors, read_json, write_json

PREFIX = "checkpoint-"
RECORD = "step.json"
NONE = "(none)"
PIECE_BYTES = 16 << 20
HASHING_THREADS = 4


class Damaged(Exception):
    """A checkpoint that differs from what was written."""


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """The `step.json` of a checkpoint; `files` are checksums by name, `seconds` include staging."""

    step: int
    identity: dict[str, Any]
    world_size: int
    torch: str
    bytes: int
    seconds: float
    files: dict[str, str]


def checkpoint_path(directory: Path, step: int) -> Path:
    """Return the directory of the checkpoint after `step` steps."""
    return directory / f"{PREFIX}{step:08d}"


def temporary_path(path: Path) -> Path:
    """Return the directory of a checkpoint while it is written; the same for all ranks."""
    return path.with_name(f".{path.name}.tmp")


def newest_first(directory: Path) -> list[Path]:
    """Return the checkpoints of a run, newest first; other `checkpoint-*` names are ignored."""
    found = directory.glob(f"{PREFIX}*")
    return sorted((path for path in found if _step(path).isdigit()), key=_step, reverse=True)


def kept_steps(directory: Path) -> int:
    """Return the step of the newest checkpoint of a run; 0 without one."""
    return next((int(_step(path)) for path in newest_first(directory)), 0)


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed run did not finish writing or removing."""
    for path in directory.glob(f".{PREFIX}*.tmp"):
        shutil.rmtree(path)


def remove_checkpoints(directory: Path) -> None:
    """Remove the checkpoints of a run whose model is exported."""
    for path in newest_first(directory):
        _remove(path)
    remove_leftovers(directory)


def publish(temporary: Path, path: Path, record: CheckpointRecord, keep: int) -> None:
    """Rename a written checkpoint into place, then remove all but the `keep` newest up to it.

    Newer checkpoints are removed too: training repeated their steps because they were damaged.
    """
    write_json(temporary / RECORD, asdict(record))
    sync(temporary)
    if path.exists():
        _remove(path)  # a damaged one: undamaged ones are not written twice
    temporary.rename(path)
    sync(path.parent)
    found = newest_first(path.parent)
    place = found.index(path)
    for other in found[:place] + found[place + keep :]:
        _remove(other)


def check_room(path: Path, needed_bytes: int) -> None:
    """Refuse to write a checkpoint that does not fit on the disk.

    Raises:
        UserError: The disk has too little room.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary_path(path), ignore_errors=True)
        free_bytes = shutil.disk_usage(path.parent).free
    if needed_bytes > free_bytes:
        raise UserError(
            "The disk has too little room for a checkpoint.",
            where=path.parent,
            expected=f"{needed_bytes / 1e6:,.1f} MB free",
            found=f"{free_bytes / 1e6:,.1f} MB",
            hint="free some space and run the same command again; it resumes from the last "
            "checkpoint",
        )


def read_record(path: Path) -> CheckpointRecord:
    """Read the record of a checkpoint.

    Raises:
        Damaged: There is no readable record.
    """
    try:
        return CheckpointRecord(**read_json(path / RECORD))
    except (OSError, ValueError, TypeError) as error:
        raise Damaged(f"{RECORD}: {error}") from error


def check_files(path: Path, files: Iterable[tuple[str, str]]) -> None:
    """Compare files with their checksums.

    Raises:
        Damaged: A file is missing or different.
    """
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        for name, expected in files:
            if not (path / name).is_file():
                raise Damaged(f"{name} is missing")
            if checksum(path / name, pool.map) != expected:
                raise Damaged(f"{name} is not as it was written")


def check_identity(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of other data or settings.

    Raises:
        UserError: Some fields differ.
    """
    changed = [
        f"{field}: {saved.get(field, NONE)} -> {now.get(field, NONE)}"
        for field in sorted(saved.keys() | now.keys())
        if saved.get(field, NONE) != now.get(field, NONE)
    ]
    if changed:
        raise UserError(
            "This checkpoint was made with other data or settings; it cannot be continued.",
            where=path,
            found=("\n" + " " * 12).join(changed),
            hint="undo the change, or move the directory away to train again",
        )


def checksum(path: Path, each: Callable[..., Iterable[bytes]] = map) -> str:
    """Return the SHA-256 of the SHA-256 of all pieces; `each` may be the `map` of a thread pool."""

    def piece(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(PIECE_BYTES)).digest()

    starts = range(0, path.stat().st_size, PIECE_BYTES)
    return hashlib.sha256(b"".join(each(piece, starts))).hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Extend `disk_errors` to files that exceed a limit of the system."""
    try:
        with disk_errors(path):
            yield
    except Exception as error:
        if any(isinstance(e, OSError) and e.errno == errno.EFBIG for e in _chain(error)):
            raise UserError(
                "A file of the checkpoint exceeds the allowed file size.",
                where=path,
                hint="raise the limit (ulimit -f), or use a file system for large files",
            ) from error
        raise


def _step(path: Path) -> str:
    return path.name.removeprefix(PREFIX)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def _remove(path: Path) -> None:
    """Rename a checkpoint, then remove it: a partial one must not look complete."""
    temporary = path.with_name(f".{path.name}.old.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    path.rename(temporary)
    shutil.rmtree(temporary)
