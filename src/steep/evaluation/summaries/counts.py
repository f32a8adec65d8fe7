"""Counts of judged claims: per text, per document and relative to human counts, with intervals.

A claim without a verdict is a claim, but neither true nor false. A text of which nothing could be
read or judged has no counts, and the reason: counted as zero it would look free of errors. An empty
text has counts, all zero: the model had nothing to say.

With one document there is nothing to resample: an interval then reaches as far as the measure
goes. If all documents have the same value, a bootstrap interval has no width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.bootstrap import Score, bootstrap_interval, ratio, ratio_difference
from steep.evaluation.compare import grouped
from steep.evaluation.results import Interval
from steep.evaluation.statistics import mean_interval
from steep.evaluation.summaries.texts import ClaimRow, PassageRow, SummaryRow, TextKey, text_of

MEASURES = ("claims", "true", "false", "salient", "cosmetic")
NOT_WRITTEN = "the engine gave no text"
NOT_READ = "no list of claims could be read"
NOT_JUDGED = "none of its claims could be judged"
RARE = 0.01  # of resamples: so many without any human claim may be left out of an interval
Bounds = tuple[float, float]
COUNT: Bounds = (0.0, math.inf)
SHARE: Bounds = (0.0, 1.0)
SHARE_GAP: Bounds = (-1.0, 1.0)
GAP: Bounds = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Claims of a text, or their mean over texts. `claims` also holds those without a verdict."""

    claims: float = 0.0
    true: float = 0.0
    false: float = 0.0
    salient: float = 0.0
    cosmetic: float = 0.0

    def of(self, measure: str) -> float:
        """Return the count of this name."""
        value: float = getattr(self, measure)
        return value


class CountedText(NamedTuple):
    """A text with its counts, or the reason why it has none."""

    text: TextKey
    counts: VerdictCounts | None
    why_not: str | None = None


class Pair(NamedTuple):
    """The counts of a document, and the human counts that they are compared with."""

    document_id: str
    own: VerdictCounts
    human: VerdictCounts


def count_texts(
    summaries: Sequence[SummaryRow], passages: Iterable[PassageRow], claims: Iterable[ClaimRow]
) -> list[CountedText]:
    """Count the claims of every text."""
    passages_by, claims_by = grouped(passages, text_of), grouped(claims, text_of)
    return [
        _counted(summary, passages_by.get(key, []), claims_by.get(key, []))
        for summary in summaries
        for key in (text_of(summary),)
    ]


def by_document(texts: Iterable[CountedText]) -> dict[str, VerdictCounts]:
    """Return the mean counts of each document, over its texts with counts."""
    return {document: mean_counts(each) for document, each in _counts_of(texts).items()}


def pairs_of(texts: Sequence[CountedText], human: Sequence[CountedText]) -> list[Pair]:
    """Pair each document of a writer with the mean of its human summaries.

    Documents without a human summary that has counts have no pair.
    """
    yardstick = by_document(human)
    return [
        Pair(document, own, yardstick[document])
        for document, own in by_document(texts).items()
        if document in yardstick
    ]


def pairs_among(human: Sequence[CountedText]) -> list[Pair]:
    """Pair each human summary with the mean of the others of its document, if there are others."""
    return [
        Pair(document, own, mean_counts(others))
        for document, each in _counts_of(human).items()
        for place, own in enumerate(each)
        if (others := each[:place] + each[place + 1 :])
    ]


def mean_counts(counts: Sequence[VerdictCounts]) -> VerdictCounts:
    """Return the mean of each count."""
    return VerdictCounts(*(fmean(each.of(measure) for each in counts) for measure in MEASURES))


def _counts_of(texts: Iterable[CountedText]) -> dict[str, list[VerdictCounts]]:
    by_document = grouped(texts, lambda each: each.text.document_id)
    counts = {
        document: [each.counts for each in own if each.counts is not None]
        for document, own in by_document.items()
    }
    return {document: each for document, each in counts.items() if each}


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


def mean_over_documents(values: Mapping[str, float], bounds: Bounds = COUNT) -> Interval | None:
    """Return the mean of one value per document."""
    return _interval([(value, 1.0) for value in values.values()], list(values), ratio, bounds)


def mean_of_ratios(pairs: Sequence[Pair], measure: str) -> Interval | None:
    """Return the mean over documents of own by human count, where the latter is above zero.

    Several pairs of a document count as their mean.
    """
    known = grouped(
        (pair for pair in pairs if pair.human.of(measure)), lambda pair: pair.document_id
    )
    return mean_over_documents(
        {
            document: fmean(each.own.of(measure) / each.human.of(measure) for each in own)
            for document, own in known.items()
        }
    )


def ratio_of_sums(pairs: Sequence[Pair], measure: str) -> Interval | None:
    """Return all own claims by all human ones; None if there are no human ones.

    Resampled is own / (own + human), which exists without human claims, too, where the ratio
    has no upper bound: a resample without them pulls the upper end to infinity, as it should.
    """
    columns = [(pair.own.of(measure), pair.human.of(measure)) for pair in pairs]
    if not any(human for _, human in columns):
        return None
    share = _interval(columns, [pair.document_id for pair in pairs], _share_of_first, SHARE)
    if share is None:
        return None
    mean, low, high = map(_odds, (share.mean, share.low, share.high))
    return Interval(mean, low, high, share.n, share.clusters)


def precision(claims: Sequence[ClaimRow]) -> Interval | None:
    """Return the share of true claims among those judged true or false."""
    judged = [(float(row.true), row.document_id) for row in claims if row.true is not None]
    return mean_interval(*zip(*judged, strict=True)) if judged else None


def precision_gap(
    a: Sequence[ClaimRow], b: Sequence[ClaimRow], documents: Collection[str]
) -> Interval | None:
    """Return the precision of the first minus that of the second, on these documents."""
    sums = {document: [0.0] * 4 for document in documents}
    for side, claims in enumerate((a, b)):
        for row in claims:
            if row.true is not None and row.document_id in sums:
                sums[row.document_id][2 * side] += row.true
                sums[row.document_id][2 * side + 1] += 1
    return _interval(list(sums.values()), list(sums), ratio_difference, SHARE_GAP)


def gap_of_ratios(gaps: Mapping[str, float], human: Mapping[str, float]) -> Interval | None:
    """Return the mean over documents of a difference by the human count, where it is above zero."""
    ratios = {each: gap / human[each] for each, gap in gaps.items() if human.get(each)}
    return mean_over_documents(ratios, GAP)


def gap_of_sums(gaps: Mapping[str, float], human: Mapping[str, float]) -> Interval | None:
    """Return all differences by all human claims; None if too many resamples have none of these."""
    shared = [document for document in gaps if document in human]
    bare = sum(human[document] == 0 for document in shared)
    if not shared or (bare / len(shared)) ** len(shared) > RARE:
        return None
    columns = [(gaps[document], human[document]) for document in shared]
    return _interval(columns, shared, _ratio_or_nothing, GAP)


def _interval(
    columns: Sequence[Sequence[float]], documents: Sequence[str], score: Score, bounds: Bounds
) -> Interval | None:
    """Return the bootstrap interval; None if there is no score."""
    if not columns:
        return None
    try:
        found = bootstrap_interval(columns, documents, score)
    except ValueError:
        return None
    if found.clusters == 1:
        return Interval(found.mean, *bounds, found.n, 1)
    return found


def _share_of_first(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = sums[..., 0] / sums.sum(axis=-1)
    return share


def _ratio_or_nothing(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(sums[..., 1] > 0, ratio(sums), np.nan)


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else math.inf
