"""Measure the quality of rankings, per question.

Two measures: the ranks of the chunks of the right *document* (the paper's Recall@8: QuALITY has no
gold passage), and of its chunks that hold a gold *answer*. The second needs questions with short
answers. A question whose answer is in no chunk, because a cut divides it, counts as not found and
has `relevant == 0`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from steep.core.words import is_unspaced
from steep.retrieval.chunks import Chunk
from steep.retrieval.index import Hit


@dataclass(frozen=True, slots=True)
class RetrievalQuality:
    """The ranks of the relevant chunks of a question."""

    ranks: tuple[int, ...]  # of those that were found, from 1, ascending
    relevant: int  # number of relevant chunks in the corpus

    def recall(self, k: int) -> float:
        """Return 1 if one of the first `k` chunks is relevant, else 0."""
        return float(bool(self.ranks) and self.ranks[0] <= k)

    @property
    def reciprocal_rank(self) -> float:
        """Return 1 / the rank of the first relevant chunk; 0 if none was found."""
        return 1 / self.ranks[0] if self.ranks else 0.0

    def ndcg(self, k: int) -> float:
        """Return the discounted gain of the first `k` chunks over the maximum."""
        if not self.relevant:
            return 0.0
        ideal = sum(map(_discount, range(1, min(k, self.relevant) + 1)))
        return sum(_discount(rank) for rank in self.ranks if rank <= k) / ideal


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    """One question; `answer` is None if no text of an answer is known."""

    question_id: str
    document_id: str
    document: RetrievalQuality
    answer: RetrievalQuality | None


class Asked(NamedTuple):
    """A question that was searched; `answers` are its accepted texts."""

    question_id: str
    document_id: str
    answers: tuple[str, ...] = ()


def measure(
    asked: Sequence[Asked], rankings: Sequence[Sequence[Hit]], chunks: Sequence[Chunk]
) -> list[RetrievalRow]:
    """Find the relevant chunks of each question in its ranking."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, chunk in enumerate(chunks):
        places[chunk.document_id].append(place)
    rows = []
    for question, hits in zip(asked, rankings, strict=True):
        right = places[question.document_id]
        bearing = [n for n in right if bears_answer(chunks[n].text, question.answers)]
        answer = _found(hits, bearing) if question.answers else None
        document = _found(hits, right)
        rows.append(RetrievalRow(question.question_id, question.document_id, document, answer))
    return rows


def bears_answer(text: str, answers: Sequence[str]) -> bool:
    """Return True if a text holds one of the answers as whole words, ignoring case and line ends.

    In scripts without blanks between words each character is a word.
    """
    plain = _plain(text)
    return any(
        _apart(plain[max(found.start() - 1, 0) : found.start()], plain[found.start()])
        and _apart(plain[found.end(1) : found.end(1) + 1], plain[found.end(1) - 1])
        for answer in answers
        for found in re.finditer(f"(?=({re.escape(_plain(answer))}))", plain)
        if found.group(1)
    )


def _apart(outside: str, inside: str) -> bool:
    """Return True if the character beside an answer is not part of the answer's word."""
    return not re.match(r"\w", outside) or is_unspaced(outside) or is_unspaced(inside)


@lru_cache(maxsize=4096)  # a chunk is asked about by all questions on its document
def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _found(hits: Sequence[Hit], relevant: Sequence[int]) -> RetrievalQuality:
    inside = set(relevant)
    ranks = (rank for rank, hit in enumerate(hits, start=1) if hit.place in inside)
    return RetrievalQuality(tuple(ranks), len(relevant))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)
