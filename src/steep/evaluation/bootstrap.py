"""Intervals by resampling documents, for ratios and their differences.

A score is a function of sums over questions (right and asked, right among those with a hit, claims
of model and human), so a resample of the documents needs their sums only, and ten thousand of them
are one matrix product: 0.05 s for 200 documents.

The plain percentile interval is too narrow with few documents. Its levels are widened as Hesterberg
(2015) has it, which makes a mean's as wide as Student's t; what it covers is in
`benchmarks/coverage.py`. Where a mean is asked for, `statistics` covers better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from steep.evaluation.results import Interval
from steep.evaluation.statistics import CONFIDENCE

RESAMPLES = 10_000
# Maps sums, shaped (..., columns), to scores; NaN if there is no score.
Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def bootstrap_interval(
    columns: Sequence[Sequence[float]],
    clusters: Sequence[str],
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Compute the score of all questions with its interval over documents.

    Args:
        columns: For each question the numbers that `score` needs the sums of.
        clusters: The document of each question.
        score: Vectorized over resamples; a resample without a score is left out.
        resamples: Number of resamples.
        seed: Of the draws.

    Raises:
        ValueError: All questions together have no score.
    """
    values = np.asarray(columns, dtype=np.float64)
    assert values.ndim == 2 and len(values) == len(clusters), (values.shape, len(clusters))
    sums = _sums_by_cluster(values, clusters)
    clusters_n = len(set(clusters))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = float(score(sums.sum(axis=0)))
        if not math.isfinite(found):
            raise ValueError("there is no score of these questions")
        if len(sums) == 1:  # nothing to estimate a variance from
            return Interval(found, -math.inf, math.inf, len(values), clusters_n)
        drawn = score(_draws(len(sums), resamples, seed) @ sums)
    low, high = np.nanquantile(drawn, _levels(len(sums)))
    return Interval(found, min(found, low), max(found, high), len(values), clusters_n)


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Compute the mean of a - b over the same questions, with its interval."""
    columns = [[x - y, 1.0] for x, y in zip(a, b, strict=True)]
    return bootstrap_interval(columns, clusters, ratio, resamples=resamples, seed=seed)


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first column over the second."""
    quotient: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return quotient


def ratio_difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first column over the second, minus the third over the fourth."""
    return ratio(sums[..., :2]) - ratio(sums[..., 2:])


def _sums_by_cluster(values: NDArray[np.float64], clusters: Sequence[str]) -> NDArray[np.float64]:
    """Sum per document; with a single document each question is its own cluster."""
    numbers: dict[str, int] = {}
    member = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    if len(numbers) == 1:
        return values
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, member, values)
    return sums


def _draws(clusters: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Draw how often each document is in each resample."""
    chances = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, chances, resamples).astype(np.float64)


def _levels(clusters: int) -> tuple[float, float]:
    if clusters == 1:
        return 0.0, 1.0
    t = float(stdtrit(clusters - 1, (1 + CONFIDENCE) / 2))
    low = float(ndtr(-math.sqrt(clusters / (clusters - 1)) * t))
    return low, 1 - low
