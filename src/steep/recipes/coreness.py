"""How central entities are in their document: PageRank over the sentences that they share.

CosyCPT (a submission to ICLR 2026, G3dW21Geb6) writes about the most central pairs of EntiGraph
first, where a budget does not reach all of them. It compares PageRank, degree, betweenness and
closeness of the graph of entities that occur together; gains were small and not consistent.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections import defaultdict
from functools import lru_cache

from steep.core.words import words_of
from steep.documents.mentions import mention_index

DAMPING = 0.85
ROUNDS = 50
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")


@lru_cache(maxsize=64)
def by_coreness(entities: tuple[str, ...], text: str) -> tuple[int, ...]:
    """Return the places of entities in a list, the most central one in the text first."""
    if not entities:
        return ()
    ranks = page_rank(len(entities), _shared_sentences(entities, text))
    return tuple(sorted(range(len(entities)), key=lambda place: (-round(ranks[place], 12), place)))


def page_rank(nodes: int, edges: dict[tuple[int, int], int]) -> list[float]:
    """Return the PageRank of each node of an undirected graph, given its edges with weights."""
    weights = [0] * nodes
    for (one, other), weight in edges.items():
        weights[one] += weight
        weights[other] += weight
    ranks = [1 / nodes] * nodes
    for _ in range(ROUNDS):
        unlinked = sum(rank for rank, weight in zip(ranks, weights, strict=True) if not weight)
        found = [(1 - DAMPING + DAMPING * unlinked) / nodes] * nodes
        for (one, other), weight in edges.items():
            found[other] += DAMPING * ranks[one] * weight / weights[one]
            found[one] += DAMPING * ranks[other] * weight / weights[other]
        ranks = found
    return ranks


def _shared_sentences(entities: tuple[str, ...], text: str) -> dict[tuple[int, int], int]:
    """Return in how many sentences two entities occur, for each pair of places that has one."""
    index = mention_index(text)
    sentences = [f" {' '.join(words_of(each))} " for each in _SENTENCE_END.split(text) if each]
    starts = [0, *itertools.accumulate(map(len, sentences))]
    joined = "".join(sentences)
    places = {name: place for place, name in enumerate(entities)}
    mentioned: defaultdict[int, set[int]] = defaultdict(set)  # by sentence
    for name, words in index.find(entities):
        for match in re.finditer(index.pattern(words), joined):
            mentioned[bisect_right(starts, match.start())].add(places[name])
    edges: defaultdict[tuple[int, int], int] = defaultdict(int)
    for found in mentioned.values():
        for pair in itertools.combinations(sorted(found), 2):
            edges[pair] += 1
    return dict(edges)
