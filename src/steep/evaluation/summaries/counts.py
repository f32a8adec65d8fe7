"""Judged claims become counts: of each text, of each document, and beside those of the humans.

A claim without a verdict is a claim, but neither true nor false. A text of which nothing could be
read or judged has no counts, and the reason: counted as zero it would look free of errors. An empty
text has counts, all zero: the model had nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from steep.evaluation.summaries.rows import (
    ClaimRow,
    PassageRow,
    Row,
    SummaryRow,
    TextKey,
    text_of,
)

MEASURES = ("claims", "true", "false", "salient", "cosmetic")
NOT_WRITTEN = "the engine gave no text"
NOT_READ = "no list of claims could be read"
NOT_JUDGED = "none of its claims could be judged"


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Claims of a text, or their mean over texts. `claims` also holds those without a verdict."""

    claims: float = 0.0
    true: float = 0.0
    false: float = 0.0
    salient: float = 0.0
    cosmetic: float = 0.0

    def of(self, measure: str) -> float:
        """The count of that name."""
        value: float = getattr(self, measure)
        return value


class CountedText(NamedTuple):
    """A text with its counts, or the reason why it has none."""

    text: TextKey
    counts: VerdictCounts | None
    why_not: str | None = None


class Pair(NamedTuple):
    """Counts on a document, and the human ones that they are measured by."""

    document_id: str
    own: VerdictCounts
    human: VerdictCounts


def count_texts(
    summaries: Sequence[SummaryRow], passages: Iterable[PassageRow], claims: Iterable[ClaimRow]
) -> list[CountedText]:
    """Count the claims of every text."""
    passages_by, claims_by = _grouped(passages), _grouped(claims)
    return [
        _counted(summary, passages_by.get(key, []), claims_by.get(key, []))
        for summary in summaries
        for key in (text_of(summary),)
    ]


def by_document(texts: Iterable[CountedText]) -> dict[str, VerdictCounts]:
    """The mean counts of each document's texts, of those that have counts."""
    return {document: mean_counts(each) for document, each in _counts_of(texts).items()}


def pairs_of(texts: Sequence[CountedText], human: Sequence[CountedText]) -> list[Pair]:
    """A writer's documents beside the mean of their human summaries, one pair each.

    Documents without a human summary that has counts have no pair.
    """
    yardstick = by_document(human)
    return [
        Pair(document, own, yardstick[document])
        for document, own in by_document(texts).items()
        if document in yardstick
    ]


def pairs_among(human: Sequence[CountedText]) -> list[Pair]:
    """Each human summary beside the mean of the others of its document, where there are others."""
    return [
        Pair(document, own, mean_counts(others))
        for document, each in _counts_of(human).items()
        for place, own in enumerate(each)
        if (others := each[:place] + each[place + 1 :])
    ]


def mean_counts(counts: Sequence[VerdictCounts]) -> VerdictCounts:
    """The mean of each count."""
    return VerdictCounts(*(fmean(each.of(measure) for each in counts) for measure in MEASURES))


def _counts_of(texts: Iterable[CountedText]) -> dict[str, list[VerdictCounts]]:
    found: dict[str, list[VerdictCounts]] = {}
    for each in texts:
        if each.counts is not None:
            found.setdefault(each.text.document_id, []).append(each.counts)
    return found


def _grouped(rows: Iterable[Row]) -> Mapping[TextKey, list[Row]]:
    groups: dict[TextKey, list[Row]] = {}
    for row in rows:
        groups.setdefault(text_of(row), []).append(row)
    return groups


def _counted(
    summary: SummaryRow, passages: Sequence[PassageRow], claims: Sequence[ClaimRow]
) -> CountedText:
    why_not = None
    if summary.finish_reason == "error":
        why_not = NOT_WRITTEN
    elif passages and all(row.why_not for row in passages):
        why_not = NOT_READ
    elif claims and all(row.true is None for row in claims):
        why_not = NOT_JUDGED
    return CountedText(text_of(summary), None if why_not else _count(claims), why_not)


def _count(claims: Sequence[ClaimRow]) -> VerdictCounts:
    return VerdictCounts(
        claims=len(claims),
        true=sum(row.true is True for row in claims),
        false=sum(row.true is False for row in claims),
        salient=sum(row.salient is True for row in claims),
        cosmetic=sum(row.salient is False for row in claims),
    )
