"""Embedders turn texts into vectors, which are checked, normalized to length 1, and cached.

`Embedder` is the extension point, and `EMBEDDERS` holds the built-in ones.

`StaticEmbedder`, the default, returns the mean of word vectors from the wheel of the package
wordllama: 256 numbers for each of 32,000 tokens, trained for retrieval, mainly on English. It runs
no model and needs no network: some 2,000 chunks of 1,024 characters per second on one core. On 430
questions of SQuAD the right document is first for 84% (BM25: 95%, both fused: 93%). Only the two
data files of the package are read: its code would look for its tokenizer on a hub.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from steep.core.calls import Completion
from steep.core.errors import UserError
from steep.core.progress import Progress
from steep.ledger.caller import Sends
from steep.llm.requests import Request, vectors_of
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.config import EmbedderKind, RetrievalConfig
from steep.retrieval.index import Vectors, need

SAVED_AT_ONCE = 512  # texts: what a kill may lose
TEXTS_PER_REQUEST = 64
WORDLLAMA = "wordllama"
WORDLLAMA_WEIGHTS = "weights/l2_supercat_256.safetensors"
WORDLLAMA_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"


class Embedder(Protocol):
    """Returns a vector for each text."""

    name: str  # identifies everything that changes the vectors: equal names may share a cache

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, in their order: (N, D)."""
        ...


def open_embedder(
    settings: RetrievalConfig, root: Path = Path(), caller: Sends | None = None
) -> Embedder:
    """Open the configured embedder; relative paths start at `root`.

    Raises:
        UserError: Its package, directory, address or key is missing.
    """
    return EMBEDDERS[settings.embedder](settings, root, caller)


class StaticEmbedder:
    """Means of static vectors.

    Raises:
        UserError: The package is not installed, or another version of it is.
    """

    def __init__(self) -> None:
        folder = _wordllama_folder()
        weights = need("safetensors.numpy", "safetensors").load_file(folder / WORDLLAMA_WEIGHTS)
        self._vectors_VD: Vectors = weights["embedding.weight"].astype(np.float32)
        self._tokenizer = need("tokenizers", "tokenizers").Tokenizer.from_file(
            str(folder / WORDLLAMA_TOKENIZER)
        )
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.name = (
            f"{WORDLLAMA} {importlib.metadata.version(WORDLLAMA)} {Path(WORDLLAMA_WEIGHTS).stem}"
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the mean vector of each text's tokens."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return np.stack([self._mean(each.ids) for each in encoded])

    def _mean(self, ids: list[int]) -> Vectors:
        if not ids:
            return np.zeros(self._vectors_VD.shape[1], np.float32)
        return np.asarray(self._vectors_VD[ids].mean(axis=0))


def _wordllama_folder() -> Path:
    spec = find_spec(WORDLLAMA)
    if spec is None or not spec.origin:
        raise UserError(
            f"The default embedder needs the package {WORDLLAMA}, which is not installed.",
            hint="pip install 'steep[rag]', or search with BM25 only",
        )
    folder = Path(spec.origin).parent
    for name in (WORDLLAMA_WEIGHTS, WORDLLAMA_TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(
                f"The installed version of {WORDLLAMA} is not supported: a file is missing.",
                where=folder,
                expected=name,
                hint="pip install 'steep[rag]'",
            )
    return folder


class LocalEmbedder:
    """Embeds with a sentence-transformers model.

    Raises:
        UserError: The directory or the package is missing.
    """

    def __init__(self, path: Path) -> None:
        self.name = directory_name(path)
        package = need("sentence_transformers", "sentence-transformers")
        self._model: Any = package.SentenceTransformer(str(path), local_files_only=True)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text."""
        vectors_ND: Vectors = self._model.encode(list(texts), show_progress_bar=False)
        return vectors_ND


class EndpointEmbedder:
    """Embeds with a model behind `/embeddings`."""

    def __init__(self, caller: Sends, model: str) -> None:
        self.name = f"{model} at {caller.endpoint}"
        self._caller, self._model = caller, model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text: (N, D).

        Raises:
            UserError: The endpoint fails, or the limits of the project are reached.
        """
        where, size = self._caller.endpoint, TEXTS_PER_REQUEST
        requests = [
            Request("embed", where, "embedding", self._model, tuple(texts[n : n + size]))
            for n in range(0, len(texts), size)
        ]
        completions = self._caller.complete(requests)
        hint = f"check that '{self._model}' is a model for embeddings"
        check_answered(self._caller, completions, hint)
        rows = [row for each in completions for row in vectors_of(each)]
        sizes = sorted({len(row) for row in rows})
        if len(sizes) > 1:
            raise unusable_endpoint(self._caller, f"vectors of {sizes} numbers", hint)
        return np.array(rows, dtype=np.float32)


def _endpoint(settings: RetrievalConfig, root: Path, caller: Sends | None) -> Embedder:
    assert caller is not None and settings.embedder_server is not None
    return EndpointEmbedder(caller, settings.embedder_server.model)


EMBEDDERS: dict[EmbedderKind, Callable[[RetrievalConfig, Path, Sends | None], Embedder]] = {
    "wordllama": lambda settings, root, caller: StaticEmbedder(),
    "endpoint": _endpoint,
    "sentence-transformers": lambda settings, root, caller: LocalEmbedder(
        root / settings.embedder_model
    ),
}


def embed_texts(embedder: Embedder, texts: Sequence[str], cache: RetrievalCache) -> Vectors:
    """Return one vector of length 1 per text; equal and cached texts are not embedded again.

    Raises:
        UserError: The embedder fails, or returns vectors of different sizes.
    """
    known = cache.vectors(embedder.name, texts)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    progress = Progress("embedding", len(new), "texts")
    for start in range(0, len(new), SAVED_AT_ONCE):
        progress.update(start)
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


def directory_name(path: Path) -> str:
    """Return the name of the directory with a hash of all its files."""
    if not (path / "config.json").is_file() and not (path / "modules.json").is_file():
        raise UserError(
            "This directory has no sentence-transformers model.",
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


def check_answered(caller: Sends, completions: Sequence[Completion], hint: str) -> None:
    """Refuse an endpoint that did not answer every request."""
    failed = [each for each in completions if each.error]
    if failed:
        raise unusable_endpoint(caller, failed[0].error, hint)


def unusable_endpoint(caller: Sends, found: object, hint: str) -> UserError:
    """Return the error for an endpoint whose answers cannot be used."""
    return UserError(
        "The endpoint returned no usable answer.",
        where=f"{caller.endpoint} ({caller.section})",
        found=found,
        hint=f"{hint}; a rerun continues: its answers are kept",
    )
