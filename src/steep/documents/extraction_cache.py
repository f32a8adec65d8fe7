"""Texts of PDF, Office and web files by the hash of their content, in `.steep/extracted/`.

`plan` and `status` read all documents; with the cache a file is parsed once. What cannot be read is
kept with its reason, too, so that a file that takes minutes to fail does so once.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steep.core.files import read_json

DIRECTORY_NAME = "extracted"

log = logging.getLogger("steep")


@dataclass(frozen=True, slots=True)
class ExtractionCache:
    """Entries in a directory, one JSON object per file; without a directory, in memory."""

    directory: Path | None = None
    memory: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def path(self, key: str) -> Path:
        """Return the file of an entry, if there is a directory."""
        assert self.directory
        return self.directory / f"{key}.json"

    def get(self, key: str) -> Mapping[str, Any] | None:
        """Return the entry, or None if there is none or it is damaged."""
        if key in self.memory or self.directory is None:
            return self.memory.get(key)
        try:
            entry = read_json(self.path(key))
        except (OSError, ValueError):
            return None
        return entry if isinstance(entry, dict) else None

    def put(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep an entry; in memory where the directory cannot be written."""
        try:
            if self.directory is not None:
                self.directory.mkdir(parents=True, exist_ok=True)
                # Without a sync, which would take longer than most files: `get` checks the entry.
                temporary = self.directory / f".{key}.{os.getpid()}.tmp"
                try:
                    temporary.write_text(json.dumps(entry, ensure_ascii=False), encoding="utf-8")
                    temporary.replace(self.path(key))
                finally:
                    temporary.unlink(missing_ok=True)
                return
        except OSError as error:
            if not self.memory:  # said once
                log.warning(
                    "warning: cannot write to %s: %s; each command reads all files again",
                    self.directory,
                    error.strerror or error,
                )
        self.memory[key] = entry


_current: ContextVar[ExtractionCache | None] = ContextVar("extraction_cache", default=None)


@contextmanager
def cached_extraction(directory: Path | None) -> Iterator[ExtractionCache]:
    """Use the cache of a project, or one in memory, for what is read within the context."""
    cache = ExtractionCache(directory)
    token = _current.set(cache)
    try:
        yield cache
    finally:
        _current.reset(token)


def current_cache() -> ExtractionCache | None:
    """Return the cache of this context, if there is one."""
    return _current.get()
