"""Recipes compared by one metric: paired differences, missing models, and cost per point."""

from __future__ import annotations

import numpy as np
import pytest

from steep.evaluation.compare import Grade
from steep.evaluation.config import BASE
from steep.evaluation.methods.common import Graded
from steep.scaling.comparison import compare_recipes
from steep.scaling.results import Bounded
from steep.stages.compare import points_of

DOCUMENTS, QUESTIONS, SIZE = 12, 20, 1000
POINTS = points_of({"one": SIZE, "two": SIZE, "three": SIZE}, 0, 1)


def graded(gain: float, noise: int = 0) -> Graded:
    """Return grades of documents of very different difficulty, raised by a gain."""
    random = np.random.default_rng(noise)
    grades = []
    for document in range(DOCUMENTS):
        for question in range(QUESTIONS):
            value = 0.05 + 0.7 * document / DOCUMENTS + gain
            value += random.normal(0, 0.01) if noise else 0.0
            grades.append(Grade(f"{document}-{question}", f"d{document}", "", value))
    return Graded(grades, 0.25)


def name(recipe: str) -> str:
    return f"{recipe}@{SIZE}-0"


def width(bounded: Bounded) -> float:
    return bounded.high - bounded.low


def test_differences_are_paired() -> None:
    models = {
        BASE: graded(0.0),
        name("documents"): graded(0.05),
        name("one"): graded(0.1, noise=1),
        name("two"): graded(0.1, noise=2),
        name("three"): graded(0.2, noise=3),
    }
    costs = {"one": 2.0, "two": None, "three": 3.0}
    found = compare_recipes("accuracy", POINTS, models, costs)
    scores = {each.recipe: each for each in found.scores}
    equal, better, _ = found.differences
    assert (equal.recipe, equal.over) == ("two", "one") and not equal.excludes_zero
    assert (better.recipe, better.over) == ("three", "one") and better.excludes_zero
    assert better.points.value == pytest.approx(0.1, abs=0.005)
    assert width(better.points) < width(scores["three"].accuracy) / 10
    over = scores["one"].over_documents
    assert over is not None and over.low > 0
    assert scores["one"].usd_per_point == pytest.approx(2.0 / (100 * over.value))
    assert scores["two"].usd_per_point is None
    assert scores["documents"].over_documents is None and scores["one"].over_first is None


def test_a_recipe_with_missing_models_has_no_gains() -> None:
    points = points_of({"one": SIZE, "two": SIZE}, 0, 2)
    models = {each.name: graded(0.1) for each in points if each.name != f"two@{SIZE}-1"}
    found = compare_recipes("accuracy", points, models | {BASE: graded(0.0)}, {})
    scores = {each.recipe: each for each in found.scores}
    assert (scores["one"].models, scores["two"].models) == (2, 1)
    assert scores["two"].over_base is scores["two"].over_first is None
    assert scores["one"].over_base is not None and not found.differences


def test_standard_errors_of_questions_and_of_training() -> None:
    points = points_of({"one": SIZE, "two": SIZE}, 0, 3)
    levels = dict(zip(range(3), (0.1, 0.14, 0.18), strict=True))
    models = {each.name: graded(levels[each.seed]) for each in points}
    found = compare_recipes("accuracy", points, models | {BASE: graded(0.0)}, {})
    one, two = (each for each in found.scores if each.recipe != "documents")
    between = np.std([*levels.values()], ddof=1) / np.sqrt(3)
    assert one.accuracy.errors is not None and one.over_base is not None
    assert one.accuracy.errors.training == pytest.approx(between)
    assert one.accuracy.errors.questions > between, "documents differ much"
    errors = one.over_base.errors
    assert errors is not None and errors.training == pytest.approx(between), "the base adds none"
    assert two.over_first is not None and two.over_first.errors is not None
    assert two.over_first.errors.training == pytest.approx(between * np.sqrt(2))
    assert two.over_first.errors.questions == 0 and width(two.over_first) > 4 * between
    assert found.base.errors is not None and found.base.errors.training == 0.0
    single = compare_recipes("accuracy", points[:3], models | {BASE: graded(0.0)}, {})
    assert {each.accuracy.errors and each.accuracy.errors.training for each in single.scores} == {
        None
    }
