"""`steep theory`: its tables, files and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from steep.cli.app import app
from steep.core.errors import UserError


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["theory", *map(str, arguments)])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_small_world_has_all_columns(tmp_path: Path) -> None:
    shown = run("--entities", 60, "--out", tmp_path)
    assert max(map(len, shown.splitlines())) <= 80
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


def test_a_fit_shows_points_and_curves_that_are_refused(tmp_path: Path) -> None:
    sizes = [1000 * 4**power for power in range(7)]
    rising = [0.3, 0.32, 0.38, 0.47, 0.54, 0.57, 0.58]
    curves = [
        {
            "arm": arm,
            "sizes": [
                {"tokens": tokens, "by_seed": {"0": accuracy}}
                for tokens, accuracy in zip(sizes, accuracies, strict=True)
            ],
        }
        for arm, accuracies in (("qa", rising), ("raw", [0.3, 0.31] * 3 + [0.3]))
    ]
    file = tmp_path / "study.json"
    file.write_text(json.dumps({"metrics": [{"metric": "likelihood", "curves": curves}]}))
    shown = run("--fit", file, "--out", tmp_path)
    assert "raw, likelihood: not fitted. This curve does not rise" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
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
