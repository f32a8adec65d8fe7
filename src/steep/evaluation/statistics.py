"""Intervals clustered by document, paired tests, and the smallest detectable difference.

Questions on one document are not independent, so every interval rests on an *effective* sample
size: n divided by the design effect (variance with documents as clusters, leverage-corrected, over
variance with questions as if independent), and on Student's t with one degree of freedom fewer than
there are documents in effect. With it, a mean of right answers gets Wilson's interval and a paired
difference that of Bonett and Price (2012). Plain mean +- t * error covers too little with few
documents and near 0 and 1. With few documents the design effect is a rough estimate, and one below
1 is mostly luck: t pays for that. It is held above 1/3; a limit of 1 would cover 99% with six
documents. What this covers in simulated studies is in LOG.md (`benchmarks/coverage.py`).

The p of a difference is the interval's own: below 0.05 exactly where the 95% interval excludes
zero. McNemar's test takes questions as independent; it is a detail beside it.

If all values are equal, the clustering cannot be estimated, and the design effect is taken as 1,
near what a single other value would give. With a single document each question is its own cluster:
the interval then speaks of that document's questions only, and `clusters` is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtr, stdtrit

from steep.evaluation.results import Interval

CONFIDENCE = 0.95
POWER = 0.8
LEAST_DESIGN_EFFECT = 1 / 3
PSEUDO_PAIRS = 2  # Bonett and Price add one pair to either side


class _Sample(NamedTuple):
    mean: float
    effective_n: float
    degrees: float


class _Paired(NamedTuple):
    mean: float
    centre: float
    error: float
    degrees: float


def mean_interval(values: Sequence[float], clusters: Sequence[str]) -> Interval:
    """Compute the mean of values between 0 and 1 (right or wrong, or a grade) and its interval."""
    sample, n = _sample(_numbers(values, 0, 1), clusters), len(values)
    if sample.degrees == 0:
        return Interval(sample.mean, 0.0, 1.0, n, 1)
    t = _quantile(sample.degrees, (1 + CONFIDENCE) / 2)
    mean, size = sample.mean, sample.effective_n
    centre = (mean + t * t / (2 * size)) / (1 + t * t / size)
    half = t * math.sqrt(mean * (1 - mean) / size + (t / (2 * size)) ** 2) / (1 + t * t / size)
    # Rounding must not leave the mean outside where all are right or all wrong.
    low, high = min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))
    return Interval(mean, low, high, n, len(set(clusters)))


def paired_difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[str]) -> Interval:
    """Compute the mean of a - b over the same questions, and its interval."""
    paired, n = _paired(a, b, clusters), len(a)
    if paired.degrees == 0:
        return Interval(paired.mean, -1.0, 1.0, n, 1)
    half = _quantile(paired.degrees, (1 + CONFIDENCE) / 2) * paired.error
    low, high = max(-1.0, paired.centre - half), min(1.0, paired.centre + half)
    return Interval(paired.mean, low, high, n, len(set(clusters)))


def paired_p(a: Sequence[float], b: Sequence[float], clusters: Sequence[str]) -> float:
    """Compute the two-sided p that the mean of a - b is zero, by inverting its interval."""
    paired = _paired(a, b, clusters)
    if paired.degrees == 0:
        return 1.0
    return 2 * float(stdtr(paired.degrees, -abs(paired.centre) / paired.error))


def minimum_detectable_difference(
    a: Sequence[float], b: Sequence[float], clusters: Sequence[str]
) -> float | None:
    """Estimate the true difference that a study like this one finds in about three of four tries.

    From the observed variance of the differences, at two-sided 5% without a correction for several
    comparisons; None for a single question. With few documents the estimate itself is rough: it
    aims at a power of 80%, and reaches 60 to 80% in simulations.
    """
    paired = _paired(a, b, clusters)
    if paired.degrees == 0:
        return None
    quantiles = [_quantile(paired.degrees, level) for level in ((1 + CONFIDENCE) / 2, POWER)]
    return min(1.0, sum(quantiles) * paired.error)


def mcnemar_exact(a: Sequence[bool], b: Sequence[bool]) -> float:
    """Compute the two-sided p that a and b are right equally often, from where they differ.

    It takes questions as independent: where those of a document go together, its p is too small.
    """
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    if only_a + only_b == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Apply Holm's correction for several comparisons, in the order given."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _paired(a: Sequence[float], b: Sequence[float], clusters: Sequence[str]) -> _Paired:
    """Return the mean difference, and center and error after one pseudo-pair on either side."""
    differences = _numbers(a, 0, 1) - _numbers(b, 0, 1)
    sample = _sample(differences, clusters)
    size = sample.effective_n + PSEUDO_PAIRS
    centre = sample.mean * sample.effective_n / size
    square = (float(np.mean(differences**2)) * sample.effective_n + PSEUDO_PAIRS) / size
    error = math.sqrt((square - centre**2) / size)
    return _Paired(sample.mean, centre, error, sample.degrees)


def _sample(values: NDArray[np.float64], clusters: Sequence[str]) -> _Sample:
    n = len(values)
    numbers: dict[str, int] = {}
    member = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    if len(numbers) == 1:
        member = np.arange(n)
    mean = float(values.mean())
    sizes = np.bincount(member)
    if n == 1:
        return _Sample(mean, 1.0, 0)
    # Documents of one size would count in full; the larger some are, the fewer they are in effect.
    effective_clusters = n**2 / float((sizes**2).sum())
    degrees = max(1.0, effective_clusters - 1)
    independent = float(((values - mean) ** 2).sum()) / (n - 1) / n
    if (values == values[0]).all():
        return _Sample(mean, n, degrees)
    # A cluster pulls the mean towards itself; 1 - its share undoes that (CR2 for a mean).
    sums = np.bincount(member, values - mean)
    clustered = float((sums**2 / (1 - sizes / n)).sum()) / n**2
    return _Sample(mean, n / max(LEAST_DESIGN_EFFECT, clustered / independent), degrees)


def _numbers(values: Sequence[float], low: float, high: float) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    assert numbers.ndim == 1 and len(numbers) > 0, numbers.shape
    assert low <= numbers.min() and numbers.max() <= high, (numbers.min(), numbers.max())
    return numbers


def _quantile(degrees: float, level: float) -> float:
    return float(stdtrit(degrees, level))
