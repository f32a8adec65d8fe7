"""`steep generate --preview N`: texts to read before the whole run, which uses them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_project import settle
from steep_command import Steep

from steep.cli.preview import lines_of
from steep.core.calls import Usage
from steep.generation.preview import Preview, PreviewCost, PreviewedCall
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

RECIPES = {"entigraph": {"pairs": 5}, "rephrase": {"styles": ["easy", "hard"], "samples": 2}}


@pytest.fixture
def endpoint(project: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        settle(
            project / "steep.yaml",
            generate={
                "base_url": server.base_url, "recipes": RECIPES,
                "max_attempts": 1, "salvage_rounds": 0,
            },
        )  # fmt: skip
        yield server


def previewed(steep: Steep, project: Path, *more: str) -> dict[str, Any]:
    ended = steep("generate", "--preview", *more, "--json", cwd=project)
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_a_preview_is_paid_for_once(project: Path, steep: Steep, endpoint: ScriptedServer) -> None:
    ended = steep("generate", "--preview", "2", "--json", cwd=project)
    assert (
        "generate: preview: up to 2 texts of each step of entigraph, rephrase, spread over 2 doc"
        in ended.err
    )
    found = json.loads(ended.out)
    by_step = [(each["recipe"], each["step"]) for each in found["calls"]]
    assert sorted(set(by_step)) == [("entigraph", "pairs"), ("rephrase", "texts")]
    assert all(by_step.count(each) == 2 for each in by_step)
    assert len({each["document_id"] for each in found["calls"]}) == 2
    assert all(each["status"] == "done" and each["text"] for each in found["calls"])
    assert all(each["tail"] and each["document"] not in each["tail"] for each in found["calls"])
    assert found["paid"]["calls"] == 2 + 4, "two lists of entities, and four texts"
    assert found["paid"]["known_usd"] > 0 and found["paid_before"]["calls"] == 0
    assert endpoint.completed.total() == 6

    again = previewed(steep, project, "4", "--recipe", "rephrase")
    assert len(again["calls"]) == 4 and sum(each["before"] for each in again["calls"]) == 2
    assert (again["paid"]["calls"], again["paid_before"]["calls"]) == (2, 2)
    assert steep("generate", cwd=project).code == 0
    assert endpoint.completed.total() == 3 * (1 + 5 + 4) == endpoint.requests.total()


def test_what_is_no_text_says_why(project: Path, steep: Steep, endpoint: ScriptedServer) -> None:
    endpoint.script = Script(0, Behaviour(server_error=1.0))
    ended = steep("generate", "--preview", "1", "--recipe", "entigraph", cwd=project)
    assert ended.code == 0, ended.err
    assert "entigraph, entities: failed: HTTP 500" in ended.out
    endpoint.script = Script(0, Behaviour(refusing=1.0))
    ended = steep("generate", "--preview", "1", "--recipe", "rephrase", cwd=project)
    assert "rephrase, texts (easy): refused" in ended.out and "I'm sorry" in ended.out
    assert "--- document\n" in ended.out and "--- prompt\n" in ended.out
    assert "paid now: 1 call, " in ended.out


def test_wrong_options_are_refused(project: Path, steep: Steep) -> None:
    ended = steep("generate", "--preview", "1", "--recipe", "entigrap", cwd=project)
    assert ended.code == 2 and "did you mean 'entigraph'?" in ended.err
    ended = steep("generate", "--recipe", "entigraph", cwd=project)
    assert ended.code == 2 and "add --preview 3" in ended.err


def test_texts_about_linked_documents_are_said_to_be_paid_for_again(
    project: Path, steep: Steep, endpoint: ScriptedServer
) -> None:
    settle(project / "steep.yaml", generate={"recipes": {"cross-document": {}, **RECIPES}})
    found = previewed(steep, project, "1")
    assert found["linking"] == ["cross-document"]
    ended = steep("generate", "--preview", "1", cwd=project)
    assert "except texts of cross-document" in ended.out
    ended = steep("generate", "--preview", "1", "--recipe", "rephrase", cwd=project)
    assert "except texts" not in ended.out


@pytest.mark.parametrize("columns", [80, 100, 160, 240])
def test_texts_stand_beside_their_sources(columns: int) -> None:
    call = PreviewedCall(
        "qa", "texts", (), "pell", "Joren Pell", "He kept bees. " * 20, "### Task\nAsk. " * 9,
        "0" * 32, "done", "Who kept bees?\n\n" + "Joren Pell kept bees. " * 40, None,
        Usage(100, 40, 20), None, False,
    )  # fmt: skip
    cost = PreviewCost(1, call.usage, 0.0, 1)
    lines = list(lines_of(Preview((call,), cost, cost), columns))
    assert max(map(len, lines)) <= columns
    beside = next(line for line in lines if "DOCUMENT" in line)
    assert beside.split() == (["DOCUMENT", "PROMPT", "TEXT"] if columns >= 140 else
                              ["DOCUMENT", "TEXT"])  # fmt: skip
    assert "100 tokens in (40 cached), 20 out, cost unknown" in " ".join(lines)
    assert any("Who kept bees?" in line for line in lines)
