"""Atomic writes: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from steep.core.errors import UserError
from steep.core.formatting import file_size

Row = TypeVar("Row")
ROWS_IN_GROUP = 1024  # of a Parquet file that is written row by row


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden path into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if _os_error_number(error) in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                "The disk is full.",
                where=path,
                hint="free some space and run the same command again; it continues where it was",
            ) from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(
                f"Cannot write: {error.strerror}.", where=path, hint="check who may write there"
            ) from error
        raise


def check_free_disk(path: Path, size: int) -> None:
    """Check that a file or directory of `size` bytes fits beside `path`.

    Raises:
        UserError: There is less space.
    """
    there = next(each for each in path.absolute().parents if each.is_dir())
    free = shutil.disk_usage(there).free
    if size > free:
        raise UserError(
            "There is not enough space on the disk; nothing was written.",
            where=path,
            expected=f"{file_size(size)} free",
            found=f"{file_size(free)} free",
            hint="free some space, or name a path on another disk",
        )


def _os_error_number(error: Exception) -> int | None:
    """Return the operating system's error number, even if a C++ or Rust writer wrapped it."""
    for each in (error, error.__context__):
        if isinstance(each, OSError):
            return each.errno
    in_text = re.search(r"\(os error (\d+)\)", str(error))  # safetensors
    return int(in_text[1]) if in_text else None


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], schema: Any) -> None:
    """Write rows of a pyarrow schema atomically."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    buffer = pa.BufferOutputStream()
    table = pa.Table.from_pylist([*rows], schema=schema)
    parquet.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue().to_pybytes())


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Read all rows of a file."""
    import pyarrow.parquet as parquet

    rows: list[dict[str, Any]] = parquet.ParquetFile(path).read().to_pylist()
    return rows


def write_rows(path: Path, rows: Sequence[Any], kind: type[Any]) -> None:
    """Write dataclass instances of one kind as Parquet, atomically.

    Fields may be texts, numbers, booleans, literals and tuples of these, and dataclasses, each
    also None.
    """
    import pyarrow as pa

    schema = pa.schema(list(_arrow_type(kind)))
    write_parquet(path, map(asdict, rows), schema)


@contextmanager
def row_writer(path: Path, kind: type[Any]) -> Iterator[Callable[[Any], None]]:
    """Give a function that appends a dataclass instance to a Parquet file.

    The file holds what `write_rows` would write, and appears when the context ends without an
    error. Only `ROWS_IN_GROUP` rows are in memory at once.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema, rows = pa.schema(list(_arrow_type(kind))), list[Any]()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def flush() -> None:
        writer.write_table(pa.Table.from_pylist(list(map(asdict, rows)), schema=schema))
        rows.clear()

    def add(row: Any) -> None:
        rows.append(row)
        if len(rows) == ROWS_IN_GROUP:
            flush()

    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                    yield add
                    flush()
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read the dataclass instances that `write_rows` wrote."""
    rows: list[Row] = [restored(kind, row) for row in read_parquet(path)]
    return rows


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    """Return the type of each field, without its None."""
    hints = get_type_hints(cast("type[Any]", kind))
    return {name: _without_none(hint) for name, hint in hints.items()}


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    return hint


def _arrow_type(hint: Any) -> Any:
    import pyarrow as pa

    if hasattr(hint, "__dataclass_fields__"):
        return pa.struct([(name, _arrow_type(each)) for name, each in _hints(hint).items()])
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    return {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}[hint]


def restored(hint: Any, value: Any) -> Any:
    """Return a value of this type from what Parquet gives for it: a dataclass from a dictionary."""
    if isinstance(value, dict):
        hints = _hints(hint)
        return hint(**{name: restored(hints[name], each) for name, each in value.items()})
    return tuple(value) if isinstance(value, list) else value


def try_lock(descriptor: int, path: Path) -> bool:
    """Lock an open file until the process ends; return whether it was free.

    Raises:
        UserError: The file system of `path` has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise no_locks(path, error.strerror) from error
    return True


def no_locks(path: Path, found: object) -> UserError:
    """Return the error for a file system without file locks."""
    return UserError(
        "The file system of this project does not support file locks.",
        where=path,
        found=found,
        hint="move the project to a local disk, or mount the file system with locks (Lustre: "
        "-o flock; NFS: version 4, or with its lock service running)",
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: to a temporary name beside it, synced, then renamed."""
    _write_pieces(path, [data])


def _write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, keys in the given order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def content_hash(path: Path) -> str:
    """Return a hash of the content of a file, in 16 digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_jsonl(path: Path) -> list[Any]:
    """Read a JSON Lines file that Steep wrote itself."""
    # Lines of bytes: those of text also end at a carriage return.
    with path.open("rb") as file:
        return [json.loads(line) for line in file if line.strip()]


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSON Lines file atomically, one row a line, keys in the given order."""
    _write_pieces(path, (f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in rows))


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Fill a temporary directory, then rename it to `path`; delete it if interrupted."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _share(temporary)
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _share(directory: Path) -> None:
    """Give files the permissions that the umask leaves; safetensors lets only their owner read."""
    mode = directory.stat().st_mode & 0o666
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode | (path.stat().st_mode & 0o111))
