"""BM25: rank texts by the words that they share with a question, rare words first.

Robertson's formula in the form that Lucene uses, as one sparse matrix of words by texts, so that a
block of questions is one product. It needs only SciPy, and its scores are those of the package
bm25s. There are no stop words and no stemming: common words weigh little anyway, and both would tie
it to one language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags

from steep.core.words import words_of
from steep.retrieval.index import Hit, best

K1, B = 1.5, 0.75  # saturation of repeated words, and normalization of length
BLOCK_SCORES = 2**23  # of questions by texts at once: 64 MiB


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
        block = max(1, BLOCK_SCORES // self._weights_VN.shape[1])
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
