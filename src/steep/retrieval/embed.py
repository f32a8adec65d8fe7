"""Embedders turn texts into vectors, which are checked, normalized to length 1, and cached.

`Embedder` is the extension point, and `EMBEDDERS` holds the built-in ones: static vectors from a
package (no model, no network), an endpoint, and a sentence-transformers model on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from steep.core.errors import UserError
from steep.ledger.caller import Sends
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.config import EmbedderKind, RetrievalConfig
from steep.retrieval.index import Vectors

SAVED_AT_ONCE = 512  # texts: what a kill may lose


class Embedder(Protocol):
    """Returns a vector for each text.

    Attributes:
        name: Identifies everything that changes the vectors: equal names may share a cache.
    """

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, in their order: (N, D)."""
        ...


def open_embedder(
    settings: RetrievalConfig, root: Path = Path(), caller: Sends | None = None
) -> Embedder:
    """Open the configured embedder.

    Args:
        settings: Which embedder.
        root: The directory that a relative path starts at.
        caller: Sends requests to the endpoint of `embedder: endpoint`.

    Raises:
        UserError: Its package, directory, address or key is missing.
    """
    return EMBEDDERS[settings.embedder](settings, root, caller)


def _wordllama(settings: RetrievalConfig, root: Path, caller: Sends | None) -> Embedder:
    from steep.retrieval.local import StaticEmbedder

    return StaticEmbedder()


def _endpoint(settings: RetrievalConfig, root: Path, caller: Sends | None) -> Embedder:
    from steep.retrieval.remote import EndpointEmbedder

    assert caller is not None and settings.embedder_server is not None
    return EndpointEmbedder(caller, settings.embedder_server.model)


def _sentence_transformers(settings: RetrievalConfig, root: Path, caller: Sends | None) -> Embedder:
    from steep.retrieval.local import LocalEmbedder

    return LocalEmbedder(root / settings.embedder_model)


EMBEDDERS: dict[EmbedderKind, Callable[[RetrievalConfig, Path, Sends | None], Embedder]] = {
    "wordllama": _wordllama,
    "endpoint": _endpoint,
    "sentence-transformers": _sentence_transformers,
}


def embed_texts(embedder: Embedder, texts: Sequence[str], cache: RetrievalCache) -> Vectors:
    """Return one vector of length 1 per text; equal and cached texts are not embedded again.

    Raises:
        UserError: The embedder fails, or returns vectors of different sizes.
    """
    known = cache.vectors(embedder.name, texts)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    for start in range(0, len(new), SAVED_AT_ONCE):
        asked = new[start : start + SAVED_AT_ONCE]
        vectors_ND = checked_vectors(embedder.name, embedder.embed(asked), asked)
        cache.add_vectors(embedder.name, asked, vectors_ND)
        known.update(zip(asked, vectors_ND, strict=True))
    dimensions = sorted({len(vector_D) for vector_D in known.values()})
    if len(dimensions) > 1:
        raise _bad(embedder.name, "one number of dimensions", dimensions)
    return np.stack([known[text] for text in texts])


def checked_vectors(name: str, vectors: Any, texts: Sequence[str]) -> Vectors:
    """Return the vectors, normalized to length 1.

    Raises:
        UserError: They are not one vector of finite numbers per text.
    """
    vectors_ND = np.asarray(vectors, dtype=np.float32)
    if vectors_ND.ndim != 2 or len(vectors_ND) != len(texts) or not vectors_ND.shape[1]:
        raise _bad(name, f"{len(texts)} vectors, one per text", f"an array {vectors_ND.shape}")
    lengths_N = np.linalg.norm(vectors_ND.astype(np.float64), axis=1)
    for text, length in zip(texts, lengths_N, strict=True):
        if not np.isfinite(length) or length == 0:
            problem = "only zeros" if length == 0 else "NaN or infinity"
            raise _bad(name, "finite numbers that are not all 0", f"{problem} for {text!r:.60}")
    unit_ND: Vectors = (vectors_ND / lengths_N[:, None]).astype(np.float32)
    return unit_ND


def _bad(name: str, expected: str, found: object) -> UserError:
    return UserError(
        "The embedder returned vectors that cannot be used.",
        where=name,
        expected=expected,
        found=found,
        hint="check that it is a model for embeddings; cached vectors are kept",
    )
