"""examples/handbook: PDF files, recorded texts and questions, on a tiny model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from small_project import run_record, settle
from steep_command import Steep

pytest_plugins = ["command_fixtures"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "handbook"
PARTS = ("documents", "steep.yaml", "cloud.yaml", "questions.jsonl", "generations.jsonl")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    for name in PARTS:
        source = EXAMPLE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def test_the_whole_example(example: Path, steep: Steep, tiny_directory: Path) -> None:
    sizes = {"context_tokens": 64, "tokens": 2048, "learning_rate": 1e-3}
    settle(example / "steep.yaml", train={"model": str(tiny_directory)} | sizes)

    imported = steep("import", "--generations", "generations.jsonl", cwd=example)
    ended = steep("run", cwd=example)

    assert "60 imported" in imported.out
    assert ended.code == 0, ended.err
    artifacts = run_record(example)["artifacts"]
    corpus = json.loads((example / artifacts["corpus"] / "manifest.json").read_text())
    counts = corpus["counts"]
    assert (counts["candidates"], counts["passages"], counts["rejected"]) == (66, 66, 0)
    scores = json.loads((example / artifacts["evaluate"] / "scores.json").read_text())
    assert {each["n"] for each in scores["likelihood"]["models"]} == {36}


def test_the_cloud_configuration_is_planned(
    example: Path, steep: Steep, tiny_directory: Path
) -> None:
    settle(example / "cloud.yaml", train={"model": str(tiny_directory)})

    plan = steep("plan", "-c", "cloud.yaml", cwd=example, OPENAI_API_KEY="key")
    questions = steep("questions", "--plan", "-c", "cloud.yaml", cwd=example, OPENAI_API_KEY="key")

    assert plan.code == 0 and "limit: $5.00" in plan.out, plan.err
    assert questions.code == 0 and "at most $5.00" in questions.out, questions.err


def test_the_pdf_files_hold_the_text_of_their_sources(example: Path, steep: Steep) -> None:
    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text)

    for source in sorted((EXAMPLE / "source").glob("*.md")):
        shown = steep("documents", "--show", source.stem, cwd=example)
        assert words(shown.out) == words(source.read_text(encoding="utf-8")), source.name
