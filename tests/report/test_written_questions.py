"""The section about written questions: counts, disclosed bias and prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steep.core.artifacts import Project
from steep.core.files import write_json
from steep.evaluation.writing.candidates import GATES
from steep.evaluation.writing.results import BlindCount, GateCount, KindCount, WritingResult
from steep.report.drawing import draw_section
from steep.report.run_data import find_written
from steep.report.sections.questions import written_questions

RESULT = WritingResult(
    writer="owner/Big-Writer",
    blind="other",
    base="base/model",
    kinds=(KindCount("choice", 30, 25), KindCount("across", 10, 10)),
    asked_for=75,
    candidates=60,
    gates=tuple(GateCount(gate, None if gate == "rejected in review" else 50, 2) for gate in GATES),
    blind_kinds=(BlindCount("choice", 40, 2),),
    spare=2,
    unfinished=1,
    documents=5,
    without_questions=("d3",),
    short=("d2", "d3"),
    unrelated=0,
    rounds=2,
    exhausted=False,
    letters={"A": 9, "B": 9, "C": 9, "D": 8},
    marks={"written": 35},
    limit_reached=False,
    prompts={"write": "Write <b>questions</b>."},
    requests=1234,
    known_usd=1.5,
    unpriced=0,
)


def shown(result: WritingResult, generator: str = "small") -> str:
    return draw_section(written_questions(result, generator), {}).text


def test_counts_bias_and_prompts_are_disclosed() -> None:
    page = shown(RESULT)
    for text in (
        "written by owner/Big-Writer", "60 candidates, 35 passed", "spare (2), not checked (1)",
        "its score is lower than on questions drawn at random", "that other answers without",
        "No person has reviewed", "35 of 40 wanted questions", "1 document without a question (d3)",
        "1,234 requests", "$1.50", "Write &lt;b&gt;questions&lt;/b&gt;.",
    ):  # fmt: skip
        assert text in page, text
    assert "also generates the corpus" not in page
    assert "also generates the corpus" in shown(RESULT, "Big-writer")


def test_what_does_not_apply_is_not_said() -> None:
    reviewed = replace(RESULT, base=None, blind=None, marks={"reviewed": 35}, spare=0, unfinished=0)
    page = shown(reviewed)
    assert "drawn at random" not in page and "No person" not in page and "Not needed: none." in page


@pytest.mark.parametrize("moved", [False, True])
def test_the_result_is_found_by_the_name_of_the_questions(tmp_path: Path, moved: bool) -> None:
    from dataclasses import asdict

    folder = tmp_path / ".steep" / "questions-01234567"
    write_json(folder / "result.json", asdict(RESULT))
    root = Path("/elsewhere") if moved else tmp_path
    named: dict[str, Any] = {"questions": str(root / ".steep" / folder.name / "questions.jsonl")}
    found = find_written(Project(tmp_path), {"evaluate": named})
    assert found == RESULT
    other = {"evaluate": {"questions": str(tmp_path / "questions.jsonl")}}
    assert find_written(Project(tmp_path), other) is None
    assert find_written(Project(tmp_path), {}) is None
