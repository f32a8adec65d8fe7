"""A generator that reasons: its thoughts are no texts, and are counted and paid for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from small_project import run_record, settle
from steep_command import Steep

from steep.corpus.passage import read_passages
from steep.testing.script import request_hash
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

THOUGHT = "Hmm, a secret thought. " * 9
TOKENS = 50  # of each thought that is reported


class ReasoningServer(ScriptedServer):
    """Reasons in a field of its own or in tags; some answers are nothing but a thought."""

    async def _reply(self, request: web.Request, body: Any) -> web.StreamResponse:
        response = await super()._reply(request, body)
        assert isinstance(response, web.Response) and response.text is not None
        reply = json.loads(response.text)
        choice, usage = reply["choices"][0], reply["usage"]
        message, kind = choice["message"], int(request_hash(body)[:4], 16) % 5
        usage["completion_tokens"] += TOKENS
        if kind == 0:
            message |= {"content": None, "reasoning_content": THOUGHT}
            choice["finish_reason"], usage["completion_tokens"] = "length", TOKENS
            return web.json_response(reply)
        usage["completion_tokens_details"] = {"reasoning_tokens": TOKENS}
        if kind < 3:
            message["reasoning_content"] = THOUGHT
        else:
            message["content"] = f"<think>\n{THOUGHT}</think>\n\n{message['content']}"
        return web.json_response(reply)


@pytest.fixture
def reasoning(project: Path) -> Iterator[Path]:
    with ReasoningServer() as server:
        recipes = {"rephrase": {"styles": ["easy", "hard"], "samples": 5}}
        settle(
            project / "steep.yaml",
            generate={"base_url": server.base_url, "recipes": recipes, "reasoning_tokens": 200},
            train={"arms": {"rephrase": ["rephrase"]}},
        )
        yield project


def test_thoughts_are_no_texts_but_counted(reasoning: Path, steep: Steep) -> None:
    ended = steep("run", cwd=reasoning)
    assert ended.code == 0, ended.err
    found = json.loads(steep("status", "--json", cwd=reasoning).out)
    counts, usage = found["plan"], found["ledger"]["usage"]
    assert counts["reasoning"] > 0 and counts["done"] > counts["reasoning"]
    answers = counts["planned"]
    assert usage["reasoning_tokens"] == TOKENS * answers < usage["completion_tokens"]
    assert found["reasoning_tokens"] == TOKENS * counts["reasoning"]
    priced = usage["prompt_tokens"] * 1e-6 + usage["completion_tokens"] * 2e-6
    assert found["ledger"]["known_usd"] == pytest.approx(priced)
    said = f"(of these, {TOKENS * answers:,} tokens of reasoning)"
    assert said in steep("status", cwd=reasoning).out
    assert said in " ".join(steep("plan", cwd=reasoning).out.split())
    artifacts = run_record(reasoning)["artifacts"]
    manifest = json.loads((reasoning / artifacts["generate"] / "manifest.json").read_text())
    assert manifest["usage"]["reasoning_tokens"] == TOKENS * answers
    passages = read_passages(reasoning / artifacts["corpus"] / "passages.parquet")
    assert len(passages) > 3 and not any("secret thought" in each.text for each in passages)
    page = (reasoning / "runs" / "default" / "report.html").read_text()
    assert "of these reasoning" in page and "secret thought" not in page


def test_thoughts_do_not_count_towards_a_target(reasoning: Path, steep: Steep) -> None:
    settle(reasoning / "steep.yaml", generate={"target_tokens": 200, "concurrency": 1})
    assert steep("generate", cwd=reasoning).code == 0
    usage = json.loads(steep("status", "--json", cwd=reasoning).out)["ledger"]["usage"]
    assert usage["completion_tokens"] - usage["reasoning_tokens"] >= 200


def test_a_preview_adds_up_the_reasoning(reasoning: Path, steep: Steep) -> None:
    found = json.loads(steep("generate", "--preview", "2", "--json", cwd=reasoning).out)
    paid = found["paid"]
    assert paid["usage"]["reasoning_tokens"] == TOKENS * paid["calls"] > 0
