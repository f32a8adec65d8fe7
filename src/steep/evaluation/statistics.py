"""Intervals clustered by document, and paired tests.

Questions on one document are not independent, so the interval of a mean rests on an *effective*
sample size: n divided by the design effect (variance with documents as clusters, corrected for
leverage, over variance with questions as if independent), and on Student's t with one degree of
freedom fewer than there are documents in effect. With it, a mean of right answers gets Wilson's
interval and a paired difference that of Bonett and Price (2012). With few documents the design
effect is a rough estimate, and one below 1 is mostly chance, so it is held above 1/3. The p of a
difference is the interval's own: below 0.05 exactly where the 95% interval excludes zero.

If all values are equal, the design effect is taken as 1, near what a single other value would give.
With a single document each question is its own cluster: the interval then speaks of that document's
questions only, and `clusters` is 1.

Where an arm is trained with several seeds, grades are means over its models, and the variance of
training (that between their accuracies, over their number) is added to that of questions: the law
of total variance, by which the variance of a mean is that of its conditional mean plus the mean of
its conditional variance. The degrees of freedom are Satterthwaite's. What seeds do to single
questions is in both parts, so the sum is slightly too large, which two seeds need.

Ratios have intervals by resampling documents (`bootstrap_interval`). A ratio is a function of sums
over questions, so ten thousand resamples are one matrix product. The plain percentile interval is
too narrow with few documents; its levels are widened as in Hesterberg (2015), which makes a mean's
as wide as Student's t. The coverage of all these in simulated studies is in LOG.md
(`benchmarks/coverage.py`, `benchmarks/seeds.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr, stdtr, stdtrit

from steep.evaluation.results import Interval, StandardErrors

CONFIDENCE = 0.95
POWER = 0.8
LEAST_DESIGN_EFFECT = 1 / 3
PSEUDO_PAIRS = 2  # Bonett and Price add one pair to either side
RESAMPLES = 10_000
# Maps sums, shaped (..., columns), to scores; NaN if there is no score.
Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class TrainingVariance(NamedTuple):
    """The variance of the mean accuracy of an arm's models between seeds."""

    variance: float
    degrees: float

    @classmethod
    def of(cls, accuracies: Sequence[float]) -> TrainingVariance:
        """Estimate it from the accuracy of each model, of two or more."""
        models = len(accuracies)
        return cls(float(np.var(accuracies, ddof=1)) / models, models - 1)


class _Sample(NamedTuple):
    mean: float
    effective_n: float
    degrees: float
    error: float  # the standard error of the mean


class _Paired(NamedTuple):
    mean: float
    centre: float
    error: float
    degrees: float


def mean_interval(
    values: Sequence[float], clusters: Sequence[str], training: Sequence[TrainingVariance] = ()
) -> Interval:
    """Compute the mean of values between 0 and 1 (right or wrong, or a grade) and its interval.

    `training` is the variance of an arm whose values are means over its models.
    """
    sample, n = _sample(_numbers(values, 0, 1), clusters), len(values)
    if sample.degrees == 0:
        return Interval(sample.mean, 0.0, 1.0, n, 1)
    mean, size, degrees = sample.mean, sample.effective_n, sample.degrees
    own = mean * (1 - mean) / size
    if own > 0:
        total, degrees = total_variance(own, degrees, training)
        size *= own / total
    t = _quantile(degrees, (1 + CONFIDENCE) / 2)
    centre = (mean + t * t / (2 * size)) / (1 + t * t / size)
    half = t * math.sqrt(mean * (1 - mean) / size + (t / (2 * size)) ** 2) / (1 + t * t / size)
    # Rounding must not leave the mean outside where all are right or all wrong.
    low, high = min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))
    return Interval(mean, low, high, n, len(set(clusters)))


def standard_errors(
    values: Sequence[float],
    clusters: Sequence[str],
    training: Sequence[TrainingVariance],
    *,
    known: bool,
) -> StandardErrors:
    """Compute the errors of a mean; `known` is False if some arm was trained with one seed."""
    return StandardErrors(
        questions=_sample(np.asarray(values, dtype=np.float64), clusters).error,
        training=math.sqrt(sum(each.variance for each in training)) if known else None,
    )


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[str],
    training: Sequence[TrainingVariance] = (),
) -> Interval:
    """Compute the mean of a - b over the same questions, and its interval.

    `training` are the variances of those of the two whose values are means over several models.
    """
    paired, n = _paired(a, b, clusters, training), len(a)
    if paired.degrees == 0:
        return Interval(paired.mean, -1.0, 1.0, n, 1)
    half = _quantile(paired.degrees, (1 + CONFIDENCE) / 2) * paired.error
    low, high = max(-1.0, paired.centre - half), min(1.0, paired.centre + half)
    return Interval(paired.mean, low, high, n, len(set(clusters)))


def paired_p(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[str],
    training: Sequence[TrainingVariance] = (),
) -> float:
    """Compute the two-sided p that the mean of a - b is zero, by inverting its interval."""
    paired = _paired(a, b, clusters, training)
    if paired.degrees == 0:
        return 1.0
    return 2 * float(stdtr(paired.degrees, -abs(paired.centre) / paired.error))


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


def _paired(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[str],
    training: Sequence[TrainingVariance],
) -> _Paired:
    """Return the mean difference, and center and error after one pseudo-pair on either side."""
    differences = _numbers(a, 0, 1) - _numbers(b, 0, 1)
    sample = _sample(differences, clusters)
    size = sample.effective_n + PSEUDO_PAIRS
    centre = sample.mean * sample.effective_n / size
    square = (float(np.mean(differences**2)) * sample.effective_n + PSEUDO_PAIRS) / size
    variance, degrees = (square - centre**2) / size, sample.degrees
    if degrees:
        kept = (sample.effective_n / size) ** 2  # pseudo-pairs shrink the center
        variance, degrees = total_variance(
            variance, degrees, [each._replace(variance=kept * each.variance) for each in training]
        )
    return _Paired(sample.mean, centre, math.sqrt(variance), degrees)


def total_variance(
    variance: float, degrees: float, training: Sequence[TrainingVariance]
) -> tuple[float, float]:
    """Add the variances of training to another one; return Satterthwaite's degrees, too.

    These trust a small variance of training of two or three models that are alike by chance, so
    where training varies far more than questions, intervals are too short (docs/power.md).
    """
    parts = [(variance, degrees), *training]
    total = sum(part for part, _ in parts)
    if total == 0:
        return 0.0, sum(own for _, own in parts)
    return total, total**2 / sum(part**2 / own for part, own in parts)


def _sample(values: NDArray[np.float64], clusters: Sequence[str]) -> _Sample:
    n = len(values)
    member, mean = _members(clusters), float(values.mean())
    sizes = np.bincount(member)
    if n == 1:
        return _Sample(mean, 1.0, 0, 0.0)
    # Documents of one size would count in full; the larger some are, the fewer they are in effect.
    effective_clusters = n**2 / float((sizes**2).sum())
    degrees = max(1.0, effective_clusters - 1)
    independent = float(((values - mean) ** 2).sum()) / (n - 1) / n
    if (values == values[0]).all():
        return _Sample(mean, n, degrees, 0.0)
    # A cluster pulls the mean towards itself; 1 - its share undoes that (CR2 for a mean).
    sums = np.bincount(member, values - mean)
    clustered = float((sums**2 / (1 - sizes / n)).sum()) / n**2
    effect = max(LEAST_DESIGN_EFFECT, clustered / independent)
    return _Sample(mean, n / effect, degrees, math.sqrt(independent * effect))


def _numbers(values: Sequence[float], low: float, high: float) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    assert numbers.ndim == 1 and len(numbers) > 0, numbers.shape
    assert low <= numbers.min() and numbers.max() <= high, (numbers.min(), numbers.max())
    return numbers


def _quantile(degrees: float, level: float) -> float:
    return float(stdtrit(degrees, level))


def bootstrap_interval(
    columns: Sequence[Sequence[float]],
    clusters: Sequence[str],
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    shifted: bool = False,
) -> Interval:
    """Compute the score of all questions with its interval over documents.

    Args:
        columns: For each question the numbers that `score` needs the sums of.
        clusters: The document of each question.
        score: Vectorized over resamples; a resample without a score is left out.
        resamples: Number of resamples.
        seed: Of the draws.
        shifted: Move the lower bound by twice the bias of the resamples, away from it: for scores
            that noise increases, such as a mean of absolute values. The questions already increased
            such a score, and the resamples increase it again.

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
    low, high = np.nanquantile(drawn, bootstrap_levels(len(sums)))
    low -= 2 * (np.nanmean(drawn) - found) if shifted else 0
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
    member = _members(clusters)
    sums = np.zeros((member.max() + 1, values.shape[1]))
    np.add.at(sums, member, values)
    return sums


def _members(clusters: Sequence[str]) -> NDArray[np.int64]:
    """Number the cluster of each value; with a single one each value is its own cluster."""
    numbers: dict[str, int] = {}
    member = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    return np.arange(len(clusters)) if len(numbers) == 1 else member


def _draws(clusters: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """Draw how often each document is in each resample."""
    chances = np.full(clusters, 1 / clusters)
    return np.random.default_rng(seed).multinomial(clusters, chances, resamples).astype(np.float64)


def bootstrap_levels(clusters: int) -> tuple[float, float]:
    """Return the levels of a 95% percentile interval over so many clusters, two or more."""
    t = _quantile(clusters - 1, (1 + CONFIDENCE) / 2)
    low = float(ndtr(-math.sqrt(clusters / (clusters - 1)) * t))
    return low, 1 - low
