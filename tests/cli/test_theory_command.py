"""`steep theory`: its tables, files and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from steep.cli.app import app
from steep.core.errors import UserError
from steep.evaluation.compare import Grade
from steep.evaluation.methods.common import Graded
from steep.scaling.config import ScaleConfig
from steep.scaling.results import StudyResult, write_study
from steep.scaling.study import metric_study, study_points


def widest_line(shown: str) -> int:
    """Return the characters of the widest line before the paths of the written files."""
    return max(map(len, shown.partition("Written:")[0].splitlines()))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["theory", *map(str, arguments)])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_small_world_has_all_columns(tmp_path: Path) -> None:
    shown = run("--entities", 60, "--out", tmp_path)
    assert widest_line(shown) <= 80
    for heading in ("simulated", "Galton-Watson", "plateau", "Theorem 1"):
        assert heading in shown
    data = json.loads((tmp_path / "theory.json").read_text())
    for point in data["points"]:
        assert abs(point["simulated"] - point["expected"]) <= 5 * point["simulated_error"] + 1e-4
        assert point["low"] < point["high"] and point["error"] == 0
    assert 0 < data["linear_until"] < data["plateau_from"]
    picture = ElementTree.fromstring((tmp_path / "theory.svg").read_text())
    assert len(picture.findall(".//{*}polyline")) >= 4


def test_a_sampled_world_has_an_error_and_prints_json(tmp_path: Path) -> None:
    shown = run("--entities", 3000, "--sources", 40, "--out", tmp_path, "--json")
    data = json.loads(shown)
    assert data["sources"] == 40 and data["points"][5]["error"] > 0
    assert data["points"][5]["simulated"] is None


def test_a_sparse_world_has_no_bounds(tmp_path: Path) -> None:
    shown = run("--degree", 0.9, "--out", tmp_path)
    assert "need lambda > 1" in shown and "off by" not in shown


def study_of(tokens: Sequence[int], curves: Mapping[str, Sequence[float]]) -> StudyResult:
    """A study of arms with these accuracies; one model and 16 questions on 4 documents a size."""
    points = study_points(
        ScaleConfig(tokens=tuple(tokens), seeds=1),
        {arm: (arm,) for arm in curves},
        dict.fromkeys(curves, 2 * tokens[-1]),
        0,
    )
    grades = [Grade(f"q{n}", f"d{n % 4}", "", float(n < 4)) for n in range(16)]
    graded = {name: Graded(grades, 0.1) for name in [*(point.name for point in points), "base"]}
    trained = {point.name: point.tokens for point in points}
    metric = metric_study("likelihood", points, graded, trained, [])
    arms = tuple(
        replace(
            arm,
            sizes=tuple(
                replace(size, by_seed={0: accuracy})
                for size, accuracy in zip(arm.sizes, curves[arm.arm], strict=True)
            ),
        )
        for arm in metric.curves
    )
    return StudyResult(
        models=len(points), missing=(), hours=1.0, metrics=(replace(metric, curves=arms),),
        prices=(), forgotten=(),
    )  # fmt: skip


def test_a_fit_shows_points_and_curves_that_are_refused(tmp_path: Path) -> None:
    sizes = [1000 * 4**power for power in range(7)]
    rising = [0.3, 0.32, 0.38, 0.47, 0.54, 0.57, 0.58]
    file = tmp_path / "study.json"
    write_study(file, study_of(sizes, {"qa": rising, "rewrite": [0.3, 0.31] * 3 + [0.3]}))
    shown = run("--fit", file, "--out", tmp_path)
    assert "rewrite, likelihood: not fitted. This curve does not rise" in " ".join(shown.split())
    assert widest_line(shown) <= 80
    data = json.loads((tmp_path / "theory-fit.json").read_text())
    assert [fit["name"] for fit in data["fits"]] == ["qa, likelihood"]
    assert (tmp_path / "theory-fit.svg").read_text().count("<circle") >= len(sizes)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--degree", 0), "no such random graph"),
        (("--degree", -2), "no such random graph"),
        (("--degree", "nan"), "no such random graph"),
        (("--entities", 10**9), "too large"),
        (("--entities", 3, "--degree", 0.1), "nothing can be deduced"),
        (("--fit", "/no/such/file"), "No points"),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(*arguments, "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_refusal_names_the_curve(tmp_path: Path) -> None:
    file = tmp_path / "flat.json"
    rows = [{"tokens": 10**power, "accuracy": 0.4} for power in range(3, 10)]
    file.write_text(json.dumps(rows))
    with pytest.raises(UserError) as raised:
        run("--fit", file, "--out", tmp_path / "out")
    assert raised.value.fields["where"] == f"{file} (flat)"
    assert "does not rise" in raised.value.problem
