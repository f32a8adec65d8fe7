"""Follow a JSON Lines file that another process writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class JsonlTail:
    """Reads the rows that were appended to a file since the last look.

    A file that was replaced, or has become shorter, is read from its start. A line that has not
    ended yet is read when it has.

    Args:
        path: The file, which may not exist yet.
        last_bytes: How much of its end is read at the first look; None: the whole file.
    """

    def __init__(self, path: Path, last_bytes: int | None = None) -> None:
        self.path = path
        self._last_bytes = last_bytes
        self._inode = -1
        self._position = 0

    def look(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the new rows, and whether they follow on those before."""
        try:
            with self.path.open("rb") as file:
                return self._read(file)
        except FileNotFoundError:
            follows, self._inode, self._position = self._inode == -1, -1, 0
            return [], follows

    def _read(self, file: Any) -> tuple[list[dict[str, Any]], bool]:
        size = file.seek(0, 2)
        inode = os.fstat(file.fileno()).st_ino
        follows = inode == self._inode and size >= self._position
        if not follows:
            self._inode, self._position = inode, 0
            if self._last_bytes is not None and size > self._last_bytes:
                file.seek(size - self._last_bytes)
                file.readline()  # the rest of a line
                self._position = file.tell()
        file.seek(self._position)
        whole, newline, _ = file.read().rpartition(b"\n")
        self._position += len(whole) + len(newline)
        return [row for line in whole.split(b"\n") if (row := _row(line)) is not None], follows


def _row(line: bytes) -> dict[str, Any] | None:
    """Return the object in a line; None for what a killed process has left of one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
