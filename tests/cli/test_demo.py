"""The project that `steep demo` writes, run here with a model of two layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from frozen import check_results
from small_project import settle
from steep_command import Steep

from steep import __version__
from steep.cli.demo import QUICK, QUICK_NOTE
from steep.config_loading import load_config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.stages import importing
from steep.stages.demo import GENERATIONS_NAME, write_sample_project

pytest_plugins = ["command_fixtures"]


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_sample_project(tmp_path / "demo").parent


def test_recorded_texts_enter_the_ledger_once(demo: Path) -> None:
    config, project = load_config(demo / "steep.yaml"), Project(demo)
    first = importing.run(config, project, demo / GENERATIONS_NAME)
    assert (first.rows, first.imported, first.problems) == (340, 340, ())
    again = importing.run(config, project, demo / GENERATIONS_NAME)
    assert (again.imported, again.already_there) == (0, 340)


def test_the_quick_form_differs_in_its_name_training_and_questions_only(demo: Path) -> None:
    whole = load_config(demo / "steep.yaml").model_dump()
    quick = load_config(demo / "steep.yaml", QUICK).model_dump()
    assert quick["train"]["tokens"] < whole["train"]["tokens"] == 49_152
    assert quick["evaluate"]["limit"] == 60 and whole["evaluate"]["limit"] is None
    for section, name in (("train", "tokens"), ("evaluate", "limit")):
        del quick[section][name], whole[section][name]
    assert (quick.pop("name"), whole.pop("name")) == ("quick", "demo")
    assert (quick.pop("remark"), whole.pop("remark")) == (QUICK_NOTE, None)
    assert quick == whole


def test_a_project_is_continued_and_something_else_is_not_touched(
    demo: Path, tmp_path: Path
) -> None:
    (demo / "steep.yaml").write_text("name: mine\n")
    assert write_sample_project(demo).read_text() == "name: mine\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("not a demo")
    with pytest.raises(UserError, match="does not write into"):
        write_sample_project(tmp_path / "other")


def test_the_way_from_recorded_texts_to_the_report(
    demo: Path, steep: Steep, tiny_directory: Path
) -> None:
    ended = steep("import", "--generations", GENERATIONS_NAME, cwd=demo)
    assert "340 rows = 340 imported" in ended.out
    settle(
        demo / "steep.yaml",
        generate={"recipes": {}},
        train={"model": str(tiny_directory), "tokens": 1024, "context_tokens": 64},
        evaluate={"limit": 60},
    )
    ended = steep("run", "--json", cwd=demo)
    assert ended.code == 0, ended.err
    table = json.loads(ended.out)["scores"]["likelihood"]
    assert [(model["name"], model["n"]) for model in table["models"]] == [
        ("base", 60),
        ("raw", 60),
        ("entigraph", 60),
    ]
    assert all(pair["planned"] for pair in table["pairs"])
    assert "asking the first 60 of 180 questions" in ended.err
    page = (demo / "runs/demo/report.html").read_text()
    assert "recorded texts of a large model" in page
    assert "Trained on them: entigraph." in page
    check_results(demo, "demo_results.json")


def test_the_version_is_printed(steep: Steep, tmp_path: Path) -> None:
    ended = steep("--version", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, f"steep {__version__}\n")
