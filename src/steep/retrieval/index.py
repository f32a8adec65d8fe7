"""Exact search among vectors: NumPy, block by block, or FAISS's flat index where there are many.

Vectors have length 1, so the inner product and Euclidean distance (which the paper's code uses)
rank alike: |a - b|^2 = 2 - 2 a.b. Both backends compare a question with every vector, so recall@k
tells about the embedder and never about the index. They return the same hits: the last bits of a
product depend on the backend and on what else is in the block, so the best of each question are
scored once more in double precision, and rounded, before they are put in order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steep.retrieval.hits import Hit, sorted_hits
from steep.retrieval.optional import need

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

FAISS_FROM = 200_000  # vectors
BLOCK_SCORES = 2**24  # of questions by vectors at once: 64 MiB
DIGITS = 6
SPARE = 64  # candidates beyond those asked for: single precision may confuse neighbors

logger = logging.getLogger(__name__)


class VectorIndex:
    """Vectors of length 1 that can be searched.

    Args:
        vectors_ND: One a text.
        faiss_from: From how many vectors on FAISS does the search, if it is installed.
    """

    def __init__(self, vectors_ND: Vectors, faiss_from: int = FAISS_FROM) -> None:
        assert vectors_ND.ndim == 2 and vectors_ND.dtype == np.float32, vectors_ND.dtype
        self.dimension = vectors_ND.shape[1]
        self._vectors_ND = vectors_ND
        self._all: Places = np.arange(len(vectors_ND))
        self._faiss: Any = None
        if len(vectors_ND) >= faiss_from:
            self._faiss = _faiss_index(vectors_ND)

    def search(self, questions_QD: Vectors, k: int) -> Iterator[list[Hit]]:
        """For each question the `k` nearest vectors, best first."""
        assert questions_QD.shape[1] == self.dimension, questions_QD.shape
        block = max(1, BLOCK_SCORES // len(self._vectors_ND))
        for start in range(0, len(questions_QD), block):
            asked_QD = questions_QD[start : start + block]
            for question_D, places in zip(asked_QD, self._near(asked_QD, k + SPARE), strict=True):
                yield self._in_order(question_D, places)[:k]

    def _near(self, questions_QD: Vectors, k: int) -> Iterator[Places]:
        """The places of the best, in any order."""
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
