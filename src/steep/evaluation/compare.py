"""Compare models on the same questions: each with its interval, every two paired.

Comparisons that were planned before the results are known are corrected for one another (Holm).
All other pairs are exploratory: they have an interval, but no corrected p, and only suggest.

`compare` is pure. It takes grades, so that a choice by likelihood, a letter in a text, an F1 and an
answer with contexts are all compared in one way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeVar

from steep.evaluation.results import (
    Comparison,
    Difference,
    Estimate,
    ModelComparison,
    ModelScore,
    TestedDifference,
)
from steep.evaluation.statistics import (
    holm,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_bootstrap,
    paired_difference,
    paired_p,
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


Planned = Collection[tuple[str, str]]  # pairs (a, b), compared as a minus b


class _Both(NamedTuple):
    """The grades of two models for a question that counts for both."""

    a: float
    b: float
    document_id: str
    kind: str


def compare(
    grades_by_model: Mapping[str, Sequence[Grade]], planned: Planned | None = None
) -> ModelComparison:
    """Score each model and compare every two: as planned, or a later model minus an earlier one.

    A pair is compared on the questions that count for both; without such a question it is left out.
    `p` belongs to the interval, clustered by document; `p_holm` corrects it over the planned pairs.
    McNemar's p, for grades of right and wrong only, takes questions as independent. Planned pairs
    come first.

    Args:
        grades_by_model: The grades of each model, all of the same questions in the same order.
        planned: The comparisons that the study was made for; None: every two models.

    Raises:
        ValueError: The models did not answer the same questions.
    """
    _check_same_questions(grades_by_model)
    planned = [*combinations([*grades_by_model][::-1], 2)] if planned is None else planned
    pairs = [
        (a, b, both)
        for earlier, later in combinations(grades_by_model, 2)
        for a, b in [(earlier, later) if (earlier, later) in planned else (later, earlier)]
        if (both := _paired(grades_by_model[a], grades_by_model[b]))
    ]
    first = [each for each in pairs if each[:2] in planned]
    others = [each for each in pairs if each[:2] not in planned]
    detectable = [minimum_detectable_difference(*_sides(both)) for *_, both in first or others]
    return ModelComparison(
        models=tuple(_model(name, grades) for name, grades in grades_by_model.items()),
        pairs=(*_pairs(first, planned=True), *_pairs(others, planned=False)),
        # Of several pairs the hardest one's: a true difference of this size is found in any.
        minimum_detectable_difference=max(
            (each for each in detectable if each is not None), default=None
        ),
        not_compared=tuple(sorted({*planned} - {each[:2] for each in first})),
    )


def estimate(grades: Iterable[Grade]) -> Estimate:
    """Return the mean of those grades that count, with its interval."""
    counted = [(grade.value, grade.document_id) for grade in grades if grade.value is not None]
    if not counted:
        return Estimate(n=0, accuracy=None, low=None, high=None)
    values, documents = zip(*counted, strict=True)
    found = mean_interval(values, documents)
    return Estimate(n=found.n, accuracy=found.mean, low=found.low, high=found.high)


def difference(a: Sequence[Grade], b: Sequence[Grade]) -> TestedDifference | None:
    """Return one model minus another, uncorrected; None without a common question."""
    both = _paired(a, b)
    return _tested(both) if both else None


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


def _model(name: str, grades: Sequence[Grade]) -> ModelScore:
    kinds = grouped(grades, lambda grade: grade.kind)
    by_kind = {kind: estimate(own) for kind, own in kinds.items()}
    documents = {grade.document_id for grade in grades if grade.value is not None}
    return ModelScore(
        name=name,
        documents=len(documents),
        by_kind={kind: each for kind, each in by_kind.items() if each.n},
        **vars(estimate(grades)),
    )


def _pairs(pairs: Sequence[tuple[str, str, list[_Both]]], *, planned: bool) -> Iterator[Comparison]:
    tested = [_tested(both) for *_, both in pairs]
    corrected = holm([each.p for each in tested]) if planned else [None] * len(tested)
    for (a, b, both), each, p_holm in zip(pairs, tested, corrected, strict=True):
        interval = paired_bootstrap(*_sides(both))
        kinds = grouped(both, lambda row: row.kind)
        yield Comparison(
            a=a,
            b=b,
            planned=planned,
            bootstrap_low=interval.low,
            bootstrap_high=interval.high,
            p_holm=p_holm,
            by_kind={kind: _difference(own) for kind, own in kinds.items()},
            **vars(each),
        )


def _paired(a: Sequence[Grade], b: Sequence[Grade]) -> list[_Both]:
    return [
        _Both(x.value, y.value, x.document_id, x.kind)
        for x, y in zip(a, b, strict=True)
        if x.value is not None and y.value is not None
    ]


def _sides(both: Sequence[_Both]) -> tuple[list[float], list[float], list[str]]:
    return [row.a for row in both], [row.b for row in both], [row.document_id for row in both]


def _difference(both: Sequence[_Both]) -> Difference:
    found = paired_difference(*_sides(both))
    return Difference(n=found.n, difference=found.mean, low=found.low, high=found.high)


def _tested(both: Sequence[_Both]) -> TestedDifference:
    mcnemar = None
    if {grade for row in both for grade in row[:2]} <= {0.0, 1.0}:
        mcnemar = mcnemar_exact([row.a == 1 for row in both], [row.b == 1 for row in both])
    return TestedDifference(p=paired_p(*_sides(both)), p_mcnemar=mcnemar, **vars(_difference(both)))
