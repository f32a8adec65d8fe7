"""The table of a run: each model with its interval, every pair of models on the same questions.

`compare_models` is pure and returns what `scores.json` holds; the base model comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from steep.evaluation.normalizers import NORMALIZERS, Normalizer
from steep.evaluation.questions import SkippedQuestion
from steep.evaluation.rows import Row
from steep.evaluation.statistics import (
    Interval,
    holm,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_difference,
)


def compare_models(
    rows_by_model: Mapping[str, Sequence[Row]],
    normalizer: Normalizer,
    skipped: Sequence[SkippedQuestion] = (),
) -> dict[str, Any]:
    """Score each model and compare every two; a later model minus an earlier one.

    Args:
        rows_by_model: The rows of each model, the base first, all of the same questions in order.
        normalizer: What the headline divides the log-likelihoods by.
        skipped: Questions that were not asked.

    Raises:
        ValueError: The models did not answer the same questions.
    """
    _check_same_questions(rows_by_model)
    rows = next(iter(rows_by_model.values()))
    pairs = [(later, earlier) for earlier, later in combinations(rows_by_model, 2)]
    detectable = [
        minimum_detectable_difference(*_sides(rows_by_model[a], rows_by_model[b], normalizer))
        for a, b in pairs
    ]
    return {
        "normalizer": normalizer,
        "models": [_model(name, each, normalizer) for name, each in rows_by_model.items()],
        "pairs": _pairs(rows_by_model, pairs, normalizer),
        "chance": sum(len(row.gold) / len(row.options) for row in rows) / len(rows),
        # Of several pairs the hardest one's: a true difference of this size is found in any.
        "minimum_detectable_difference": max(
            (each for each in detectable if each is not None), default=None
        ),
        "skipped": [each._asdict() for each in skipped],
    }


def _check_same_questions(rows_by_model: Mapping[str, Sequence[Row]]) -> None:
    (first, expected), *others = (
        (name, [row.question_id for row in rows]) for name, rows in rows_by_model.items()
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


def _model(name: str, rows: Sequence[Row], normalizer: Normalizer) -> dict[str, Any]:
    overall = _accuracy(rows, normalizer)
    return {
        "name": name,
        "documents": len({row.document_id for row in rows}),
        **overall,
        "by_kind": {
            kind: _accuracy([row for row in rows if row.kind == kind], normalizer)
            for kind in _kinds(rows)
        },
        "by_normalizer": {
            each: sum(row.right(each) for row in rows) / len(rows) for each in NORMALIZERS
        },
    }


def _pairs(
    rows_by_model: Mapping[str, Sequence[Row]],
    pairs: Sequence[tuple[str, str]],
    normalizer: Normalizer,
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name_a, name_b in pairs:
        a, b = rows_by_model[name_a], rows_by_model[name_b]
        right_a, right_b, _ = _sides(a, b, normalizer)
        found.append(
            {
                "a": name_a,
                "b": name_b,
                **_difference(a, b, normalizer),
                "p_mcnemar": mcnemar_exact(right_a, right_b),
                "by_kind": _differences_by_kind(a, b, normalizer),
            }
        )
    corrected = holm([row["p_mcnemar"] for row in found])
    return [{**row, "p_holm": p_holm} for row, p_holm in zip(found, corrected, strict=True)]


def _differences_by_kind(
    a: Sequence[Row], b: Sequence[Row], normalizer: Normalizer
) -> dict[str, dict[str, float]]:
    return {
        kind: _difference(
            [row for row in a if row.kind == kind],
            [row for row in b if row.kind == kind],
            normalizer,
        )
        for kind in _kinds(a)
    }


def _accuracy(rows: Sequence[Row], normalizer: Normalizer) -> dict[str, float]:
    right = [row.right(normalizer) for row in rows]
    interval = mean_interval(right, [row.document_id for row in rows])
    return _named(interval, "accuracy")


def _difference(a: Sequence[Row], b: Sequence[Row], normalizer: Normalizer) -> dict[str, float]:
    return _named(paired_difference(*_sides(a, b, normalizer)), "difference")


def _named(interval: Interval, name: str) -> dict[str, float]:
    return {"n": interval.n, name: interval.mean, "low": interval.low, "high": interval.high}


def _sides(
    a: Sequence[Row], b: Sequence[Row], normalizer: Normalizer
) -> tuple[list[bool], list[bool], list[str]]:
    """Right or wrong on either side, and the documents of the questions."""
    return (
        [row.right(normalizer) for row in a],
        [row.right(normalizer) for row in b],
        [row.document_id for row in a],
    )


def _kinds(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.kind for row in rows))
