"""A scaling study and a comparison of recipes, computed from grades drawn with a seed."""

from __future__ import annotations

import numpy as np

from steep.evaluation.compare import Grade
from steep.evaluation.config import BASE
from steep.evaluation.methods.common import Graded
from steep.scaling.comparison import compare_recipes
from steep.scaling.comparison_results import ComparedTexts, ComparisonResult
from steep.scaling.config import ScaleConfig
from steep.scaling.results import MetricStudy, Price, StudyResult
from steep.scaling.study import StudyPoint, metric_study, study_points
from steep.stages.compare import points_of

QUESTIONS, DOCUMENTS = 400, 40
ARMS = {"raw": ("documents",), "written": ("entigraph",)}
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def graded(mean: float, seed: int) -> Graded:
    """Answers that are right with this chance."""
    right = np.random.default_rng(seed).random(QUESTIONS) < mean
    return Graded(
        [Grade(f"q{n}", f"d{n % DOCUMENTS}", "", float(each)) for n, each in enumerate(right)], 0.25
    )


def accuracy(point: StudyPoint) -> float:
    return 0.4 if point.matched else 0.4 + 0.13 * SIZES.index(point.tokens)


def study_plan() -> tuple[StudyPoint, ...]:
    settings = ScaleConfig(tokens=SIZES, seeds=2)
    return study_points(settings, ARMS, {"raw": 500, "written": 2_000_000}, 0)


def metric_of_study(points: tuple[StudyPoint, ...]) -> MetricStudy:
    grades = {each.name: graded(accuracy(each), n) for n, each in enumerate(points)}
    grades |= {"base": graded(0.35, 100), "retrieval": graded(0.6, 101)}
    trained = {each.name: 2 * each.tokens for each in points}
    return metric_study("accuracy", points, grades, trained, [0.9])


def study_of(metric: MetricStudy) -> StudyResult:
    price = Price(
        arm="written", tokens=SIZES[-1], generation_usd=12.5, training_hours=1.0,
        evaluation_hours=0.1, training_usd=None,
    )  # fmt: skip
    return StudyResult(
        models=16, missing=(), hours=9.0, metrics=(metric,), prices=(price,), forgotten=()
    )


def comparison_of_recipes() -> ComparisonResult:
    """Three recipes of equal size, one of which is better and one without a price."""
    size, gains = 100_000, {"documents": 0.4, "entigraph": 0.6, "qa": 0.55, "rephrase": 0.45}
    recipes = tuple(gains)[1:]
    points = points_of(dict.fromkeys(recipes, size), 0, 2)
    grades = {each.name: graded(gains[each.arm], n) for n, each in enumerate(points)}
    costs = {"entigraph": 3.0, "qa": 1.0, "rephrase": None}
    texts = tuple(
        ComparedTexts(
            recipe=recipe, size=size, texts=250, tokens=size, passes=1.0, training_tokens=size,
            generation_usd=costs[recipe], sampled_words=5_000, compression_ratio=3.1,
            distinct_4grams=0.92, training_hours=0.5,
        )
        for recipe in recipes
    )  # fmt: skip
    return ComparisonResult(
        recipes=recipes,
        tokens=size,
        cost_usd=None,
        epochs=1.0,
        seeds=2,
        models=len(points),
        missing=(),
        hours=1.5,
        texts=texts,
        metrics=(compare_recipes("accuracy", points, grades | {BASE: graded(0.35, 99)}, costs),),
    )
