"""Rankings: hits, their fusion, exact search among vectors, and BM25.

Vectors are searched with NumPy, block by block, or with FAISS's flat index if there are many. They
have length 1, so the inner product and Euclidean distance (which the paper's code uses) rank alike.
Both backends compare a question with every vector, so recall@k depends on the embedder and never on
the index. The best of each question are scored once more in double precision, and rounded, before
they are put in order, so that both return the same hits.

BM25 ranks texts by the words that they share with a question, rare words first: Robertson's formula
in the form that Lucene uses, with the scores of the package bm25s. There are no stop words and no
stemming: common words weigh little anyway, and both would tie it to one language.
"""

from __future__ import annotations

import importlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from steep.core.errors import UserError
from steep.core.words import words_of

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

FAISS_FROM = 200_000  # vectors
BLOCK_SCORES = 2**24  # of questions by vectors at once: 64 MiB
BM25_BLOCK_SCORES = 2**23  # of questions by texts at once: 64 MiB
K1, B = 1.5, 0.75  # saturation of repeated words, and normalization of length
DIGITS = 6
RANK_OFFSET = 60  # of reciprocal rank fusion; that of its authors
SPARE = 64  # candidates beyond those asked for: single precision may confuse neighbors

logger = logging.getLogger(__name__)


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


class Hit(NamedTuple):
    """The text at `place`, and its score; higher is better."""

    place: int
    score: float


def best(scores_N: NDArray[np.floating], k: int, above: float = -np.inf) -> list[Hit]:
    """Return the `k` highest scores above `above`, best first; of equal ones the earlier text.

    Partitions first: of 200,000 scores the best 128 are found in a tenth of the time of a sort.
    """
    assert scores_N.ndim == 1, scores_N.shape
    candidates = np.arange(len(scores_N))
    if k < len(scores_N):
        lowest = np.partition(scores_N, len(scores_N) - k)[len(scores_N) - k]
        candidates = np.flatnonzero(scores_N >= lowest)
    candidates = candidates[scores_N[candidates] > above]
    order = candidates[np.argsort(-scores_N[candidates], kind="stable")][:k]
    return [Hit(int(place), float(scores_N[place])) for place in order]


def sorted_hits(hits: Sequence[Hit]) -> list[Hit]:
    """Sort hits, best first; of equal scores the earlier text."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.place))


def fuse(rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """Return the `k` best of several rankings of the same texts, by reciprocal rank fusion.

    Each ranking gives a text 1 / (60 + its rank), and the sums decide (Cormack, Clarke and
    Buettcher, SIGIR 2009). Only ranks count: scores of BM25 and of embeddings have no common scale.
    """
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            scores[hit.place] += 1 / (RANK_OFFSET + rank)
    return sorted_hits([Hit(place, score) for place, score in scores.items()])[:k]


class VectorIndex:
    """Vectors of length 1 that can be searched, with FAISS from `faiss_from` vectors on."""

    def __init__(self, vectors_ND: Vectors, faiss_from: int = FAISS_FROM) -> None:
        assert vectors_ND.ndim == 2 and vectors_ND.dtype == np.float32, vectors_ND.dtype
        self.dimension = vectors_ND.shape[1]
        self._vectors_ND = vectors_ND
        self._all: Places = np.arange(len(vectors_ND))
        self._faiss: Any = None
        if len(vectors_ND) >= faiss_from:
            self._faiss = _faiss_index(vectors_ND)

    def search(self, questions_QD: Vectors, k: int) -> Iterator[list[Hit]]:
        """Yield, for each question, the `k` nearest vectors, best first."""
        assert questions_QD.shape[1] == self.dimension, questions_QD.shape
        block = max(1, BLOCK_SCORES // len(self._vectors_ND))
        for start in range(0, len(questions_QD), block):
            asked_QD = questions_QD[start : start + block]
            for question_D, places in zip(asked_QD, self._near(asked_QD, k + SPARE), strict=True):
                yield self._in_order(question_D, places)[:k]

    def _near(self, questions_QD: Vectors, k: int) -> Iterator[Places]:
        """Yield the places of the best, in any order."""
        if self._faiss is not None:
            k = min(k, len(self._vectors_ND))
            yield from self._faiss.search(np.ascontiguousarray(questions_QD), k)[1]
        else:
            for scores_N in questions_QD @ self._vectors_ND.T:
                yield np.argpartition(-scores_N, k)[:k] if k < len(scores_N) else self._all

    def _in_order(self, question_D: Vectors, places: Places) -> list[Hit]:
        scores = self._vectors_ND[places].astype(np.float64) @ question_D.astype(np.float64)
        pairs = zip(places.tolist(), np.round(scores, DIGITS).tolist(), strict=True)
        return sorted_hits([Hit(place, score) for place, score in pairs])


def _faiss_index(vectors_ND: Vectors) -> Any:
    if find_spec("faiss") is None:
        count = f"{len(vectors_ND):,}"
        logger.warning(
            "searching %s vectors with NumPy; pip install faiss-cpu makes it faster", count
        )
        return None
    index = need("faiss", "faiss-cpu").IndexFlatIP(vectors_ND.shape[1])
    index.add(np.ascontiguousarray(vectors_ND))
    return index


class BM25Index:
    """An index of texts by their words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words: dict[str, int] = {}
        counted = [Counter(words_of(text)) for text in texts]
        for words in counted:
            for word in words:
                self._words.setdefault(word, len(self._words))
        self._weights_VN = _weights(self._counts(counted))

    def search(self, questions: Sequence[str], k: int) -> Iterator[list[Hit]]:
        """Yield, for each question, at most `k` texts that share a word with it, best first."""
        block = max(1, BM25_BLOCK_SCORES // self._weights_VN.shape[1])
        for start in range(0, len(questions), block):
            asked = [Counter(words_of(text)) for text in questions[start : start + block]]
            scores_QN = (self._counts(asked) @ self._weights_VN).toarray()
            yield from (best(scores_N, k, above=0.0) for scores_N in scores_QN)

    def _counts(self, counted: Sequence[Counter[str]]) -> Any:
        """Count each known word in each text."""
        ends, columns, counts = [0], [], []
        for words in counted:
            known = [(self._words[word], n) for word, n in words.items() if word in self._words]
            columns += [column for column, _ in known]
            counts += [n for _, n in known]
            ends.append(len(columns))
        shape = (len(counted), len(self._words))
        return csr_matrix((np.array(counts, np.float64), columns, ends), shape=shape)


def _weights(counts_NV: Any) -> Any:
    """Return what one mention of each word in a question adds to the score of each text."""
    texts = counts_NV.shape[0]
    lengths_N = np.asarray(counts_NV.sum(axis=1)).ravel()
    found_in_V = np.bincount(counts_NV.indices, minlength=counts_NV.shape[1])
    rarity_V = np.log(1 + (texts - found_in_V + 0.5) / (found_in_V + 0.5))
    relative_N = lengths_N / max(lengths_N.mean(), 1e-9)
    damping = np.repeat(K1 * (1 - B + B * relative_N), np.diff(counts_NV.indptr))
    weights_NV = counts_NV.copy()
    weights_NV.data = counts_NV.data / (counts_NV.data + damping)
    return (weights_NV @ diags(rarity_V)).T.tocsr()
