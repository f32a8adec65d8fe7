"""A scaling study with enough sizes for the theory, and how a run gets a study or a comparison."""

from __future__ import annotations

import functools
from pathlib import Path

from fixture_study import comparison_of_recipes, graded

from steep.core.files import write_json
from steep.evaluation.results import as_json
from steep.scaling import comparison_results
from steep.scaling.config import POINTER_NAME, ScaleConfig
from steep.scaling.results import RESULT_NAME, Forgotten, Price, StudyResult, write_study
from steep.scaling.study import metric_study, study_points

SIZES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000)


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


def add_study(root: Path, run_directory: Path) -> None:
    """Give a run the study."""
    write_study(root / ".steep" / "scale-01234567" / RESULT_NAME, study())
    write_json(run_directory / POINTER_NAME, {"scale": "scale-01234567"})


def add_comparison(root: Path, run_directory: Path) -> None:
    """Give a run the comparison of recipes."""
    path = root / ".steep" / "compare-01234567" / comparison_results.RESULT_NAME
    write_json(path, as_json(comparison_of_recipes()))
    write_json(run_directory / comparison_results.POINTER_NAME, {"compare": "compare-01234567"})
