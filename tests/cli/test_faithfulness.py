"""Synthetic texts judged against their documents, and questions found in them, by the command."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from answering_server import answering
from small_project import settle, write_project
from steep_command import Steep

pytest_plugins = ["command_fixtures"]

GERMAN = "Die Fähre von Quillon fährt an einem Seil. Edda Varnholt hat sie 1874 gebaut."
CHINESE = "奎隆的渡船由一根钢缆牵引。这艘渡船是埃达在一八七四年建造的，至今仍在使用。"  # noqa: RUF001
ASKED = "Wer hat im Jahre 1874 die alte Fähre von Quillon gebaut, und wofür?"
ASKED_CHINESE = "埃达是在哪一年建造了这艘由钢缆牵引的奎隆渡船的呢？"  # noqa: RUF001


def texts() -> list[dict[str, Any]]:
    """Two texts about each document; the second of each quotes the question and adds an error."""
    told = {
        "de": ("Die Fähre fährt an einem Seil. Edda Varnholt hat sie gebaut.", ASKED),
        "zh": ("渡船由一根钢缆牵引。这艘渡船是埃达建造的。", ASKED_CHINESE),
    }
    wrong = {"de": "Sie fährt nach Pell.", "zh": "它开往 Pell。"}
    return [
        {"document_id": name, "recipe": recipe, "model": "m", "sample": 0, "text": text}
        for name, (right, asked) in told.items()
        for recipe, text in (("true", right), ("qa", f"{asked} {right} {wrong[name]}"))
    ]


@pytest.fixture
def project(tmp_path: Path, steep: Steep, tiny_directory: Path) -> Path:
    """A project with imported texts about a German and a Chinese document."""
    config = write_project(tmp_path / "project", "", tiny_directory)
    folder = config.parent
    for name, text in (("de", GERMAN), ("zh", CHINESE)):
        row = {"id": name, "title": name, "text": text}
        with (folder / "documents" / "more.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    questions = [
        {"id": "q-de", "document_id": "de", "question": ASKED, "answers": ["Edda"]},
        {"id": "q-zh", "document_id": "zh", "question": ASKED_CHINESE, "answers": ["1874"]},
        {"id": "q-clean", "document_id": "de", "question": "Was zieht sie?", "answers": ["Seil"]},
    ]
    for path, rows in (("asked.jsonl", questions), ("texts.jsonl", texts())):
        (folder / path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    settle(
        config,
        generate={"recipes": {}},
        corpus={
            "filters": {"language": False, "echo": False},
            "min_words": 2,
            "near_duplicates": None,
        },
        train={"arms": {}},
        evaluate={"questions": "asked.jsonl", "methods": ["short-answers"]},
    )
    ended = steep("import", "--generations", "texts.jsonl", cwd=folder)
    assert ended.code == 0 and "4 imported" in ended.out, ended.out + ended.err
    return folder


def judge(prompt: str) -> str:
    """Takes sentences for claims; what names Pell is false."""
    if "<passage>" in prompt:
        (passage,) = re.findall("<passage>\n(.*)\n</passage>", prompt, re.DOTALL)
        return json.dumps(re.findall(r"[^.。？?]+[.。？?]", passage), ensure_ascii=False)  # noqa: RUF001
    (claims,) = re.findall("<claims>\n(.*)\n</claims>", prompt, re.DOTALL)
    rows = re.findall(r"^(\d+)\. (.*)$", claims, re.MULTILINE)
    return json.dumps({n: "false" if "Pell" in claim else "salient" for n, claim in rows})


def judged_by(project: Path, base_url: str, **more: Any) -> None:
    server = {"base_url": base_url, "model": "a-judge", "endpoint": "chat", "concurrency": 2}
    prices = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}
    settle(project / "steep.yaml", faithfulness={"judge": server | prices, **more})


def result(steep: Steep, project: Path) -> Any:
    ended = steep("evaluate", "--json", "--yes", cwd=project)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_claims_of_texts_are_judged_and_questions_in_them_found(
    project: Path, steep: Steep
) -> None:
    seen: list[Any] = []
    with answering(judge, seen) as base_url:
        judged_by(project, base_url)
        planned = json.loads(steep("plan", "--json", cwd=project).out)
        assert not seen, "a plan asks nobody"
        found = result(steep, project)
        shown = steep("evaluate", "--yes", cwd=project)
    (calls,) = [c for c in planned["evaluation"]["calls"] if c["section"] == "faithfulness.judge"]
    assert calls["requests"] > 100 and calls["cost_usd"]["expected"] > 0
    recipes = {each["recipe"]: each for each in found["faithfulness"]["recipes"]}
    assert {name: (e["texts"], e["documents"]) for name, e in recipes.items()} == {
        "qa": (2, 2),
        "true": (2, 2),
    }
    assert recipes["true"]["supported"]["mean"] == 1
    assert 0 < recipes["qa"]["supported"]["mean"] < 1
    claims = {(e["recipe"], e["document_id"]) for e in found["faithfulness"]["examples"]}
    assert claims == {("qa", "de"), ("qa", "zh")}
    assert found["faithfulness"]["judge"]["claims"] > 40
    assert found["faithfulness"]["requests"] == len(seen), "and nothing was asked twice"
    assert "FAITHFULNESS OF SYNTHETIC TEXTS" in shown.out and "4 of 4 texts judged" in shown.out

    contamination = found["contamination"]
    by_measure = {each["measure"]: each for each in contamination["measures"]}
    assert by_measure["8 words"]["by_recipe"] == {"qa": 2}
    assert {each["question_id"] for each in contamination["found"]} == {"q-de", "q-zh"}
    assert contamination["prompts"]["calls"] == {} and contamination["prompts"]["imported"] == 4
    assert {
        (s["everything"]["n"], s["clean"]["8 words"]["n"]) for s in contamination["scores"]
    } == {(3, 1)}
    assert "The prompts of 4 imported texts are unknown" in " ".join(shown.out.split())
    told = steep("status", "--question", "q-zh", cwd=project).out
    assert "in 1 passage of qa" in told and ASKED_CHINESE in told


def test_a_judge_that_answers_prose_is_counted(project: Path, steep: Steep) -> None:
    def prose_on_claims(prompt: str) -> str:
        return judge(prompt) if "<passage>" in prompt else "They all look fine to me."

    def prose(prompt: str) -> str:
        return "What a fine text!"

    def counts(reply: Callable[[str], str], seed: int) -> Any:
        with answering(reply) as base_url:
            judged_by(project, base_url, seed=seed)
            return result(steep, project)["faithfulness"]["recipes"]

    for each in counts(prose_on_claims, 1):
        assert each["claims"] > 0 == each["judged"] and each["supported"] is None
        assert sum(each["unjudged"].values()) == each["claims"]
    for each in counts(prose, 2):
        assert each["claims"] == 0 and sum(each["unread_passages"].values()) >= each["texts"]


def paid_usd(project: Path) -> float:
    with closing(sqlite3.connect(project / ".steep/ledger.db")) as ledger:
        query = "SELECT total(held_usd) FROM requests WHERE purpose = 'faithfulness'"
        return float(ledger.execute(query).fetchone()[0])


def test_a_limit_ends_the_judging_and_a_higher_one_continues(project: Path, steep: Steep) -> None:
    seen: list[Any] = []
    with answering(judge, seen) as base_url:
        judged_by(project, base_url, max_cost_usd=0.03)
        first = result(steep, project)["faithfulness"]
        assert first["judged"] < first["wanted"] == 4
        assert 0 < paid_usd(project) <= 0.03
        shown = " ".join(steep("evaluate", "--yes", cwd=project).out.split())
        assert "faithfulness.max_cost_usd ended the work" in shown
        before = len(seen)
        judged_by(project, base_url, max_cost_usd=5.0)
        second = result(steep, project)["faithfulness"]
    assert second["judged"] == 4
    sent = [json.dumps(body, sort_keys=True) for body in seen]
    assert 0 < before < len(sent) == len(set(sent)), "completed requests are not sent again"


def test_the_limit_of_the_project_ends_the_work_and_a_rerun_continues(
    project: Path, steep: Steep
) -> None:
    seen: list[Any] = []
    with answering(judge, seen) as base_url:
        judged_by(project, base_url)
        settle(project / "steep.yaml", generate={"max_cost_usd": 0.03})
        ended = steep("evaluate", cwd=project)
        assert ended.code == 2 and "limit of the project" in ended.err, ended.err
        settle(project / "steep.yaml", generate={"max_cost_usd": 5.0})
        assert result(steep, project)["faithfulness"]["judged"] == 4
    sent = [json.dumps(body, sort_keys=True) for body in seen]
    assert len(sent) == len(set(sent))
