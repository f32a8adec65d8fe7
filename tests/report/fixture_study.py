"""A scaling study and a comparison of recipes, computed from grades that are made by arithmetic."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from steep.core.files import write_json
from steep.evaluation.compare import Grade
from steep.evaluation.methods.common import Graded
from steep.evaluation.results import as_json
from steep.scaling import comparison_results
from steep.scaling.comparison import compare_recipes
from steep.scaling.comparison_results import ComparedTexts, ComparisonResult
from steep.scaling.config import POINTER_NAME, ScaleConfig
from steep.scaling.results import RESULT_NAME, Forgotten, Price, StudyResult, write_study
from steep.scaling.study import StudyPoint, metric_study, study_points

QUESTIONS, DOCUMENTS = 400, 40
SIZES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000)
RECIPES = {"documents": 0.42, "entigraph": 0.62, "self-qa": 0.55, "paraphrase": 0.43}


def graded(mean: float, seed: int) -> Graded:
    """Answers that are right with this chance."""
    right = np.random.default_rng(seed).random(QUESTIONS) < mean
    return Graded(
        [Grade(f"q{n}", f"d{n % DOCUMENTS}", "", float(each)) for n, each in enumerate(right)], 0.25
    )


@functools.cache
def study() -> StudyResult:
    """A study of two arms over six sizes: one rises, one is matched."""
    settings = ScaleConfig(tokens=SIZES, seeds=2)
    arms = {"raw": ("documents",), "entigraph": ("entigraph",)}
    points = study_points(settings, arms, {"raw": 500, "entigraph": 2_000_000}, 0)
    grades = {
        each.name: graded(0.4 + 0.06 * SIZES.index(each.tokens) * (not each.matched), n)
        for n, each in enumerate(points)
    }
    grades |= {"base": graded(0.38, 100), "retrieval": graded(0.62, 101)}
    trained = {each.name: 2 * each.tokens for each in points}
    price = Price(
        arm="entigraph", tokens=SIZES[-1], generation_usd=12.5, training_hours=1.0,
        evaluation_hours=0.1, training_usd=None,
    )  # fmt: skip
    return StudyResult(
        models=len(points),
        missing=(),
        hours=9.0,
        metrics=(metric_study("accuracy", points, grades, trained, [0.8]),),
        prices=(price,),
        forgotten=(
            Forgotten(arm="entigraph", tokens=SIZES[-1], mean=0.01, lowest=0.005, highest=0.02),
        ),
    )


@functools.cache
def compared() -> ComparisonResult:
    """A comparison of three recipes; the last one gains nothing."""
    size = 100_000
    points = [
        StudyPoint(recipe, size, seed, recipe == "documents")
        for seed in range(3)
        for recipe in RECIPES
    ]
    grades = {each.name: graded(RECIPES[each.arm], 7 + n) for n, each in enumerate(points)}
    grades["base"] = graded(0.38, 100)
    costs = {"documents": 0.0, "entigraph": 3.5, "self-qa": 1.25, "paraphrase": None}
    texts = tuple(
        ComparedTexts(
            recipe=recipe, size=size, texts=400, tokens=size, passes=2.0,
            training_tokens=2 * size, generation_usd=costs[recipe], sampled_words=20_000,
            compression_ratio=2.4, distinct_4grams=0.9, training_hours=0.5,
        )
        for recipe in RECIPES
    )  # fmt: skip
    return ComparisonResult(
        recipes=tuple(each for each in RECIPES if each != "documents"),
        tokens=2 * size,
        cost_usd=None,
        epochs=2.0,
        seeds=3,
        models=len(points),
        missing=(),
        hours=6.0,
        texts=texts,
        metrics=(compare_recipes("accuracy", points, grades, costs),),
    )


def add_study(root: Path, run_directory: Path) -> None:
    """Give a run the study."""
    write_study(root / ".steep" / "scale-01234567" / RESULT_NAME, study())
    write_json(run_directory / POINTER_NAME, {"scale": "scale-01234567"})


def add_comparison(root: Path, run_directory: Path) -> None:
    """Give a run the comparison of recipes."""
    path = root / ".steep" / "compare-01234567" / comparison_results.RESULT_NAME
    write_json(path, as_json(compared()))
    write_json(run_directory / comparison_results.POINTER_NAME, {"compare": "compare-01234567"})
