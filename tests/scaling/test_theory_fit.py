"""The theory's curve through points: recovery, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from steep.core.errors import UserError
from steep.core.files import write_json
from steep.evaluation.compare import Grade
from steep.evaluation.methods.common import Graded
from steep.scaling.config import POINTER_NAME, ScaleConfig
from steep.scaling.results import RESULT_NAME, STAGE, StudyResult, write_study
from steep.scaling.study import metric_study, study_points
from steep.scaling.theory_fit import fit_theory, shape
from steep.scaling.theory_points import read_points

SIZES = np.geomspace(1e4, 3e7, 9)


def noisy(degree: float, scale: float, noise: float, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    curve: NDArray[np.float64] = 0.4 + 0.3 * shape(degree, SIZES / scale)
    return curve + random.normal(0, noise, len(SIZES))


def test_a_shape_goes_from_nothing_to_everything() -> None:
    share = shape(3.0, np.array([0, 0.01, 0.1, 1, 1e4]))
    assert share[0] == 0 and share[-1] == pytest.approx(1)
    assert (np.diff(share) > 0).all()


@pytest.mark.parametrize("degree", [1.5, 3.0, 8.0])
def test_exact_points_give_back_their_parameters(degree: float) -> None:
    fit = fit_theory(SIZES.tolist(), noisy(degree, 1e6, 0).tolist())
    assert fit.degree == degree
    assert fit.tokens_per_pair == pytest.approx(1e6, rel=0.1)
    assert fit.start == pytest.approx(0.4, abs=0.01)
    assert fit.rise == pytest.approx(0.3, abs=0.01)
    assert fit.residual < 0.003
    assert fit.held_out_error is not None and abs(fit.held_out_error) < 0.01


def test_noise_leaves_more_than_one_degree() -> None:
    fit = fit_theory(SIZES.tolist(), noisy(3.0, 1e6, 0.01).tolist())
    assert 3.0 in fit.degrees and len(fit.degrees) > 1
    assert 0.003 < fit.residual < 0.02


def test_undefendable_curves_are_refused() -> None:
    rising = np.linspace(0.3, 0.6, 9)
    with pytest.raises(UserError, match="too few points"):
        fit_theory(SIZES[:5].tolist() * 3, rising[:5].tolist() * 3)
    flat = 0.4 + np.random.default_rng(1).normal(0, 0.02, 9)
    for accuracies in (flat, rising[::-1], np.full(9, 0.4)):
        with pytest.raises(UserError, match="does not rise"):
            fit_theory(SIZES.tolist(), accuracies.tolist())
    with pytest.raises(UserError, match="not the points of a curve"):
        fit_theory(SIZES.tolist(), (100 * rising).tolist())


def test_points_are_read_from_a_file(tmp_path: Path) -> None:
    rows = [{"tokens": 10, "accuracy": 0.5}, {"tokens": 20, "accuracy": 0.6}]
    own = tmp_path / "mine.json"
    own.write_text(json.dumps(rows))
    assert read_points(own) == [("mine", [10, 20], [0.5, 0.6])]


def study_of(settings: ScaleConfig, missing: tuple[str, ...] = ()) -> StudyResult:
    """A study of two arms, one of them of documents alone, with 16 questions on 4 documents."""
    arms = {"raw": ("documents",), "qa": ("qa",)}
    points = study_points(settings, arms, {"raw": 10, "qa": 100}, 0)
    grades = [Grade(f"q{n}", f"d{n % 4}", "", float(n < 4)) for n in range(16)]
    names = [point.name for point in points if point.name not in missing]
    graded = {name: Graded(grades, 0.1) for name in [*names, "base"]}
    metric = metric_study(
        "likelihood", points, graded, {point.name: point.tokens for point in points}, []
    )
    return StudyResult(
        models=len(points), missing=missing, hours=1.0, metrics=(metric,), prices=(), forgotten=()
    )


def write_project(root: Path, run: str, study: StudyResult) -> Path:
    made = root / ".steep" / f"scale-{run}"
    for directory in (made, root / "runs" / run):
        directory.mkdir(parents=True)
    write_study(made / RESULT_NAME, study)
    pointer = root / "runs" / run / POINTER_NAME
    write_json(pointer, {STAGE: made.name})
    return pointer


def test_points_are_read_from_the_study_that_was_fitted_last(tmp_path: Path) -> None:
    old = write_project(tmp_path, "old", study_of(ScaleConfig(tokens=(10, 20), seeds=1)))
    os.utime(old, (1, 1))
    new = study_of(ScaleConfig(tokens=(10, 40), seeds=2))
    write_project(tmp_path, "new", new)
    expected = [("qa, likelihood", [10, 10, 40, 40], [0.25] * 4)]
    assert read_points(tmp_path) == expected, "documents alone have no synthetic tokens"
    assert read_points(tmp_path / ".steep" / "scale-new" / RESULT_NAME) == expected


def test_unfinished_arms_have_no_points(tmp_path: Path) -> None:
    study = study_of(ScaleConfig(tokens=(10, 20, 40), seeds=1), missing=("qa@40-0",))
    write_project(tmp_path, "mine", study)
    with pytest.raises(UserError, match="No points") as caught:
        read_points(tmp_path)
    assert "without a finished arm of synthetic texts" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"tokens": 3}]', '[{"tokens": "a"}]', "3"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UserError, match="No points"):
        read_points(tmp_path / "bad.json")
    with pytest.raises(UserError, match="no scaling study"):
        read_points(tmp_path)
