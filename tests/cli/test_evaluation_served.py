"""What `steep evaluate` does with servers that fail, questions that do not fit, other weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from answering_server import answering
from small_project import settle, write_project
from steep_command import Steep

from steep.testing.tiny_model import make_tiny_model

pytest_plugins = ["command_fixtures"]

REFUSED = (400, {"error": {"message": "Weekends are not served.", "type": "invalid_request"}})


@pytest.fixture
def base(tmp_path: Path, tiny_directory: Path) -> Path:
    """A project without training: the base model alone."""
    config = write_project(tmp_path / "project", "", tiny_directory)
    settle(config, generate={"recipes": {}}, train={"arms": {}})
    return config.parent


def served(base_url: str, endpoint: str = "chat") -> dict[str, Any]:
    return {"base_url": base_url, "model": "large", "endpoint": endpoint}


def ask_served(project: Path, base_url: str, endpoint: str = "chat", name: str = "base") -> None:
    servers = {name: served(base_url, endpoint)}
    settle(project / "steep.yaml", evaluate={"methods": ["answers"], "servers": servers})


def test_a_refused_request_is_an_error_of_which_nothing_is_kept(base: Path, steep: Steep) -> None:
    with answering(lambda prompt: REFUSED) as base_url:
        ask_served(base, base_url)
        ended = steep("evaluate", cwd=base)
    assert ended.code == 2 and "Weekends are not served." in ended.err, ended.err
    assert not list((base / ".steep").glob("answer-*/manifest.json"))
    with answering(lambda prompt: "So it is.\nAnswer: B.") as base_url:
        ask_served(base, base_url)
        ended = steep("evaluate", "--json", cwd=base)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["answers"]["models"][0]["attempted"] == 6


def test_a_parameter_that_is_left_out_stands_beside_the_accuracy(base: Path, steep: Steep) -> None:
    seen: list[Any] = []

    def reply(prompt: str) -> str | tuple[int, Any]:
        if "temperature" in seen[-1]:
            return 400, {"error": {"message": "'temperature' is not supported", "param": None}}
        return "Answer: B."

    with answering(reply, seen) as base_url:
        servers = {"base": served(base_url) | {"concurrency": 1}}
        settle(base / "steep.yaml", evaluate={"methods": ["answers"], "servers": servers})
        ended = steep("evaluate", "--json", cwd=base)
        shown = steep("evaluate", cwd=base)
    assert ended.code == 0, ended.err
    (model,) = json.loads(ended.out)["answers"]["models"]
    assert model["asked_without"] == ["temperature"] and model["attempted"] == 6
    assert "base was asked without temperature: its server rejects such a parameter." in shown.out
    assert "Guessing has an accuracy of " in shown.out


def test_a_server_without_echo_costs_the_likelihoods_of_its_model_only(
    base: Path, steep: Steep
) -> None:
    said = {"choices": [{"text": "So.\nAnswer: B.", "finish_reason": "stop"}]}
    with answering(lambda prompt: (200, said)) as base_url:
        ask_served(base, base_url, "completions")
        settle(base / "steep.yaml", evaluate={"methods": ["likelihood", "answers"]})
        ended = steep("evaluate", "--json", cwd=base)
    assert ended.code == 0, ended.err
    assert "base: not asked by likelihood" in ended.err and "'echo'" in ended.err
    scores = json.loads(ended.out)
    assert "likelihood" not in scores and scores["answers"]["models"][0]["attempted"] == 6


def test_a_dead_server_is_found_before_a_model_here_is_asked(base: Path, steep: Steep) -> None:
    with answering(lambda prompt: "x") as base_url:
        pass
    ask_served(base, base_url, "completions", "large")
    settle(base / "steep.yaml", evaluate={"methods": ["likelihood"]})
    ended = steep("evaluate", cwd=base)
    assert ended.code == 2 and "does not answer" in ended.err, ended.err
    assert not list((base / ".steep").glob("score-*/manifest.json"))
    assert "score base" not in ended.err


def test_a_question_that_does_not_fit_is_left_out_and_named_before_training(
    tmp_path: Path, steep: Steep
) -> None:
    narrow = make_tiny_model(tmp_path / "model", context_tokens=256)
    config = write_project(tmp_path / "project", "", narrow)
    settle(config, generate={"recipes": {}}, train={"arms": {"raw": ["documents"]}})
    row = {"id": "long", "document_id": "quillon", "question": "Who?", "gold": 0}
    with (config.parent / "questions.jsonl").open("a") as file:
        file.write(json.dumps(row | {"options": ["Edda rowed. " * 200, "Joren"]}) + "\n")
        file.write(json.dumps(row | {"id": "bare", "options": ["\ufeff", "Joren"]}) + "\n")
        file.write(json.dumps(row | {"id": "thin", "options": ["\u200b", "Joren"]}) + "\n")
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    assert ended.err.index("not asked: long") < ended.err.index("train raw")
    scores = json.loads(ended.out)
    assert {each["question_id"] for each in scores["skipped"]} == {"long", "bare", "thin"}
    assert scores["likelihood"]["models"][0]["n"] == 6
    settle(config, evaluate={"methods": ["answers"]})
    ended = steep("evaluate", cwd=config.parent)
    assert ended.code == 2 and "None of the questions can be asked." in ended.err, ended.err


def test_other_weights_under_the_same_path_are_evaluated_again(
    tmp_path: Path, steep: Steep
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = make_tiny_model(tmp_path / "model")
    config = write_project(tmp_path / "project", "", model)
    settle(config, generate={"recipes": {}}, train={"arms": {}})
    assert steep("evaluate", cwd=config.parent).code == 0
    assert "score base: done before" in steep("evaluate", cwd=config.parent).err
    loaded = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.mul_(2)
    before = (model / "model.safetensors").stat()
    loaded.save_pretrained(model)
    os.utime(model / "model.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    ended = steep("evaluate", cwd=config.parent)
    assert ended.code == 0 and "other weights" in ended.err, ended.err
    assert len(list((config.parent / ".steep").glob("score-*/manifest.json"))) == 2


def test_what_the_strict_parser_does_not_read_is_warned_of_and_read_by_the_lenient_one(
    base: Path, steep: Steep
) -> None:
    with answering(lambda prompt: "It follows.\n**Answer: B. The second**") as base_url:
        ask_served(base, base_url)
        ended = steep("evaluate", "--json", cwd=base)
    strict = json.loads(ended.out)["answers"]
    assert strict["models"][0]["attempted"] == 0
    assert "evaluate.parser lenient" in strict["warnings"][0]
    changed = ("--set", "evaluate.parser=lenient", "--json")
    again = steep("evaluate", "--rescore", *changed, cwd=base)
    assert again.code == 0, again.err
    lenient = json.loads(again.out)["answers"]
    assert lenient["models"][0]["attempted"] == 6 and lenient["warnings"] == []


def test_rows_name_what_was_computed_with(base: Path, steep: Steep) -> None:
    assert steep("evaluate", cwd=base).code == 0
    (manifest,) = (base / ".steep").glob("score-*/manifest.json")
    fields = json.loads(manifest.read_text())["identity"]["fields"]
    assert {"weights", "dtype", "device", "torch", "transformers"} <= fields.keys()
    assert parquet.read_table(manifest.parent / "rows.parquet").num_rows == 6
