"""What `steep plan` says of an evaluation by servers, before it and after it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_project import settle, write_project
from steep_command import Steep

from json_server import Body, said, serving
from steep.testing.tiny_corpus import DOCUMENTS

pytest_plugins = ["command_fixtures"]

PRICES = {"usd_per_million_input_tokens": 1000.0, "usd_per_million_output_tokens": 1000.0}


@pytest.fixture
def base(tmp_path: Path, tiny_directory: Path) -> Path:
    """A project without training: the base model alone."""
    config = write_project(tmp_path / "project", "", tiny_directory)
    settle(config, generate={"recipes": {}}, train={"arms": {}})
    return config.parent


def reply(body: Body, number: int) -> tuple[int, Any]:
    """Embeds by counting vowels, judges, echoes and answers."""
    if "input" in body:
        rows = [
            {"index": n, "embedding": [1.0, *(text.count(vowel) for vowel in "aeiou")]}
            for n, text in enumerate(body["input"])
        ]
        return 200, {"data": rows, "usage": {"prompt_tokens": 9, "total_tokens": 9}}
    if body.get("echo"):
        count = len(body["prompt"].split())
        logprobs = [None, *[-0.5] * (count - 1)]
        choice = {"text": "", "logprobs": {"token_logprobs": logprobs}}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": count, "completion_tokens": 1}}
    prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
    if "prompt" in body:
        choice = {"text": "Answer: B.", "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": 4}}
    if "<passage>" in prompt:
        (passage,) = re.findall("<passage>\n(.*)\n</passage>", prompt, re.DOTALL)
        return 200, said(json.dumps(re.findall(r"[^.]+\.", passage) or [passage]))
    if "<claims>" in prompt:
        (claims,) = re.findall("<claims>\n(.*)\n</claims>", prompt, re.DOTALL)
        numbers = re.findall(r"^(\d+)\. ", claims, re.MULTILINE)
        return 200, said(json.dumps(dict.fromkeys(numbers, "salient")))
    return 200, said("Answer: B.")


def serve_everything(base: Path, url: str, **more: Any) -> None:
    rows = [{"id": each.id, "summaries": [each.text]} for each in DOCUMENTS]
    (base / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    endpoint = {"base_url": url, "model": "m", **more}
    settle(
        base / "steep.yaml",
        evaluate={"methods": ["likelihood", "answers"], "servers": {"base": endpoint}},
        open_book={
            "chunk_characters": [99], "shown": [2], "search": "embeddings",
            "embedder": "endpoint", "embedder_server": endpoint,
        },
        summaries={
            "references": "people.jsonl", "kinds": ["short"],
            "judge": endpoint | {"endpoint": "chat"},
        },
    )  # fmt: skip


def planned(steep: Steep, base: Path) -> dict[str, dict[str, Any]]:
    ended = steep("plan", "--json", cwd=base)
    assert ended.code == 0, ended.err
    return {each["section"]: each for each in json.loads(ended.out)["evaluation"]["calls"]}


def test_what_is_planned_is_what_is_sent_and_then_nothing_is_left(base: Path, steep: Steep) -> None:
    seen: list[Body] = []
    with serving(reply, seen) as url:
        serve_everything(base, url, **PRICES)
        before = planned(steep, base)
        assert not seen, "a plan sends nothing"
        shown = steep("plan", cwd=base).out
        ended = steep("evaluate", cwd=base)
        assert ended.code == 0, ended.err
        after = planned(steep, base)
        sent = len(seen)
        again = steep("evaluate", cwd=base)
        assert again.code == 0 and len(seen) == sent, again.err
    assert set(before) == {
        "evaluate.servers.base", "open_book.embedder_server", "summaries.judge",
    }  # fmt: skip
    # The questions are known, and so are the chunks: the figures are exact.
    for section in ("evaluate.servers.base", "open_book.embedder_server"):
        assert before[section]["requests"] == after[section]["requests"], section
    judge = before["summaries.judge"]["requests"]
    assert 0.6 * after["summaries.judge"]["requests"] <= judge, "each text is judged, if unwritten"
    for each in after.values():
        assert each["completed"] == each["requests"] and each["tokens_in"]["high"] == 0
    assert sum(each["requests"] for each in after.values()) == sent
    assert before["summaries.judge"]["requests"] >= len(DOCUMENTS)
    assert before["evaluate.servers.base"]["cost_usd"]["expected"] > 0
    assert "evaluate.servers.base: m at http://127.0.0.1" in shown
    assert max(map(len, shown.splitlines())) <= 80, shown
    page = base / "runs" / "default" / "report.html"
    assert steep("report", cwd=base).code == 0
    assert "other requests" in page.read_text() and "evaluate base" in page.read_text()
    costs = {each["purpose"]: each for each in status(steep, base)["requests"]}
    assert set(costs) == {"evaluate base", "embed", "judge"}
    assert sum(each["requests"] for each in costs.values()) == sent


def test_embeddings_are_planned_where_local_likelihoods_rerank(base: Path, steep: Steep) -> None:
    with serving(reply, []) as url:
        serve_everything(base, url)
        settle(base / "steep.yaml", evaluate={"servers": {}, "methods": ["likelihood"]})
        searched = planned(steep, base)["open_book.embedder_server"]
        settle(base / "steep.yaml", open_book={"reranker": "likelihood"})
        reranked = planned(steep, base)["open_book.embedder_server"]
    assert searched["requests"] > 0
    assert reranked["requests"] == searched["requests"]


def test_a_plan_in_the_middle_of_likelihoods_counts_what_is_left(base: Path, steep: Steep) -> None:
    seen: list[Body] = []

    def dying(body: Body, number: int) -> tuple[int, Any]:
        if number >= 12:
            return 401, {"error": {"message": "no"}}
        return reply(body, number)

    with serving(lambda body, number: dying(body, number), seen) as url:
        endpoint = {"base_url": url, "model": "m", "concurrency": 1, **PRICES}
        settle(
            base / "steep.yaml", evaluate={"servers": {"base": endpoint}},
            generate={"max_cost_usd": 0.5},
        )  # fmt: skip
        assert steep("evaluate", cwd=base).code == 2
        ended = steep("plan", "--json", cwd=base)
        (calls,) = json.loads(ended.out)["evaluation"]["calls"]
        shown = " ".join(steep("plan", cwd=base).out.split())
    assert calls["completed"] == 12 < calls["requests"] == 30
    assert "warning: the evaluation costs about $" in shown and "of generate.max_cost_usd" in shown


def status(steep: Steep, project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(steep("status", "--json", cwd=project).out)
    return found


def test_the_limit_of_the_project_covers_the_evaluation(base: Path, steep: Steep) -> None:
    seen: list[Body] = []
    with serving(reply, seen) as url:
        serve_everything(base, url)
        settle(base / "steep.yaml", generate={"max_cost_usd": 3.0})
        unpriced = steep("evaluate", cwd=base)
        assert unpriced.code == 2 and not seen
        assert "A limit in dollars needs prices" in unpriced.err
        assert "evaluate.servers.base.usd_per_million_input_tokens" in unpriced.err
        serve_everything(base, url, **PRICES)
        settle(base / "steep.yaml", summaries={"references": None})
        ended = steep("evaluate", cwd=base)
        assert ended.code == 2 and "generate.max_cost_usd" in ended.err, ended.err
        found = status(steep, base)
        assert 0.2 < found["limits"]["spent_usd"] <= 3.0
        kept = len(seen)
        settle(base / "steep.yaml", generate={"max_cost_usd": 1000.0})
        assert steep("evaluate", cwd=base).code == 0
        total = sum(each["requests"] for each in status(steep, base)["requests"])
    assert len(seen) == total, "nothing was sent twice"
    assert 0 < kept < total


@pytest.mark.parametrize(
    ("spoil", "warned"),
    [
        (lambda path: path.unlink(), "evaluate will refuse to start"),
        (
            lambda path: path.write_text(path.read_text() + '{"id": "x", "document_id": "no"}\n'),
            "questions cannot be asked",
        ),
    ],
)
def test_a_plan_warns_of_questions_that_cannot_be_asked(
    base: Path, steep: Steep, spoil: Callable[[Path], None], warned: str
) -> None:
    with serving(reply) as url:
        endpoint = {"base_url": url, "model": "m"}
        settle(base / "steep.yaml", evaluate={"servers": {"base": endpoint}})
        spoil(base / "questions.jsonl")
        ended = steep("plan", cwd=base)
    assert "warning: " in ended.out and warned in " ".join(ended.out.split()), ended.out + ended.err
