"""Embedders and cross-encoders of sentence-transformers, from a directory on this machine.

Loaded from disk only: a name that is no directory is an error, and never a download. The name of a
model in the cache is a hash of its files, so a model that was trained further is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.retrieval.index import Vectors
from steep.retrieval.optional import need
from steep.retrieval.rerank import Candidates

PACKAGE = "sentence-transformers"


class LocalEmbedder:
    """Embeds with a sentence-transformers model.

    Raises:
        UserError: There is no such directory, or the package is missing.
    """

    def __init__(self, path: Path, batch_size: int = 32) -> None:
        self.name = _name_of(path)
        self._model: Any = _module().SentenceTransformer(str(path), local_files_only=True)
        self._batch_size = batch_size

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector a text."""
        vectors_ND: Vectors = self._model.encode(
            list(texts), batch_size=self._batch_size, show_progress_bar=False
        )
        return vectors_ND


class LocalReranker:
    """Scores with a cross-encoder.

    Raises:
        UserError: There is no such directory, or the package is missing.
    """

    def __init__(self, path: Path, batch_size: int = 32) -> None:
        self.name = _name_of(path)
        self._model: Any = _module().CrossEncoder(str(path), local_files_only=True)
        self._batch_size = batch_size

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """The score of each text for its question.

        Raises:
            UserError: The model gives something else than one number a pair.
        """
        pairs = [(each.question, text) for each in candidates for text in each.texts]
        scores = self._model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False)
        if scores.shape != (len(pairs),):
            raise UserError(
                "This cross-encoder does not give one score a text.",
                where=self.name,
                expected=f"({len(pairs)},)",
                found=scores.shape,
                hint="use a model with a single label",
            )
        values = iter(scores.tolist())
        return [[next(values) for _ in each.texts] for each in candidates]


def _module() -> Any:
    return need("sentence_transformers", PACKAGE)


def _name_of(path: Path) -> str:
    """The directory's name with a hash of all its files."""
    if not (path / "config.json").is_file() and not (path / "modules.json").is_file():
        raise UserError(
            "There is no sentence-transformers model here.",
            where=path,
            expected="a directory with config.json or modules.json",
            hint="download the model once, and give its directory",
        )
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\n".encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "blake2b").digest())
    return f"{path.name} {digest.hexdigest()}"
