"""examples/quality on invented stories: the small way whole, the paper's configuration planned."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
from small_project import run_record, settle
from steep_command import Steep

from steep.evaluation.statistics import mean_interval
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "quality"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    folder = tmp_path / "quality"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "data"))
    runpy.run_path(str(folder / "tiny_data.py"))["main"](folder / "data")
    return folder


def test_the_small_way(
    example: Path, steep: Steep, server: ScriptedServer, tiny_directory: Path
) -> None:
    endpoint = {
        "base_url": server.base_url,
        "max_tokens": 300,
        "usd_per_million_input_tokens": 0.1,  # as the model of the example costs elsewhere
        "usd_per_million_output_tokens": 0.4,
        "recipes": {"entigraph": {"pairs": 3, "triplets": 1}},
    }
    sizes = {"context_tokens": 64, "tokens": 2048, "checkpoint_minutes": 60}
    settle(
        example / "small.yaml",
        generate=endpoint,
        train={"model": str(tiny_directory), "learning_rate": 1e-3} | sizes,
    )

    ended = steep("run", "-c", "small.yaml", cwd=example, OPENAI_API_KEY="key")

    assert ended.code == 0, ended.err
    assert (example / "runs/quality-small/report.html").is_file()
    scores = json.loads(
        (example / run_record(example)["artifacts"]["evaluate"] / "scores.json").read_text()
    )
    models = scores["likelihood"]["models"]
    assert [each["name"] for each in models] == ["base", "raw", "entigraph"]
    assert {each["n"] for each in models} == {12}
    assert scores["open_book"]


def test_the_paper_is_planned(example: Path, steep: Steep, tiny_directory: Path) -> None:
    settle(example / "steep.yaml", train={"model": str(tiny_directory)})

    ended = steep("plan", "--json", cwd=example, OPENAI_API_KEY="key")

    assert ended.code == 0, ended.err
    plan = json.loads(ended.out)
    sections = {each["section"] for each in plan["evaluation"]["calls"]}
    assert sections == {"open_book.embedder_server"}
    assert plan["evaluation"]["calls"][0]["requests"] > 0
    assert not plan["evaluation"]["warnings"]


def test_the_interval_of_independent_questions_is_wilsons() -> None:
    example = runpy.run_path(str(EXAMPLE / "intervals.py"))
    right = [1.0] * 2000 + [0.0] * 2609
    found = mean_interval(right, [str(each) for each in range(4609)])
    assert example["half_width"](2000 / 4609, 0.0) == pytest.approx(
        (found.high - found.low) / 2, rel=0.05
    )
    assert example["half_width"](0.5, 0.1) > 1.4 * example["half_width"](0.5, 0.0)
