"""Models on the same questions: each with its interval, every two paired, whatever was measured.

Comparisons that were planned before the results are known are corrected for one another (Holm).
All other pairs are shown with their interval, but without a corrected p: they only suggest.

`compare` is pure. It takes grades, so that a choice by likelihood, a letter in a text, an F1 and an
answer with contexts are all compared in one way; the first model is the one that others follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from steep.evaluation.bootstrap import paired_bootstrap
from steep.evaluation.statistics import (
    Interval,
    holm,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_difference,
    paired_p,
)


class Grade(NamedTuple):
    """What a model got for a question: 0 to 1, or None where the protocol leaves it out."""

    question_id: str
    document_id: str
    kind: str
    value: float | None


Planned = Collection[tuple[str, str]]  # pairs (a, b), in either order


class _Pair(NamedTuple):
    """Two models on the questions that count for both."""

    a: list[float]
    b: list[float]
    documents: list[str]
    kinds: list[str]

    def of_kind(self, kind: str) -> _Pair:
        rows = [row for row in zip(*self, strict=True) if row[3] == kind]
        return _Pair(*(list(column) for column in zip(*rows, strict=True)))

    @property
    def sides(self) -> tuple[list[float], list[float], list[str]]:
        return self.a, self.b, self.documents


def compare(
    grades_by_model: Mapping[str, Sequence[Grade]], planned: Planned | None = None
) -> dict[str, Any]:
    """Score each model and compare every two; a later model minus an earlier one.

    A pair is compared on the questions that count for both; where there is none, it is not there.
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
    named = [
        (later, earlier, _paired(grades_by_model[later], grades_by_model[earlier]))
        for earlier, later in combinations(grades_by_model, 2)
    ]
    pairs = [(a, b, pair) for a, b, pair in named if pair.a]
    wanted = {(a, b) for a, b, _ in pairs if planned is None or {(a, b), (b, a)} & {*planned}}
    first = [each for each in pairs if each[:2] in wanted]
    others = [each for each in pairs if each[:2] not in wanted]
    detectable = [minimum_detectable_difference(*pair.sides) for _, _, pair in first or others]
    return {
        "models": [_model(name, grades) for name, grades in grades_by_model.items()],
        "pairs": [*_pairs(first, planned=True), *_pairs(others, planned=False)],
        # Of several pairs the hardest one's: a true difference of this size is found in any.
        "minimum_detectable_difference": max(
            (each for each in detectable if each is not None), default=None
        ),
    }


def estimate(grades: Iterable[Grade]) -> dict[str, Any]:
    """The mean of those grades that count, with its interval; None where none counts."""
    counted = [(grade.value, grade.document_id) for grade in grades if grade.value is not None]
    if not counted:
        return {"n": 0, "accuracy": None, "low": None, "high": None}
    values, documents = zip(*counted, strict=True)
    return _named(mean_interval(values, documents), "accuracy")


def difference(a: Sequence[Grade], b: Sequence[Grade]) -> dict[str, Any] | None:
    """One model minus another, without correction for others; None without a common question."""
    pair = _paired(a, b)
    if not pair.a:
        return None
    return {**_difference(pair), "p": paired_p(*pair.sides), "p_mcnemar": _mcnemar(pair)}


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


def _model(name: str, grades: Sequence[Grade]) -> dict[str, Any]:
    kinds = dict.fromkeys(grade.kind for grade in grades)
    by_kind = {kind: estimate(each for each in grades if each.kind == kind) for kind in kinds}
    documents = {grade.document_id for grade in grades if grade.value is not None}
    return {
        "name": name,
        "documents": len(documents),
        **estimate(grades),
        "by_kind": {kind: each for kind, each in by_kind.items() if each["n"]},
    }


def _pairs(pairs: Sequence[tuple[str, str, _Pair]], *, planned: bool) -> list[dict[str, Any]]:
    p_values = [paired_p(*pair.sides) for _, _, pair in pairs]
    corrected = holm(p_values) if planned else [None] * len(p_values)
    return [
        {
            "a": a,
            "b": b,
            "planned": planned,
            **_difference(pair),
            **_bootstrapped(pair),
            "p": p,
            "p_holm": p_holm,
            "p_mcnemar": _mcnemar(pair),
            "by_kind": {
                kind: _difference(pair.of_kind(kind)) for kind in dict.fromkeys(pair.kinds)
            },
        }
        for (a, b, pair), p, p_holm in zip(pairs, p_values, corrected, strict=True)
    ]


def _paired(a: Sequence[Grade], b: Sequence[Grade]) -> _Pair:
    rows = [
        (x.value, y.value, x.document_id, x.kind)
        for x, y in zip(a, b, strict=True)
        if x.value is not None and y.value is not None
    ]
    return _Pair(*(list(column) for column in zip(*rows, strict=True))) if rows else _NO_PAIR


_NO_PAIR = _Pair([], [], [], [])


def _difference(pair: _Pair) -> dict[str, float]:
    return _named(paired_difference(*pair.sides), "difference")


def _bootstrapped(pair: _Pair) -> dict[str, float]:
    interval = paired_bootstrap(*pair.sides)
    return {"bootstrap_low": interval.low, "bootstrap_high": interval.high}


def _mcnemar(pair: _Pair) -> float | None:
    if {*pair.a, *pair.b} <= {0.0, 1.0}:
        return mcnemar_exact([x == 1 for x in pair.a], [y == 1 for y in pair.b])
    return None


def _named(interval: Interval, name: str) -> dict[str, float]:
    return {"n": interval.n, name: interval.mean, "low": interval.low, "high": interval.high}
