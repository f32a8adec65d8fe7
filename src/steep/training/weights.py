"""Hashes of model directories, which identify their weights.

A directory can get other weights under the same names, so its files are read and hashed. That takes
seconds per gigabyte; the hash is cached in the project and computed again when the size, a time or
the inode of any file differs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from steep.core.artifacts import Project
from steep.core.files import read_json, write_json
from steep.core.ids import stable_hash

CACHE_NAME = "weights.json"
IGNORED = frozenset({".md", ".lock", ".log"})  # no influence on what a model computes
DIGITS = 16


def directory_hash(directory: Path, project: Project) -> str:
    """Return the hash of a model's files, or the last known one if the directory is gone."""
    cache = project.store / CACHE_NAME
    known: dict[str, Any] = read_json(cache) if cache.is_file() else {}
    name = _name(directory, project)
    before = known.get(name)
    if not directory.is_dir():
        return str(before["hash"]) if before else "absent"
    files, seen = _files(directory), file_stamps(directory)
    if before and before["files"] == seen:
        return str(before["hash"])
    pairs = zip(seen, files, strict=True)
    found = stable_hash([[each[0], _content(path)] for each, path in pairs], DIGITS)
    write_json(cache, known | {name: {"hash": found, "files": seen}})
    return found


def file_stamps(directory: Path) -> list[list[Any]]:
    """Return name, size, times and inode of each file, which stay equal while nothing changes."""
    return [[path.relative_to(directory).as_posix(), *_stamp(path)] for path in _files(directory)]


def _name(directory: Path, project: Project) -> str:
    """Return the path relative to the project if it lies inside: a project may be moved."""
    path, root = directory.resolve(), project.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and path.suffix not in IGNORED and not path.name.startswith(".")
    )


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
