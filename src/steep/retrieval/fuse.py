"""Several rankings of one question become one, by reciprocal rank fusion.

Each ranking gives a text 1 / (60 + its rank), and the sums decide (Cormack, Clarke and Buettcher,
SIGIR 2009; 60 is theirs). Only ranks count: scores of BM25 and of embeddings have no common scale.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from steep.retrieval.hits import Hit, sorted_hits

RANK_OFFSET = 60


def fuse(rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """The `k` best of several rankings of the same texts."""
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            scores[hit.place] += 1 / (RANK_OFFSET + rank)
    return sorted_hits([Hit(place, score) for place, score in scores.items()])[:k]
