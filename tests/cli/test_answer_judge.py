"""A judge of short answers: planned, asked once, measured, and shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from answering_server import answering
from small_project import settle, write_project
from steep_command import Steep

from steep.evaluation.verdicts import labeled_answers

pytest_plugins = ["command_fixtures"]

PRICES = {"usd_per_million_input_tokens": 1000.0, "usd_per_million_output_tokens": 1000.0}
SAID = ("the ferry", "a bridge", "I do not know.", "")  # by question
VERDICTS = dict(zip(SAID, ("correct", "incorrect", "not attempted"), strict=False))


@pytest.fixture
def base(tmp_path: Path, tiny_directory: Path) -> Path:
    """A project with the base model alone, and four short answers on each of two documents."""
    config = write_project(tmp_path / "project", "", tiny_directory)
    settle(config, generate={"recipes": {}}, train={"arms": {}})
    rows = [
        {"id": f"{document}-{number}", "document_id": document,
         "question": f"What is {number} on {document}?",
         "answers": ["the ferry", "ferry"]}
        for document in ("quillon", "vell")
        for number in range(len(SAID))
    ]  # fmt: skip
    questions = config.parent / "questions.jsonl"
    known = {json.loads(line)["document_id"] for line in questions.read_text().splitlines()}
    first, second = sorted(known)[:2]
    names = {"quillon": first, "vell": second}
    lines = [json.dumps(row | {"document_id": names[str(row["document_id"])]}) for row in rows]
    questions.write_text("\n".join(lines) + "\n")
    return config.parent


def reply(prompt: str) -> str:
    """Answer a question by its number, and judge answers by `VERDICTS`; some are unreadable."""
    if "<answer>" not in prompt:
        (number,) = re.findall(r"hat is (\d) on \w+\?\nAnswer:$", prompt)
        return SAID[int(number)]
    (answer,) = re.findall("<answer>\n(.*)\n</answer>", prompt, re.DOTALL)
    if answer == "a bridge" and "on quillon" in prompt:
        return "Hard to say, all in all."
    return json.dumps({"verdict": VERDICTS.get(answer, "correct")})


def judged(base: Path, url: str) -> None:
    endpoint = {"base_url": url, "model": "m", "endpoint": "chat", **PRICES}
    settle(
        base / "steep.yaml",
        evaluate={
            "methods": ["short-answers"], "servers": {"base": endpoint},
            "short_answer_judge": endpoint,
        },
    )  # fmt: skip


def calls(steep: Steep, base: Path) -> dict[str, dict[str, Any]]:
    ended = steep("plan", "--json", cwd=base)
    assert ended.code == 0, ended.err
    return {each["section"]: each for each in json.loads(ended.out)["evaluation"]["calls"]}


def test_answers_are_judged_as_planned_and_shown(base: Path, steep: Steep) -> None:
    seen: list[Any] = []
    with answering(reply, seen) as url:
        judged(base, url)
        before = calls(steep, base)["evaluate.short_answer_judge"]
        assert not seen and before["cost_usd"]["expected"] > 0
        ended = steep("evaluate", "--json", cwd=base)
        assert ended.code == 0, ended.err
        sent = len(seen)
        assert "will see the questions with all their answers (judge)" in ended.err
        after = calls(steep, base)["evaluate.short_answer_judge"]
        again = steep("evaluate", "--rescore", cwd=base)
        assert again.code == 0 and len(seen) == sent, again.err
    labeled = len(labeled_answers())
    # An empty answer is not judged; what is expected before the answers exist is.
    assert before["requests"] == labeled + 8 and after["requests"] == labeled + 6
    assert after["completed"] == after["requests"]
    found = json.loads(ended.out)["judged_answers"]
    (shares,) = found["verdicts"]
    assert shares["answers"] == 8 and sum(shares["unread"].values()) == 1
    assert shares["correct"]["mean"] == pytest.approx(2 / 7)
    assert shares["not_attempted"]["mean"] == pytest.approx(4 / 7)
    assert shares["correct_if_attempted"]["n"] == 3
    assert found["agreement"]["answers"] == labeled and found["agreement"]["judge"] == "m"
    assert found["agreement"]["by_verdict"]["correct"]["accuracy"]["n"] == labeled
    shown = " ".join(again.out.split())
    assert "The judge m on labeled answers" in shown and "Short answers by a judge" in shown
    assert steep("report", cwd=base).code == 0
    assert (
        "answers judged otherwise than labeled"
        in (base / "runs" / "default" / "report.html").read_text()
    )


def test_a_judge_without_short_answers_is_refused(base: Path, steep: Steep) -> None:
    judged(base, "http://127.0.0.1:9/v1")
    settle(base / "steep.yaml", evaluate={"methods": ["answers"]})
    ended = steep("evaluate", cwd=base)
    assert ended.code == 2 and "no short answers are asked" in ended.err, ended.err
