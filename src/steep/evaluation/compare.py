"""Compare models on the same questions: each with its interval, every two paired.

Comparisons that were planned before the results are known are corrected for one another (Holm).
All other pairs are exploratory: they have an interval, but no corrected p, and only suggest.
An arm that was trained with several seeds is compared as the mean of its models, with the variance
of training beside that of questions.

`compare` is pure. It takes grades, so that a choice by likelihood, a letter in a text, an F1 and an
answer with contexts are all compared in one way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

from steep.evaluation.power import DifferenceSpread, SetSize, detectable, spread_of
from steep.evaluation.results import (
    ArmScore,
    Comparison,
    Difference,
    Estimate,
    ModelComparison,
    ModelScore,
    StandardErrors,
    TestedDifference,
)
from steep.evaluation.setup import PlannedComparisons
from steep.evaluation.statistics import (
    TrainingVariance,
    holm,
    mcnemar_exact,
    mean_interval,
    paired_bootstrap,
    paired_difference,
    paired_p,
    standard_errors,
)

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Group rows by a key, in the order of their first ones."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def counted_reasons(reasons: Iterable[str | None]) -> dict[str, int]:
    """Count reasons, the most frequent first; None is no reason."""
    return {reason: count for reason, count in Counter(reasons).most_common() if reason}


class Grade(NamedTuple):
    """The grade of a model for a question: 0 to 1, or None if the protocol leaves it out."""

    question_id: str
    document_id: str
    kind: str
    value: float | None


class _Arm(NamedTuple):
    """The models of an arm, one per seed, or a single model that is no arm.

    `trained` is False where training has no variance; None is unknown.
    """

    name: str
    models: Mapping[str, Sequence[Grade]]
    trained: bool | None


class _Common(NamedTuple):
    """The grades of all models of one arm or two, for a question that counts for each."""

    grades: tuple[tuple[float, ...], ...]  # of each arm, of each model
    document_id: str
    kind: str


class _Pair(NamedTuple):
    """Two arms, and the questions that count for both."""

    a: _Arm
    b: _Arm
    common: Sequence[_Common]

    @property
    def names(self) -> tuple[str, str]:
        return self.a.name, self.b.name


def compare(
    grades_by_model: Mapping[str, Sequence[Grade]], planned: PlannedComparisons | None = None
) -> ModelComparison:
    """Score each model and compare every two arms: as planned, or a later minus an earlier one.

    A pair is compared on the questions that count for all of its models; without such a question it
    is left out.
    `p` belongs to the interval, clustered by document; `p_holm` corrects it over the planned pairs.
    McNemar's p, for grades of right and wrong only, takes questions as independent. Planned pairs
    come first.

    Args:
        grades_by_model: The grades of each model, all of the same questions in the same order.
        planned: The comparisons that the study was made for, and the models of its arms; None:
            every two models.

    Raises:
        ValueError: The models did not answer the same questions.
    """
    _check_same_questions(grades_by_model)
    arms = _arms(grades_by_model, planned)
    pairs = [*_ordered(arms, planned)]
    every = combinations([arm.name for arm in reversed(arms)], 2)
    wanted = {*(every if planned is None else planned.pairs)}
    first = [each for each in pairs if each.names in wanted]
    others = [each for each in pairs if each.names not in wanted]
    return ModelComparison(
        models=tuple(
            ModelScore(**_score(_Arm(name, {name: grades}, arm.trained)))
            for name, grades in grades_by_model.items()
            for arm in arms
            if name in arm.models
        ),
        pairs=(*_pairs(first, planned=True), *_pairs(others, planned=False)),
        minimum_detectable_difference=_minimum_detectable(first or others, max(1, len(first))),
        arms=tuple(_arm_score(arm) for arm in arms if len(arm.models) > 1),
        not_compared=tuple(sorted(wanted - {each.names for each in first})),
    )


class PairDifferences(NamedTuple):
    """The differences of a pair, question by question."""

    a: str
    b: str
    values: Sequence[float]
    document_ids: Sequence[str]
    training: Sequence[TrainingVariance]

    def spread(self) -> DifferenceSpread:
        """Return how they vary."""
        return spread_of(self.values, self.document_ids, self.training)

    def detectable(self, comparisons: int) -> float | None:
        """Return what their questions detect, corrected for so many planned comparisons."""
        size = SetSize.of([*Counter(self.document_ids).values()])
        return detectable(self.spread(), size, comparisons)


def planned_differences(
    grades_by_model: Mapping[str, Sequence[Grade]], planned: PlannedComparisons
) -> Iterator[PairDifferences]:
    """Yield the differences of each planned pair, on the questions that count for both."""
    _check_same_questions(grades_by_model)
    for pair in _ordered(_arms(grades_by_model, planned), planned):
        if pair.names in planned.pairs:
            yield _differences(pair)


def estimate(grades: Iterable[Grade]) -> Estimate:
    """Return the mean of those grades that count, with its interval."""
    return _estimate(_common(_Arm("", {"": list(grades)}, None)), None)


def difference(a: Sequence[Grade], b: Sequence[Grade]) -> TestedDifference | None:
    """Return one model minus another, uncorrected; None without a common question."""
    arms = _Arm("a", {"a": a}, None), _Arm("b", {"b": b}, None)
    common = _common(*arms)
    return _tested(_Pair(*arms, common)) if common else None


def _check_same_questions(grades_by_model: Mapping[str, Sequence[Grade]]) -> None:
    (first, expected), *others = (
        (name, [grade.question_id for grade in grades]) for name, grades in grades_by_model.items()
    )
    if not expected:
        raise ValueError(f"'{first}' answered no question")
    for name, found in others:
        if found != expected:
            raise ValueError(
                f"'{name}' answered {len(found)} questions, not the {len(expected)} of '{first}'"
                if len(found) != len(expected)
                else f"'{name}' answered other questions than '{first}', or in another order"
            )


def _arms(
    grades_by_model: Mapping[str, Sequence[Grade]], planned: PlannedComparisons | None
) -> list[_Arm]:
    """Return the arms in the order of their first models."""
    seeds = planned.seeds if planned else {}
    arm_of = {model: arm for arm, models in seeds.items() for model in models}
    groups = grouped(grades_by_model, lambda model: arm_of.get(model, model))
    return [
        _Arm(
            name,
            {each: grades_by_model[each] for each in models},
            name in seeds if planned else None,
        )
        for name, models in groups.items()
    ]


def _ordered(arms: Sequence[_Arm], planned: PlannedComparisons | None) -> Iterator[_Pair]:
    """Yield every two arms with a common question: as planned, or the later one first."""
    for earlier, later in combinations(arms, 2):
        as_planned = planned is not None and (earlier.name, later.name) in planned.pairs
        a, b = (earlier, later) if as_planned else (later, earlier)
        if common := _common(a, b):
            yield _Pair(a, b, common)


def _common(*arms: _Arm) -> list[_Common]:
    """Return the questions that count for all models of all arms."""
    models = [grades for arm in arms for grades in arm.models.values()]
    found = []
    for grades in zip(*models, strict=True):
        values = [each.value for each in grades if each.value is not None]
        if len(values) == len(grades):
            left = iter(values)
            by_arm = tuple(tuple(next(left) for _ in arm.models) for arm in arms)
            found.append(_Common(by_arm, grades[0].document_id, grades[0].kind))
    return found


def _means(common: Sequence[_Common], arm: int) -> list[float]:
    """Return the mean grade of an arm's models for each question."""
    return [fmean(each.grades[arm]) for each in common]


def _sides(common: Sequence[_Common]) -> tuple[list[float], list[float], list[str]]:
    return _means(common, 0), _means(common, 1), [each.document_id for each in common]


def _training(common: Sequence[_Common]) -> list[TrainingVariance]:
    """Return the variance of training of each arm with several models."""
    by_arm = zip(*(each.grades for each in common), strict=True)
    accuracies = [[fmean(own) for own in zip(*grades, strict=True)] for grades in by_arm]
    return [TrainingVariance.of(each) for each in accuracies if len(each) > 1]


def _errors(
    values: Sequence[float], common: Sequence[_Common], trained: Sequence[bool | None]
) -> StandardErrors:
    """Return the errors of a mean of values; `trained` is of each arm."""
    models = map(len, common[0].grades)
    known = all(number > 1 or own is False for number, own in zip(models, trained, strict=True))
    documents = [each.document_id for each in common]
    return standard_errors(values, documents, _training(common), known=known)


def _estimate(common: Sequence[_Common], trained: bool | None) -> Estimate:
    if not common:
        return Estimate(n=0, accuracy=None, low=None, high=None)
    values = _means(common, 0)
    found = mean_interval(values, [each.document_id for each in common], _training(common))
    errors = _errors(values, common, [trained])
    return Estimate(n=found.n, accuracy=found.mean, low=found.low, high=found.high, errors=errors)


def _score(arm: _Arm) -> dict[str, Any]:
    """Return the fields of the score of an arm."""
    common = _common(arm)
    kinds = grouped(common, lambda each: each.kind)
    return {
        "name": arm.name,
        "documents": len({each.document_id for each in common}),
        "by_kind": {kind: _estimate(own, arm.trained) for kind, own in kinds.items()},
        **vars(_estimate(common, arm.trained)),
    }


def _arm_score(arm: _Arm) -> ArmScore:
    accuracies = {name: estimate(grades).accuracy for name, grades in arm.models.items()}
    by_model = {name: each for name, each in accuracies.items() if each is not None}
    return ArmScore(**_score(arm), by_model=by_model)


def _pairs(pairs: Sequence[_Pair], *, planned: bool) -> Iterator[Comparison]:
    tested = [_tested(pair) for pair in pairs]
    corrected = holm([each.p for each in tested]) if planned else [None] * len(tested)
    for pair, each, p_holm in zip(pairs, tested, corrected, strict=True):
        interval = paired_bootstrap(*_sides(pair.common))
        kinds = grouped(pair.common, lambda row: row.kind)
        yield Comparison(
            a=pair.a.name,
            b=pair.b.name,
            planned=planned,
            bootstrap_low=interval.low,
            bootstrap_high=interval.high,
            p_holm=p_holm,
            by_kind={k: _difference(pair._replace(common=own)) for k, own in kinds.items()},
            **vars(each),
        )


def _differences(pair: _Pair) -> PairDifferences:
    a, b, documents = _sides(pair.common)
    values = [x - y for x, y in zip(a, b, strict=True)]
    return PairDifferences(*pair.names, values, documents, _training(pair.common))


def _minimum_detectable(pairs: Sequence[_Pair], comparisons: int) -> float | None:
    """Return what is detectable for the hardest pair, so for any; None for single questions."""
    found = [
        _differences(each).detectable(comparisons) or 1.0 for each in pairs if len(each.common) > 1
    ]
    return max(found, default=None)


def _difference(pair: _Pair) -> Difference:
    own = _differences(pair)
    found = paired_difference(*_sides(pair.common), own.training)
    errors = _errors(own.values, pair.common, [pair.a.trained, pair.b.trained])
    return Difference(
        n=found.n, difference=found.mean, low=found.low, high=found.high, errors=errors
    )


def _tested(pair: _Pair) -> TestedDifference:
    a, b, documents = _sides(pair.common)
    mcnemar = None
    if {*a, *b} <= {0.0, 1.0}:
        mcnemar = mcnemar_exact([x == 1 for x in a], [x == 1 for x in b])
    p = paired_p(a, b, documents, _training(pair.common))
    return TestedDifference(p=p, p_mcnemar=mcnemar, **vars(_difference(pair)))
