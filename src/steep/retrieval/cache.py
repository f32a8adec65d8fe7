"""Earlier embeddings and rankings, in one SQLite file, so that sweeps cost nothing.

Vectors are kept by embedder and text, rankings by everything that they depend on. Rows are written
in one transaction per batch, so what was paid for before a kill is found again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from steep.core.errors import UserError
from steep.core.files import disk_errors
from steep.core.ids import stable_hash
from steep.retrieval.index import Hit, Vectors

BUSY_TIMEOUT_S = 30.0
KEYS_PER_QUERY = 500
_TABLE = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL)"


class RetrievalCache:
    """The file, open between `__enter__` and `__exit__`; None keeps everything in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def __enter__(self) -> RetrievalCache:
        if self._path is not None:
            with disk_errors(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            self._database = sqlite3.connect(self._path or ":memory:", timeout=BUSY_TIMEOUT_S)
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute(_TABLE)
            except sqlite3.Error:
                self._database.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def vectors(self, embedder: str, texts: Sequence[str]) -> dict[str, Vectors]:
        """Return the vectors of those texts that are known."""
        by_key = {stable_hash([embedder, text]): text for text in texts}
        found = self._read(list(by_key))
        return {by_key[key]: np.frombuffer(value, "<f4") for key, value in found.items()}

    def add_vectors(self, embedder: str, texts: Sequence[str], vectors_ND: Vectors) -> None:
        """Keep the vectors of texts."""
        values = (vector_D.astype("<f4").tobytes() for vector_D in vectors_ND)
        keys = (stable_hash([embedder, text]) for text in texts)
        self._write(dict(zip(keys, values, strict=True)))

    def rankings(self, keys: Sequence[str]) -> dict[str, list[Hit]]:
        """Return the rankings that are known."""
        found = self._read(keys)
        return {key: [Hit(*pair) for pair in json.loads(value)] for key, value in found.items()}

    def add_rankings(self, rankings: Mapping[str, Sequence[Hit]]) -> None:
        """Keep rankings."""
        self._write({key: json.dumps(hits).encode() for key, hits in rankings.items()})

    def _read(self, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with self._errors():
            for start in range(0, len(keys), KEYS_PER_QUERY):
                asked = keys[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(asked))
                query = f"SELECT key, value FROM entries WHERE key IN ({marks})"
                found.update(self._database.execute(query, asked))
        return found

    def _write(self, rows: Mapping[str, bytes]) -> None:
        with self._errors(), self._database:
            insert = "INSERT OR REPLACE INTO entries VALUES (?, ?)"
            self._database.executemany(insert, rows.items())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                "The file with embeddings and rankings cannot be used.",
                where=self._path,
                found=error,
                hint="free some space, or delete the file: its content can be computed again",
            ) from error
