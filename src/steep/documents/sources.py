"""Which files `documents.path` names: a file, a folder with its subfolders, or a pattern."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steep.core.errors import UserError
from steep.documents.document import Skipped

_WILDCARD = re.compile(r"[*?\[]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ANY_FOLDERS = "**"


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files by their names within a root, and what on the way could not be followed."""

    root: Path
    files: dict[str, Path]
    skipped: tuple[Skipped, ...] = ()


def find_files(path: Path, exclude: Sequence[Path] = ()) -> FoundFiles:
    """Return the files that a path or a pattern names, by name and sorted; hidden ones excepted.

    Args:
        path: A file, a folder, or a pattern with `*`, `?`, `[...]` and `**` (any folders).
        exclude: Folders that are left out.

    Raises:
        UserError: There is nothing.
    """
    if path.is_dir():
        return _walk(path, (ANY_FOLDERS,), exclude)
    if path.exists():
        return FoundFiles(path.parent, {path.name: path})
    root = source_root(path)
    if root == path.parent and not _WILDCARD.search(path.name):
        raise UserError("There are no documents here: no such file or folder.", where=path)
    if not root.is_dir():
        raise UserError("There are no documents here: no such folder.", where=root)
    found = _walk(root, path.relative_to(root).parts, exclude)
    if not found.files:
        raise UserError(
            "No file matches this pattern.",
            where=path,
            expected="** for any folders, * and ? within a name",
            hint=f"ls {root} shows what is there",
        )
    return found


def source_root(path: Path) -> Path:
    """Return the folder that the names of the documents start at."""
    if path.is_dir():
        return path
    parts = path.parts
    fixed = next((n for n, part in enumerate(parts) if _WILDCARD.search(part)), len(parts))
    return path.parent if path.exists() or fixed == len(parts) else Path(*parts[:fixed])


def shown_name(name: str) -> str:
    """Return a file's name with line breaks, control characters and non-UTF-8 bytes escaped."""
    encoded = os.fsencode(name).decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), encoded)


def _walk(root: Path, pattern: tuple[str, ...], exclude: Sequence[Path]) -> FoundFiles:
    """Return the files under a folder whose names match, without entering what cannot match."""
    files: dict[str, Path] = {}
    skipped: list[Skipped] = []
    excluded = {os.path.realpath(each) for each in exclude}

    def name_of(path: Path) -> str:
        return shown_name(path.relative_to(root).as_posix())

    def blocked(error: OSError) -> None:
        skipped.append(Skipped(name_of(Path(error.filename)), f"cannot be read: {error.strerror}"))

    for directory, subfolders, names in os.walk(root, onerror=blocked):
        here = Path(directory).relative_to(root).parts
        subfolders[:] = [
            name
            for name in subfolders
            if _may_hold((*here, name), pattern)
            and os.path.realpath(Path(directory, name)) not in excluded
        ]
        for path in (Path(directory, name) for name in subfolders):
            if path.is_symlink():  # could lead round in a circle
                skipped.append(Skipped(name_of(path), "a link to a folder is not followed"))
        paths = (Path(directory, name) for name in names if _matches((*here, name), pattern))
        files |= {name_of(path): path for path in paths}
    return FoundFiles(root, dict(sorted(files.items())), tuple(skipped))


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether the parts of a file's path fit those of a pattern; a last `**` is any file."""
    if not pattern:
        return not parts
    if pattern[0] == ANY_FOLDERS:
        if len(pattern) == 1:
            return bool(parts) and not any(map(_is_hidden, parts))
        following = bool(parts) and not _is_hidden(parts[0]) and _matches(parts[1:], pattern)
        return following or _matches(parts, pattern[1:])
    return bool(parts) and _fits(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _may_hold(folder: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Return whether a file in a folder could match."""
    if not folder:
        return bool(pattern)
    if not pattern:
        return False
    if pattern[0] == ANY_FOLDERS:
        following = not _is_hidden(folder[0]) and _may_hold(folder[1:], pattern)
        return following or _may_hold(folder, pattern[1:])
    return _fits(folder[0], pattern[0]) and _may_hold(folder[1:], pattern[1:])


def _fits(name: str, pattern: str) -> bool:
    """Return whether a name fits; a hidden one fits only what begins with a dot, too."""
    return fnmatch.fnmatchcase(name, pattern) and (not _is_hidden(name) or _is_hidden(pattern))


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
