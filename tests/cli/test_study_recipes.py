"""SPA, Active Reading and focal rewriting go the whole way; a list that cannot be read is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from answering_server import answering
from small_project import run_record, settle
from steep_command import Steep

from steep.corpus.passage import read_passages
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

RECIPES: dict[str, Any] = {
    "spa": {"prompts": ["teacher", "mind-map"], "samples": 1},
    "active-reading": {"most": 2},
    "focal": {"questions": 2, "strategies": 1},
}


def test_published_recipes_train_models_and_are_resumed(
    project: Path, server: ScriptedServer, steep: Steep
) -> None:
    arms = {"spa": ["spa"], "read": ["active-reading", "focal"]}
    settle(project / "steep.yaml", generate={"recipes": RECIPES}, train={"arms": arms})
    plan = json.loads(steep("plan", "--json", cwd=project).out)
    expected = {
        f"{each['recipe']}/{each['step']}": each["to_do"]["calls"]["expected"]
        for each in plan["steps"]
    }
    assert expected == {
        "spa/texts": 6, "active-reading/strategies": 3, "active-reading/texts": 6,
        "focal/questions": 3, "focal/strategies": 6, "focal/texts": 6,
    }  # fmt: skip
    before = server.requests.total()
    ended = steep("run", "--json", cwd=project)
    assert ended.code == 0, ended.err
    assert server.requests.total() - before == sum(expected.values())
    models = json.loads(ended.out)["scores"]["likelihood"]["models"]
    assert [model["name"] for model in models] == ["base", *arms]
    path = project / run_record(project)["artifacts"]["corpus"] / "passages.parquet"
    subsets = {passage.recipe: passage.subset for passage in read_passages(path)}
    assert len(subsets["focal"]) == 2 and subsets["focal"][0].endswith("?")
    more = {**RECIPES, "spa": {"prompts": ["teacher", "questions"], "samples": 1}}
    settle(project / "steep.yaml", generate={"recipes": more})
    assert steep("generate", cwd=project).code == 0
    assert server.requests.total() - before == sum(expected.values()) + 3, "one prompt is new"


def test_a_list_of_strategies_that_cannot_be_read_ends_the_run_with_what_came(
    project: Path, steep: Steep
) -> None:
    seen: list[Any] = []
    with answering(lambda prompt: "Sure! You could draw a timeline of it.", seen) as url:
        settle(
            project / "steep.yaml",
            generate={"base_url": url, "recipes": {"active-reading": {}}},
        )
        ended = steep("generate", cwd=project)
        assert ended.code == 2 and len(seen) == 3
        assert "found nothing to write about in most documents: 3 of 3" in ended.err
        assert "## Build a timeline" in ended.err and "You could draw a timeline" in ended.err


def test_a_short_document_is_named_and_the_others_are_written_about(
    project: Path, server: ScriptedServer, steep: Steep
) -> None:
    (project / "documents" / "note.txt").write_text("A note\n\nHask is closed.\n")
    settle(project / "steep.yaml", generate={"recipes": {"active-reading": {"most": 2}}})
    before = server.requests.total()
    ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    assert server.requests.total() - before == 3 + 6
    assert "nothing to write about in 1 of 4 documents (note)" in ended.err
    shown = steep("status", "--document", "note", cwd=project)
    assert "fewer than 20" in shown.out, shown.out + shown.err
