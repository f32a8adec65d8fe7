"""A scaling study: its points, and the results of their grades.

A point is one trained model: an arm, the tokens of its subset, and a seed. Arms that read only the
source documents are *matched*: at each size they are trained on all their texts for as many tokens
as the other arms, which shows what repetition alone gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.evaluation.compare import Grade
from steep.evaluation.config import BASE
from steep.evaluation.methods.common import Graded
from steep.evaluation.results import Interval
from steep.evaluation.statistics import (
    TrainingVariance,
    mean_interval,
    paired_difference,
    standard_errors,
)
from steep.scaling.config import ScaleConfig
from steep.scaling.curve import AccuracyCurve, Numbers
from steep.scaling.fits import fit_curve, no_fit
from steep.scaling.results import (
    RETRIEVAL,
    ArmCurve,
    ArmGains,
    Bounded,
    CurveFit,
    Gain,
    MetricStudy,
    ReachedTarget,
    SizeScore,
    TheoryFit,
)
from steep.scaling.theory_fit import fit_theory


@dataclass(frozen=True, slots=True)
class StudyPoint:
    """One model of a study; a `matched` one is trained on all texts of its arm."""

    arm: str
    tokens: int
    seed: int
    matched: bool

    @property
    def name(self) -> str:
        """The name of the model in artifacts and tables."""
        return f"{self.arm}@{self.tokens}-{self.seed}"


def study_points(
    settings: ScaleConfig,
    arms: Mapping[str, Sequence[str]],
    totals: Mapping[str, int],
    first_seed: int,
) -> tuple[StudyPoint, ...]:
    """Return the points of a study, one seed after the other, small sizes first.

    Args:
        settings: The study.
        arms: The recipes that each arm of the configuration reads.
        totals: The tokens of each arm's texts.
        first_seed: `train.seed`.

    Raises:
        UserError: An arm does not exist, none reads synthetic texts, or a size cannot be reached.
    """
    chosen = settings.arms or tuple(arms)
    if unknown := sorted(set(chosen) - set(arms)):
        raise UserError(
            f"There is no arm '{unknown[0]}' to scale.",
            where="scale.arms",
            expected=", ".join(arms),
            found=unknown[0],
        )
    matched = {arm for arm in chosen if set(arms[arm]) == {RAW_RECIPE}}
    scaled = [arm for arm in chosen if arm not in matched]
    if not scaled:
        raise UserError(
            "No arm of the study reads synthetic texts.",
            where="scale.arms" if settings.arms else "train.arms",
            expected="an arm with a recipe other than 'documents'",
            found=", ".join(chosen),
        )
    sizes = {arm: _sizes(settings, arm, totals[arm]) for arm in scaled}
    every = tuple(sorted({size for own in sizes.values() for size in own}))
    sizes |= dict.fromkeys(matched, every)
    return tuple(
        StudyPoint(arm, size, seed, arm in matched)
        for seed in range(first_seed, first_seed + settings.seeds)
        for size in every
        for arm in chosen
        if size in sizes[arm]
    )


def _sizes(settings: ScaleConfig, arm: str, total: int) -> tuple[int, ...]:
    if not settings.tokens:
        spaced = np.geomspace(settings.smallest * total, total, settings.points)
        return tuple(sorted({max(1, round(each)) for each in spaced}))
    if max(settings.tokens) > total:
        raise UserError(
            f"The texts of the arm '{arm}' are fewer than a size of the study.",
            where="scale.tokens",
            expected=f"at most {total:,} tokens",
            found=f"{max(settings.tokens):,}",
            hint="generate more texts, leave the arm out (scale.arms), or lower the size",
        )
    return tuple(sorted(set(settings.tokens)))


class ModelGrades:
    """The grades of one metric of all models, on the questions that count for all of them."""

    def __init__(self, by_model: Mapping[str, Sequence[Grade]]) -> None:
        values = {
            model: {grade.question_id: grade.value for grade in grades}
            for model, grades in by_model.items()
        }
        first = next(iter(by_model.values()))
        documents = {grade.question_id: grade.document_id for grade in first}
        asked = [each for each in documents if all(each in own for own in values.values())]
        kept = [each for each in asked if all(own[each] is not None for own in values.values())]
        self.left_out = len(documents) - len(kept)
        self.documents = [documents[each] for each in kept]
        self._values = {
            model: np.array([own[each] for each in kept], np.float64)
            for model, own in values.items()
        }

    def __contains__(self, model: str) -> bool:
        return model in self._values

    def of(self, models: Iterable[str]) -> Numbers:
        """Return the grades of some models, shape (models, questions)."""
        return np.stack([self._values[model] for model in models])

    def curve(self, points: Sequence[StudyPoint]) -> AccuracyCurve:
        """Return the curve of some points."""
        grades = self.of(point.name for point in points)
        return AccuracyCurve([point.tokens for point in points], grades, self.documents)

    def mean(self, models: Sequence[str]) -> Bounded:
        """Return the mean of the models of an arm, with its interval over documents and seeds."""
        values = self.of(models).mean(axis=0).tolist()
        training = self._training(models)
        found = mean_interval(values, self.documents, training)
        return self._bounded(found, values, training, models)

    def difference(self, a: Sequence[str], b: Sequence[str]) -> Bounded:
        """Return the mean of models `a` minus that of models `b`, with its interval."""
        first, second = (self.of(models).mean(axis=0) for models in (a, b))
        training = self._training(a, b)
        found = paired_difference(first.tolist(), second.tolist(), self.documents, training)
        return self._bounded(found, (first - second).tolist(), training, a, b)

    def _training(self, *arms: Sequence[str]) -> list[TrainingVariance]:
        several = [models for models in arms if len(models) > 1]
        return [TrainingVariance.of(self.of(each).mean(axis=1).tolist()) for each in several]

    def _bounded(
        self,
        found: Interval,
        values: Sequence[float],
        training: Sequence[TrainingVariance],
        *arms: Sequence[str],
    ) -> Bounded:
        known = all(len(models) > 1 or {*models} <= {BASE, RETRIEVAL} for models in arms)
        errors = standard_errors(values, self.documents, training, known=known)
        return Bounded(value=found.mean, low=found.low, high=found.high, errors=errors)


def metric_study(
    metric: str,
    planned: Sequence[StudyPoint],
    graded: Mapping[str, Graded],
    training_tokens: Mapping[str, int],
    targets: Sequence[float],
) -> MetricStudy:
    """Fit the curves of one metric. An arm with missing models has no fit and no gains.

    Args:
        metric: Its name.
        planned: All points of the study.
        graded: The grades of the base (`BASE`), of each point's model that is finished, and of
            `RETRIEVAL` if it was asked.
        training_tokens: Of each finished model.
        targets: Accuracies to extrapolate to.
    """
    grades = ModelGrades({name: each.grades for name, each in graded.items()})
    by_arm: dict[str, list[StudyPoint]] = {}
    missing: dict[str, list[StudyPoint]] = {}
    for point in planned:
        (by_arm if point.name in graded else missing).setdefault(point.arm, []).append(point)
    return MetricStudy(
        metric=metric,
        chance=graded[BASE].chance,
        questions=len(grades.documents),
        left_out=grades.left_out,
        documents=len(set(grades.documents)),
        base=grades.mean([BASE]),
        retrieval=grades.mean([RETRIEVAL]) if RETRIEVAL in graded else None,
        curves=tuple(
            _arm_curve(
                own, grades, graded[BASE].chance, training_tokens, targets, missing.get(arm, ())
            )
            for arm, own in by_arm.items()
        ),
        gains=tuple(
            _gains(arm, {name: own for name, own in by_arm.items() if name not in missing}, grades)
            for arm, own in by_arm.items()
            if not own[0].matched and arm not in missing
        ),
    )


def _arm_curve(
    points: Sequence[StudyPoint],
    grades: ModelGrades,
    chance: float,
    training_tokens: Mapping[str, int],
    targets: Sequence[float],
    missing: Sequence[StudyPoint],
) -> ArmCurve:
    fit: CurveFit
    reached: tuple[ReachedTarget, ...] = ()
    theory, refused = None, ""
    if missing:
        total = len(points) + len(missing)
        fit = no_fit(f"{len(missing)} of {total} models are not finished")
    else:
        curve = grades.curve(points)
        fit, reached = fit_curve(curve, chance, targets=targets)
        if not points[0].matched:  # its tokens are those of documents, read again
            theory, refused = _theory(curve)
    return ArmCurve(
        arm=points[0].arm,
        matched=points[0].matched,
        sizes=tuple(_size_scores(points, grades, training_tokens)),
        fit=fit,
        targets=reached,
        theory=theory,
        theory_refused=refused,
    )


def _theory(curve: AccuracyCurve) -> tuple[TheoryFit | None, str]:
    """Return the curve of the theory, or why it could not be fitted."""
    try:
        return fit_theory(curve.tokens, curve.accuracies.tolist()), ""
    except UserError as error:
        expected, found = error.fields["expected"], error.fields["found"]
        return None, f"{error.problem} Expected {expected}; found {found}."


def _gains(arm: str, by_arm: Mapping[str, Sequence[StudyPoint]], grades: ModelGrades) -> ArmGains:
    """Compare the largest models of an arm with everything else of equal training tokens."""
    most = max(point.tokens for point in by_arm[arm])
    others = {BASE: [BASE]}
    if RETRIEVAL in grades:
        others[RETRIEVAL] = [RETRIEVAL]
    for name, own in by_arm.items():
        if own[0].matched:
            others[name] = [point.name for point in own if point.tokens == most]
    largest = [point.name for point in by_arm[arm] if point.tokens == most]
    gains = tuple(
        Gain(over=over, points=grades.difference(largest, models))
        for over, models in others.items()
    )
    return ArmGains(arm=arm, tokens=most, gains=gains)


def _size_scores(
    points: Sequence[StudyPoint], grades: ModelGrades, training_tokens: Mapping[str, int]
) -> Iterable[SizeScore]:
    for size in sorted({point.tokens for point in points}):
        own = [point for point in points if point.tokens == size]
        names = [point.name for point in own]
        yield SizeScore(
            tokens=size,
            training_tokens=training_tokens[names[0]],
            models=len(own),
            accuracy=grades.mean(names),
            by_seed={point.seed: float(grades.of([point.name]).mean()) for point in own},
        )
