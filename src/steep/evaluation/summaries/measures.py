"""Means, ratios and differences of counts over documents, each with its interval.

With one document there is nothing to draw from: an interval then reaches as far as the measure
goes. Where all documents have the same value, a bootstrap interval has no width.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.bootstrap import Score, bootstrap_interval, ratio, ratio_difference
from steep.evaluation.statistics import Interval, mean_interval
from steep.evaluation.summaries.counts import Pair
from steep.evaluation.summaries.rows import ClaimRow

RARE = 0.01  # of resamples: so many without any human claim may be left out of an interval
Bounds = tuple[float, float]
COUNT: Bounds = (0.0, math.inf)
SHARE: Bounds = (0.0, 1.0)
SHARE_GAP: Bounds = (-1.0, 1.0)
GAP: Bounds = (-math.inf, math.inf)


def mean_over_documents(values: Mapping[str, float], bounds: Bounds = COUNT) -> Interval | None:
    """The mean of one value a document."""
    return _interval([(value, 1.0) for value in values.values()], list(values), ratio, bounds)


def mean_of_ratios(pairs: Sequence[Pair], measure: str) -> Interval | None:
    """The mean over documents of own by human, where the human count is above zero.

    Several pairs of a document count as their mean.
    """
    ratios: dict[str, list[float]] = {}
    for pair in pairs:
        if human := pair.human.of(measure):
            ratios.setdefault(pair.document_id, []).append(pair.own.of(measure) / human)
    return mean_over_documents({document: fmean(each) for document, each in ratios.items()})


def ratio_of_sums(pairs: Sequence[Pair], measure: str) -> Interval | None:
    """All own claims by all human ones; None where the humans have none.

    What is drawn is own / (own + human), which exists without human claims too, where the ratio
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
    """The share of true claims among those that were judged true or false."""
    judged = [(float(row.true), row.document_id) for row in claims if row.true is not None]
    return mean_interval(*zip(*judged, strict=True)) if judged else None


def precision_gap(
    a: Sequence[ClaimRow], b: Sequence[ClaimRow], documents: Collection[str]
) -> Interval | None:
    """The precision of the first less that of the second, on these documents."""
    sums = {document: [0.0] * 4 for document in documents}
    for side, claims in enumerate((a, b)):
        for row in claims:
            if row.true is not None and row.document_id in sums:
                sums[row.document_id][2 * side] += row.true
                sums[row.document_id][2 * side + 1] += 1
    return _interval(list(sums.values()), list(sums), ratio_difference, SHARE_GAP)


def gap_of_ratios(gaps: Mapping[str, float], human: Mapping[str, float]) -> Interval | None:
    """The mean over documents of a difference by the human count, where that is above zero."""
    ratios = {each: gap / human[each] for each, gap in gaps.items() if human.get(each)}
    return mean_over_documents(ratios, GAP)


def gap_of_sums(gaps: Mapping[str, float], human: Mapping[str, float]) -> Interval | None:
    """All differences by all human claims; None where too many resamples have none of these."""
    shared = [document for document in gaps if document in human]
    bare = sum(human[document] == 0 for document in shared)
    if not shared or (bare / len(shared)) ** len(shared) > RARE:
        return None
    columns = [(gaps[document], human[document]) for document in shared]
    return _interval(columns, shared, _ratio_or_nothing, GAP)


def _interval(
    columns: Sequence[Sequence[float]], documents: Sequence[str], score: Score, bounds: Bounds
) -> Interval | None:
    """The bootstrap interval; None where there is no score."""
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
