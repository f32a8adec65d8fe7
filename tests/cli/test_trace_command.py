"""`steep trace`: from a token or a text to its call, also after the corpus has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_project import settle
from steep_command import Steep

from steep.corpus.passage import read_passages

pytest_plugins = ["command_fixtures"]

ROW = {"document_id": "pell", "recipe": "told", "model": "gpt", "sample": 0}
TOLD = "Joren Pell kept bees in Tessel before the town made him master of its harbour."


@pytest.fixture
def tokenized(project: Path, steep: Steep) -> Path:
    arms = {"raw": ["documents"], "own": ["entigraph", "told"]}
    settle(project / "steep.yaml", train={"arms": arms}, tokenize={"holdout": 0.3})
    rows = [{**ROW, "sample": n, "text": f"{TOLD} That was {n} years ago."} for n in range(5)]
    (project / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert steep("import", "--generations", "texts.jsonl", cwd=project).code == 0
    ended = steep("tokenize", cwd=project)
    assert ended.code == 0, ended.err
    return project


def traced(steep: Steep, project: Path, *arguments: str) -> dict[str, Any]:
    ended = steep("trace", *arguments, "--json", cwd=project)
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_tokens_lead_to_calls_imports_and_documents(tokenized: Path, steep: Steep) -> None:
    (corpus,) = tokenized.glob(".steep/corpus-*/passages.parquet")
    passages = {each.id: each for each in read_passages(corpus)}
    first = traced(steep, tokenized, "--arm", "own", "--token", "40")
    ends = np.fromfile(tokenized / first["shard"] / "ends.bin", np.int64)
    assert first["place"]["text"] == int(np.searchsorted(ends, 40, side="right"))
    passage, call = first["origin"]["passage"], first["origin"]["call"]
    assert passages[passage["id"]].text == passage["text"]
    assert first["place"]["decoded"] in passage["text"]
    assert (call["model"], call["recipe"], call["status"]) == ("scripted", "entigraph", "done")
    assert call["completion"]["cost_usd"] > 0 and call["completion"]["endpoint"]
    assert passage["subset"][0] in first["origin"]["messages"][-1]["parts"][-1]
    (document,) = first["origin"]["documents"]
    assert document["id"] == passage["document_id"] and document["source"]
    last = traced(steep, tokenized, "--arm", "own", "--token", str(ends[-1] - 1))
    sample = last["origin"]["call"]["sample"]
    assert last["origin"]["imported_from"] == f"texts.jsonl:{sample + 1}"
    raw = traced(steep, tokenized, "--arm", "raw", "--token", "1")
    assert raw["origin"]["call"] is None and raw["origin"]["passage"]["recipe"] == "documents"
    shown = steep("trace", "--arm", "own", "--token", "40", cwd=tokenized).out
    assert "without its first" in shown and call["call_id"] in shown
    assert "without its first" not in steep(
        "trace", "--arm", "own", "--token", "40", "--full", cwd=tokenized
    ).out  # fmt: skip


def test_the_replay_and_texts_held_out_are_traced(tokenized: Path, steep: Steep) -> None:
    replay = traced(steep, tokenized, "--arm", "replay", "--token", "900")
    assert replay["origin"]["file"].endswith("replay.md")
    assert replay["place"]["before"].strip() in replay["origin"]["text"]
    found = traced(steep, tokenized, "--text", "THE", "--arm", "own", "--limit", "100")
    assert found["passages"] == len(found["traces"]) > 10
    by_recipe = {each["origin"]["passage"]["recipe"] for each in found["traces"]}
    assert by_recipe == {"documents", "entigraph", "told"}
    held_out = [each for each in found["traces"] if each["is_held_out"]]
    assert held_out and all(each["tokens"] is None for each in held_out)
    for each in found["traces"]:
        recipe = each["origin"]["passage"]["recipe"]
        assert (each["tokens"] is None) == (each["is_held_out"] or recipe == "documents")
    start = next(each["tokens"][0] for each in found["traces"] if each["tokens"])
    again = traced(steep, tokenized, "--arm", "own", "--token", str(start))
    assert again["place"]["first"] == start


def test_the_corpus_of_the_shard_is_found_among_several(tokenized: Path, steep: Steep) -> None:
    before = traced(steep, tokenized, "--arm", "own", "--token", "40")
    assert steep("corpus", "--set", "corpus.min_words=50", cwd=tokenized).code == 0
    assert len([*tokenized.glob(".steep/corpus-*")]) == 2
    assert traced(steep, tokenized, "--arm", "own", "--token", "40") == before
    ended = steep(
        "trace", "--arm", "own", "--token", "300", "--set", "tokenize.holdout=0.49", cwd=tokenized
    )
    assert ended.code == 2 and "tokenize.holdout 0.49" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--token", "1"], "not clear what to trace"),
        (["--arm", "own", "--token", "1", "--text", "x"], "not clear what to trace"),
        (["--arm", "owm", "--token", "1"], "no arm 'owm'"),
        (["--arm", "entigraph", "--token", "1"], "is not tokenized"),
        (["--text", "x"], "no corpus yet"),
    ],
)
def test_what_cannot_be_traced(
    project: Path, steep: Steep, arguments: list[str], said: str
) -> None:
    ended = steep("trace", *arguments, cwd=project)
    assert ended.code == 2 and said in ended.err
