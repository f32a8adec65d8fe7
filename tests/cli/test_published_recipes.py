"""Recipes after other publications: planned, completed once, and trained on like EntiGraph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_project import run_record, settle
from steep_command import Steep

from steep.corpus.passage import read_passages

pytest_plugins = ["command_fixtures"]

RECIPES: dict[str, Any] = {
    "entigraph": {"pairs": 1},
    "summaries": {"samples": 1, "facts": 2, "question_samples": 1},
    "knowledge-instruct": {"paraphrases": 1, "passes": 2, "max_entities": 3},
    "cross-document": {"kinds": ["qa", "walk"], "partners": 2, "rare_share": 1.0},
    "nemotron": {"styles": ["diverse_qa", "knowledge_list"]},
}


def test_they_go_the_whole_way(project: Path, steep: Steep) -> None:
    arms = {name: [name] for name in RECIPES}
    settle(project / "steep.yaml", generate={"recipes": RECIPES}, train={"arms": arms})
    before = json.loads(steep("plan", "--json", cwd=project).out)
    ended = steep("run", "--json", cwd=project)
    assert ended.code == 0, ended.err
    models = json.loads(ended.out)["scores"]["likelihood"]["models"]
    assert [model["name"] for model in models] == ["base", *RECIPES]
    after = json.loads(steep("plan", "--json", cwd=project).out)
    for planned, found in zip(before["steps"], after["steps"], strict=True):
        assert (planned["recipe"], planned["step"]) == (found["recipe"], found["step"])
        calls = planned["to_do"]["calls"]
        assert calls["low"] <= found["done"] <= calls["high"], found
        assert found["to_do"]["calls"]["expected"] == 0
    done = {(each["recipe"], each["step"]): each["done"] for each in after["steps"]}
    assert done["summaries", "judgements"] == done["summaries", "fact_questions"] + 3
    assert done["cross-document", "questions"] == 6, "each of three documents with both others"
    path = project / run_record(project)["artifacts"]["corpus"] / "passages.parquet"
    assert {passage.recipe for passage in read_passages(path)} >= set(RECIPES)
    status = json.loads(steep("status", "--json", cwd=project).out)
    shared = 2 * 3  # the entities of three documents, for three recipes
    assert status["ledger"]["calls"] == sum(done.values()) - shared


def test_a_document_without_a_partner_is_counted_and_not_asked_about_again(
    project: Path, steep: Steep
) -> None:
    recipes: dict[str, Any] = {"cross-document": {}}
    settle(project / "steep.yaml", generate={"recipes": recipes, "documents": ["quillon"]})
    ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    why = "nothing to write about in 1 of 1 documents (quillon); steep status --document ID"
    assert why in ended.err
    told = steep("status", "--document", "quillon", cwd=project)
    assert "no other document shares a rare entity with it" in told.out
    assert steep("generate", "--retry-empty", cwd=project).code == 0
    status = json.loads(steep("status", "--json", cwd=project).out)
    assert status["ledger"]["calls"] == 1 and status["ledger"]["lost"]["attempts"] == 0
