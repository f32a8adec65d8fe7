"""Embedders and cross-encoders in this process.

`StaticEmbedder`, the default, returns the mean of word vectors from the wheel of the package
wordllama: 256 numbers for each of 32,000 tokens, trained for retrieval, mainly on English. It runs
no model and needs no network: some 2,000 chunks of 1,024 characters per second on one core. On the
430 questions of SQuAD that the project measures with, the right document is first for 84% (BM25:
95%, both fused: 93%), and among the first five for 97% (99%, 99.5%). Only the two data files of the
package are read, not its code, which would import an HTTP library and look for its tokenizer on a
hub. The vectors are those of its own `embed`, to the last bit.

`LocalEmbedder` and `LocalReranker` run sentence-transformers models from a directory; a name that
is no directory is an error, and never a download. The name of a model in the cache is a hash of its
files, so a model that was trained further is a different model.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steep.core.errors import UserError

if TYPE_CHECKING:
    from steep.retrieval.index import Vectors
    from steep.retrieval.rerank import Candidates

PACKAGE = "sentence-transformers"
WORDLLAMA = "wordllama"
WORDLLAMA_WEIGHTS = "weights/l2_supercat_256.safetensors"
WORDLLAMA_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"


def need(module: str, package: str) -> Any:
    """Import a module.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"The package {package} is not installed, or is broken.",
            found=error,
            hint=f"pip install {package}",
        ) from error


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
            hint=f"pip install {WORDLLAMA}, or search with BM25 only",
        )
    folder = Path(spec.origin).parent
    for name in (WORDLLAMA_WEIGHTS, WORDLLAMA_TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(
                f"The installed version of {WORDLLAMA} is not supported: a file is missing.",
                where=folder,
                expected=name,
                hint=f"pip install '{WORDLLAMA}==0.4.0.post1'",
            )
    return folder


class LocalEmbedder:
    """Embeds with a sentence-transformers model.

    Raises:
        UserError: The directory or the package is missing.
    """

    def __init__(self, path: Path, batch_size: int = 32) -> None:
        self.name = _name_of(path)
        self._model: Any = _module().SentenceTransformer(str(path), local_files_only=True)
        self._batch_size = batch_size

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text."""
        vectors_ND: Vectors = self._model.encode(
            list(texts), batch_size=self._batch_size, show_progress_bar=False
        )
        return vectors_ND


class LocalReranker:
    """Scores with a cross-encoder.

    Raises:
        UserError: The directory or the package is missing.
    """

    def __init__(self, path: Path, batch_size: int = 32) -> None:
        self.name = _name_of(path)
        self._model: Any = _module().CrossEncoder(str(path), local_files_only=True)
        self._batch_size = batch_size

    def score(self, candidates: Sequence[Candidates]) -> list[list[float]]:
        """Return the score of each text for its question.

        Raises:
            UserError: The model does not return one number per pair.
        """
        pairs = [(each.question, text) for each in candidates for text in each.texts]
        scores = self._model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False)
        if scores.shape != (len(pairs),):
            raise UserError(
                "This cross-encoder does not return one score per text.",
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
