"""Summaries from memory with a judge, forgetting, and evaluations that are killed half way."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from answering_server import answering
from small_project import settle, write_project
from steep_command import Steep, wait_until

from steep.core.formatting import decimal
from steep.testing.tiny_corpus import DOCUMENTS
from steep.testing.tiny_model import make_tiny_model

pytest_plugins = ["command_fixtures"]


@pytest.fixture
def base(tmp_path: Path, tiny_directory: Path) -> Path:
    """A project without training: the base model alone."""
    config = write_project(tmp_path / "project", "", tiny_directory)
    settle(config, generate={"recipes": {}}, train={"arms": {}})
    return config.parent


def write_references(path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": each.id, "summaries": [each.text, f"{each.title} is described."]}
        for each in DOCUMENTS
    ]
    rows += [{"id": "nowhere", "summaries": ["x"]}, {"id": "pell", "summaries": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def judge(prompt: str) -> str:
    """Takes sentences for claims; what names Pell is false, what is long is salient."""
    if "<passage>" in prompt:
        (passage,) = re.findall("<passage>\n(.*)\n</passage>", prompt, re.DOTALL)
        return json.dumps(re.findall(r"[^.]+\.", passage) or [passage])
    (claims,) = re.findall("<claims>\n(.*)\n</claims>", prompt, re.DOTALL)
    rows = re.findall(r"^(\d+)\. (.*)$", claims, re.MULTILINE)
    return json.dumps(
        {n: "false" if "Pell" in c else "salient" if len(c) > 60 else "cosmetic" for n, c in rows}
    )


def study(base: Path, base_url: str, **more: Any) -> None:
    write_references(base / "people.jsonl")
    server = {"base_url": base_url, "model": "a-judge", "endpoint": "chat"}
    settle(
        base / "steep.yaml",
        evaluate={"questions": None},
        summaries={"references": "people.jsonl", "judge": server, "max_tokens": 24, **more},
    )


def test_summaries_are_judged_beside_those_of_people(base: Path, steep: Steep) -> None:
    with answering(judge) as base_url:
        study(base, base_url)
        ended = steep("evaluate", "--json", cwd=base)
        shown = steep("evaluate", cwd=base)
    assert ended.code == 0, ended.err
    assert "127.0.0.1 will see the summaries, and their documents whole (judge)" in ended.err
    assert "no reference: people.jsonl:4" in ended.err and "people.jsonl:5" in ended.err
    found = json.loads(ended.out)["summaries"]
    sets = {(s["texts"]["writer"], s["texts"]["kind"]): s for s in found["sets"]}
    assert set(sets) == {("human", "human"), ("base", "short"), ("base", "long")}
    assert sets["human", "human"]["written"] == 2 * len(DOCUMENTS)
    assert sets["human", "human"]["per_text"]["false"]["mean"] > 0
    assert sets["base", "short"]["written"] == len(DOCUMENTS)
    assert found["judge"][0]["claims"] > 40 and found["judge"][0]["unread"] == {}
    assert shown.code == 0 and "a-judge  truth" in shown.out and "base short" in shown.out
    again = json.loads(steep("evaluate", "--rescore", "--json", cwd=base).out)
    assert again["summaries"] == found, "of rows alone, with no judge to ask"


def test_a_judge_that_answers_prose_is_counted(base: Path, steep: Steep) -> None:
    with answering(lambda prompt: "What a fine text! I liked it.") as base_url:
        study(base, base_url, kinds=["short"])
        ended = steep("evaluate", "--json", cwd=base)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["summaries"]
    assert "none of its verdicts could be read" in ended.err
    assert sum(found["judge"][0]["unread"].values()) == found["judge"][0]["claims"]
    for each in found["sets"]:
        assert each["claims"] == 0
        assert sum(each["left_out"].values()) + each["empty"] == each["written"]


def test_a_study_needs_a_judge_and_people(base: Path, steep: Steep) -> None:
    write_references(base / "people.jsonl")
    settle(base / "steep.yaml", summaries={"references": "people.jsonl"})
    ended = steep("evaluate", cwd=base)
    assert ended.code == 2 and "needs a judge" in ended.err


def test_the_loss_on_general_text_is_paired_with_the_base(tmp_path: Path, steep: Steep) -> None:
    model = make_tiny_model(tmp_path / "model")
    config = write_project(tmp_path / "project", "", model)
    (config.parent / "general.txt").write_text("The sea was calm that day. " * 30)
    settle(
        config,
        generate={"recipes": {}},
        train={"arms": {"raw": ["documents"]}, "replay_rate": 0.0, "learning_rate": 1e-2},
        forgetting={"texts": "general.txt", "context_tokens": 64},
    )
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["general_text"]
    before, after = (model["bits_per_byte"]["mean"] for model in found["models"])
    (pair,) = found["differences"]
    assert pair["bits_per_byte"]["mean"] == pytest.approx(after - before)
    assert pair["bits_per_byte"]["low"] is None, "one text tells nothing of others"
    change = decimal(after - before, 4, signed=True)
    printed = " ".join(steep("evaluate", cwd=config.parent).out.split())
    assert f"raw against base: {change} bits per byte" in printed


def test_text_that_is_replayed_says_little_of_forgetting(base: Path, steep: Steep) -> None:
    settle(base / "steep.yaml", forgetting={"texts": "builtin"}, evaluate={"questions": None})
    ended = steep("evaluate", cwd=base)
    assert ended.code == 0, ended.err
    assert "also the text that training replays" in ended.err


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="no lm-eval")
def test_tasks_of_the_harness_are_compared_before_and_after(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    config = write_project(tmp_path / "project", "", tiny_directory)
    settle(config, generate={"recipes": {}}, train={"arms": {"raw": ["documents"]}})
    assert (
        steep("export", "lm-eval", "--out", "exported", "--name", "own", cwd=config.parent).code
        == 0
    )
    settle(config, forgetting={"tasks": ["own"], "task_folder": "exported"})
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    scores = json.loads(ended.out)
    found = scores["tasks"]
    assert [model["name"] for model in found["models"]] == ["base", "raw"]
    by_metric = {
        (model["name"], row["metric"]): row["value"]
        for model in found["models"]
        for row in model["scores"]
    }
    ours = {each["name"]: each["by_normalizer"]["sum"] for each in scores["likelihood"]["models"]}
    for name, accuracy in ours.items():
        assert by_metric[name, "acc"] == pytest.approx(accuracy), "the same questions as our own"
    (difference,) = (each for each in found["differences"] if each["metric"] == "acc")
    assert difference["difference"]["mean"] == pytest.approx(ours["raw"] - ours["base"])
    _, _, printed = steep("evaluate", cwd=config.parent).out.partition("Benchmark tasks")
    change = decimal(difference["difference"]["mean"], 3, signed=True)
    assert change in printed


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="no lm-eval")
@pytest.mark.slow
def test_a_task_that_there_is_not_is_said_before_anything_is_spent(
    base: Path, steep: Steep
) -> None:
    ended = steep("evaluate", "--set", "forgetting.tasks=[arc_esy]", cwd=base)
    assert ended.code == 2 and "has no task 'arc_esy'" in ended.err and "arc_easy" in ended.err
    assert not list((base / ".steep").glob("score-*"))


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_tasks_need_their_package(base: Path, steep: Steep) -> None:
    ended = steep("evaluate", "--set", "forgetting.tasks=[arc_easy]", cwd=base)
    assert ended.code == 2 and "pip install 'steep[lm-eval]'" in ended.err


def recorded(path: Path) -> int:
    """The requests that a ledger holds."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])
        except sqlite3.OperationalError:  # the table is being made
            return 0


def test_a_killed_evaluation_asks_only_for_what_is_missing(
    base: Path, steep: Steep, tmp_path: Path
) -> None:
    """Of 300 texts a kill loses the part that was being asked, and no text before it."""

    def reply(prompt: str) -> str:
        return "Answer: A."

    asked: list[Any] = []
    with answering(reply, asked) as base_url:
        server = {"base_url": base_url, "model": "m", "endpoint": "chat", "concurrency": 4}
        settle(
            base / "steep.yaml",
            evaluate={
                "methods": ["answers"], "samples": 50, "temperature": 1.0,
                "servers": {"base": server},
            },
        )  # fmt: skip
        killed = steep.start("evaluate", cwd=base)
        ledger = base / ".steep" / "ledger.db"
        wait_until(lambda: ledger.is_file() and recorded(ledger) >= 50)
        killed.kill()
        before, count = recorded(ledger), len(asked)
        ended = steep("evaluate", "--json", cwd=base)
    assert ended.code == 0, ended.err
    assert f"{before} of 300 requests were completed before" in ended.err
    assert 50 <= before < 300 and len(asked) - count == 300 - before
    assert len(asked) <= 300 + 2 * 4, "twice, at most, what was in flight"
    assert json.loads(ended.out)["answers"]["models"][0]["samples"] == 300
