"""`steep questions --power`: what detects a difference, before and after an evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_project import settle
from steep_command import Steep

pytest_plugins = ["command_fixtures"]


@pytest.fixture
def raw(project: Path) -> Path:
    """A project that needs no generator: one arm, which reads the documents."""
    arms = {"raw": ["documents"]}
    settle(project / "steep.yaml", generate={"recipes": {}}, train={"arms": arms, "seeds": 2})
    return project


def test_power_before_and_after_an_evaluation(raw: Path, steep: Steep) -> None:
    before = steep("questions", "--power", "5", cwd=raw)
    assert before.code == 0, before.err
    assert "no evaluation yet" in before.out and "corrected for 1 planned comparison" in before.out
    assert max(map(len, before.out.splitlines())) <= 80
    assert "are too few to detect any difference" in " ".join(before.out.split())
    assert "Counted as present: the questions of evaluate.questions with options" in before.out
    found = json.loads(steep("questions", "--power", "5", "--json", cwd=raw).out)
    assert (found["difference"], found["questions"]) == (0.05, 6) and not found["observed"]
    rows = {each["per_document"]: each["documents"] for each in found["needed"]}
    assert rows[1] == [rows[1][0]] * 3, "one question per document has no correlation"
    assert rows[50] == sorted(rows[50]) and rows[50][0] < rows[50][-1] < rows[1][0]
    assert steep("evaluate", cwd=raw).code == 0
    found = json.loads(steep("questions", "--power", "20", "--json", cwd=raw).out)
    (pair,) = found["observed"]
    assert (pair["a"], pair["b"], pair["questions"]) == ("raw", "base", 6)
    assert found["spreads"][0] == pair["spread"] and pair["spread"]["training"] is not None
    assert found["detectable"][0] == pair["detectable"]
    assert found["hardest"] == pair and not pair["short_answers"]
    assert len(found["spreads"]) > 1, "the ICC of three documents is rough"
    shown = steep("questions", "--power", "20", cwd=raw).out
    assert "The latest evaluation" in shown and f"{pair['metric']}: raw - base." in " ".join(
        shown.split()
    )


@pytest.mark.parametrize("points", ["0", "100", "-5"])
def test_a_difference_that_cannot_be_is_refused(raw: Path, steep: Steep, points: str) -> None:
    ended = steep("questions", "--power", points, cwd=raw)
    assert ended.code == 2 and "between 0 and 100 points" in ended.err, ended.err
