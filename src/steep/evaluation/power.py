"""How many questions and documents detect a difference, and what a question set can detect.

The test is that of `compare`: Student's t on the paired differences, with documents as clusters and
one degree of freedom fewer than there are documents in effect, and Bonett and Price's pseudo-pairs.
Its power is that of the noncentral t distribution. Holm's correction of k planned comparisons is
taken at its first step, a level of 0.05 / k: the other steps have more power.

What decides the numbers is how the differences vary (`DifferenceSpread`): the share of questions on
which two models differ, and the correlation of the differences within a document (ICC). With m
questions per document the variance of a mean is 1 + (m - 1) ICC times that of independent
questions, so more questions per document help less and less, and never more than 1 / ICC of them.
`benchmarks/power.py` compares stated with simulated power (LOG.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import nctdtr, stdtrit

from steep.evaluation.statistics import (
    CONFIDENCE,
    POWER,
    PSEUDO_PAIRS,
    TrainingVariance,
    total_variance,
)

ALPHA = 1 - CONFIDENCE
PER_DOCUMENT = (1, 2, 5, 10, 20, 50)  # questions, in the rows of a plan
# Without an evaluation to take them from: the paired differences of small trained models.
ASSUMED_DISCORDANT, ASSUMED_ICCS = 0.35, (0.0, 0.05, 0.1)
MOST_DOCUMENTS = 100_000
FEW_DOCUMENTS = 30  # below which an observed ICC is a rough estimate
_STEPS = 40  # of bisection of a share


@dataclass(frozen=True, kw_only=True)
class DifferenceSpread:
    """How the differences of two models vary.

    Attributes:
        discordant: The mean squared difference per question; for answers that are right or wrong,
            the share of questions on which the models differ.
        icc: The correlation of the differences within a document, at least 0.
        training: The variance of training of the difference, if it is known.
    """

    discordant: float
    icc: float
    training: TrainingVariance | None = None


ASSUMED = tuple(DifferenceSpread(discordant=ASSUMED_DISCORDANT, icc=icc) for icc in ASSUMED_ICCS)


class SetSize(NamedTuple):
    """The size of a question set, in numbers that a test depends on.

    Attributes:
        questions: Their number.
        clusters: Documents in effect: documents of one size that would weigh the same.
        per_cluster: Questions per document, as the design effect has them.
    """

    questions: int
    clusters: float
    per_cluster: float

    @classmethod
    def of(cls, questions_by_document: Sequence[int]) -> SetSize:
        """Return the size of a set with so many questions about each document.

        With a single document each question is its own cluster, as in the tests.
        """
        total = sum(questions_by_document)
        if len(questions_by_document) == 1:
            questions_by_document = [1] * total
        squares = sum(each**2 for each in questions_by_document)
        return cls(total, total**2 / squares, squares / total)


@dataclass(frozen=True, kw_only=True)
class NeededDocuments:
    """Documents that detect a difference, by questions per document.

    Attributes:
        documents: For each spread of the plan; None if no number of documents is enough.
    """

    per_document: int
    documents: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class ObservedSpread:
    """The spread of a pair of models in an evaluation, and what its questions can detect.

    `short_answers` is False for choices among options.
    """

    metric: str
    short_answers: bool
    a: str
    b: str
    documents: int
    questions: int
    spread: DifferenceSpread
    detectable: float | None


@dataclass(frozen=True, kw_only=True)
class PowerPlan:
    """How many documents and questions detect a difference.

    Attributes:
        difference: The true difference, as a share.
        power: The share of studies that find it.
        comparisons: Planned comparisons, for which Holm corrects.
        documents: Documents of the project.
        asked_documents: Those that the present questions are about.
        questions: The present ones.
        short_answers: Whether these are questions with short answers, or else with options.
        not_counted: Questions of the file that are not among them, by reason; None without a file.
        observed: Pairs of the latest evaluation; empty without one.
        hardest: The observed pair that needs the most documents, with as many questions each.
        spreads: For which `needed` is computed, see `planned_spreads`.
        detectable: By the present questions, for each spread; None if nothing is, or without any.
        needed: By questions per document.
    """

    difference: float
    power: float
    comparisons: int
    documents: int
    asked_documents: int
    questions: int
    short_answers: bool
    not_counted: dict[str, int] | None
    observed: tuple[ObservedSpread, ...]
    hardest: ObservedSpread | None
    spreads: tuple[DifferenceSpread, ...]
    detectable: tuple[float | None, ...]
    needed: tuple[NeededDocuments, ...]


def spread_of(
    differences: Sequence[float],
    clusters: Sequence[str],
    training: Sequence[TrainingVariance] = (),
) -> DifferenceSpread:
    """Estimate the spread of paired differences; the ICC by analysis of variance.

    An ICC is 0 where documents differ no more than their questions do, or with one document.
    """
    values = np.asarray(differences, dtype=np.float64)
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    sizes = np.bincount(member)
    groups, total = len(sizes), len(values)
    icc = 0.0
    if 1 < groups < total:
        means = np.bincount(member, values) / sizes
        between = float((sizes * (means - values.mean()) ** 2).sum()) / (groups - 1)
        within = float(((values - means[member]) ** 2).sum()) / (total - groups)
        size = (total - float((sizes**2).sum()) / total) / (groups - 1)
        spread = between + (size - 1) * within
        icc = max(0.0, (between - within) / spread) if spread > 0 else 0.0
    known = None
    if training:
        known = TrainingVariance(*total_variance(*training[0], training[1:]))
    return DifferenceSpread(discordant=float((values**2).mean()), icc=icc, training=known)


def power_of(
    spread: DifferenceSpread, size: SetSize, difference: float, comparisons: int = 1
) -> float:
    """Return the share of studies that find a true difference, a share between 0 and 1."""
    degrees = max(1.0, size.clusters - 1)
    variance = max(spread.discordant, difference) - difference**2
    effect = 1 + (size.per_cluster - 1) * spread.icc
    effective = size.questions / effect
    # As in `statistics._paired`: the pseudo-pairs shrink the center and enlarge its error.
    shrunk = effective / (effective + PSEUDO_PAIRS)
    center = difference * shrunk
    square = ((variance + difference**2) * effective + PSEUDO_PAIRS) / (effective + PSEUDO_PAIRS)
    stated = (square - center**2) / (effective + PSEUDO_PAIRS)
    true = variance / effective * shrunk**2
    if spread.training is not None and spread.training.variance > 0:
        added = spread.training._replace(variance=spread.training.variance * shrunk**2)
        stated, degrees = total_variance(stated, degrees, [added])
        true += added.variance
    if true <= 0:
        return 1.0
    level = ALPHA / comparisons
    bound = float(stdtrit(degrees, 1 - level / 2)) * math.sqrt(stated / true)
    return 1 - float(nctdtr(degrees, center / math.sqrt(true), bound))


def detectable(
    spread: DifferenceSpread, size: SetSize, comparisons: int = 1, power: float = POWER
) -> float | None:
    """Return the smallest difference that has this power; None if not even the largest has."""
    low, high = 0.0, 1.0 - 1e-9
    if power_of(spread, size, high, comparisons) < power:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if power_of(spread, size, middle, comparisons) < power:
            low = middle
        else:
            high = middle
    return high


def documents_needed(
    spread: DifferenceSpread,
    per_document: int,
    difference: float,
    comparisons: int = 1,
    power: float = POWER,
) -> int | None:
    """Return the fewest documents with so many questions each; None if none are enough."""

    def enough(documents: int) -> bool:
        size = SetSize(documents * per_document, documents, per_document)
        return power_of(spread, size, difference, comparisons) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_DOCUMENTS:
            return None
    low = high // 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return max(2, high)


def hardest_pair(
    observed: Sequence[ObservedSpread], difference: float, comparisons: int
) -> ObservedSpread | None:
    """Return the pair that needs the most documents, with as many questions each; None of none."""

    def needed(each: ObservedSpread) -> tuple[float, float]:
        per_document = max(1, round(each.questions / each.documents))
        found = documents_needed(each.spread, per_document, difference, comparisons)
        return math.inf if found is None else found, each.detectable or math.inf

    return max(observed, key=needed, default=None)


def planned_spreads(hardest: ObservedSpread | None) -> tuple[DifferenceSpread, ...]:
    """Return the spreads to plan with: that of the hardest observed pair, or assumed ones.

    Its ICC is a rough estimate with few documents; assumed ones above it are then planned for, too.
    """
    if hardest is None:
        return ASSUMED
    spread, few = hardest.spread, hardest.documents < FEW_DOCUMENTS
    larger = [icc for icc in ASSUMED_ICCS if few and icc > spread.icc]
    return spread, *(replace(spread, icc=icc) for icc in larger)


def needed_documents(
    spreads: Sequence[DifferenceSpread], difference: float, comparisons: int
) -> tuple[NeededDocuments, ...]:
    """Return the documents that are needed, by questions per document."""
    return tuple(
        NeededDocuments(
            per_document=each,
            documents=tuple(
                documents_needed(spread, each, difference, comparisons) for spread in spreads
            ),
        )
        for each in PER_DOCUMENT
    )
