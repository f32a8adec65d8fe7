"""`steep plan` says what training will take, from what is there, without loading anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_project import EVERY_STEP, settle
from steep_command import Steep, wait_until

from steep.config_loading import load_config
from steep.training.memory import check_memory
from steep.training.parallel import connect
from steep.training.prepare import resolve_auto

pytest_plugins = ["command_fixtures"]

NO_HUB = "nobody/no-such-model"


def listing(folder: Path) -> dict[str, float]:
    """The files, and when each was written; SQLite puts one beside the ledger while it reads."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in files}


def training(steep: Steep, project: Path, *more: str) -> dict[str, Any]:
    ended = steep("plan", "--json", *more, cwd=project)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    found: dict[str, Any] = json.loads(ended.out)["training"]
    return found


def lines_of(steep: Steep, project: Path, *more: str) -> list[str]:
    ended = steep("plan", *more, cwd=project)
    assert ended.code == 0, ended.err
    _, heading, text = ended.out.partition("\ntraining: ")
    assert heading
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines[1:])
    return lines


def test_before_anything_is_done(project: Path, steep: Steep) -> None:
    """On a processor nothing was measured, so hours are unknown; tokens and memory are not."""
    found = training(steep, project, "--set", "train.gpu_hour_usd=2")
    (section,) = found["sections"]
    assert [run["name"] for run in section["runs"]] == ["raw", "entigraph"]
    assert [run["tokens"]["expected"] for run in section["runs"]] == [1536, 1536]
    assert {run["state"] for run in section["runs"]} == {"to do"}
    first, second = (run["validation_tokens"] for run in section["runs"])
    assert first["expected"] == 2 * second["expected"] > 0  # also before the first step
    assert not any(
        training(steep, project, "--set", "tokenize.holdout=0")["sections"][0]["runs"][0][
            "validation_tokens"
        ].values()
    )
    assert section["rate"]["tokens_per_s"] is found["hours"] is found["cost_usd"] is None
    assert "was measured on this processor" in section["rate"]["source"]
    assert section["parameters"] == 98_624
    config = load_config(project / "steep.yaml")
    world = connect()
    settings = resolve_auto(config.train, world.device)
    checked = check_memory(config.train.model, settings, world)
    assert section["memory"]["parts"] == checked.parts  # those of the check before training
    assert section["memory"]["checkpoint_bytes"] == checked.checkpoint_bytes
    lines = lines_of(steep, project)
    assert "  time    unknown" in lines
    assert [line.split() for line in lines if line.startswith("raw")] == [
        ["raw", "1,536", "unknown"]
    ]


def test_named_gpus_give_hours_and_dollars(project: Path, steep: Steep) -> None:
    named = ["--gpus", "4xH100", "--set", "train.gpu_hour_usd=2.5"]
    found = training(steep, project, *named)
    (section,) = found["sections"]
    assert section["rate"]["mfu"] == {"low": 0.2, "expected": 0.4, "high": 0.55}
    assert section["memory"]["available"] is None
    hours, cost = found["hours"], found["cost_usd"]
    assert 0 < hours["low"] < hours["expected"] < hours["high"]
    assert cost["expected"] == pytest.approx(4 * 2.5 * hours["expected"])
    assert found["warnings"] == []
    lines = lines_of(steep, project, *named)
    assert "  on      4 x H100" in lines
    assert lines[-2].endswith("at $2.50 per GPU hour")
    more = training(steep, project, "--gpus", "8xH100")
    assert "more ranks than sequences in a batch" in more["warnings"][0]


def test_what_was_trained_is_done_and_measured(project: Path, steep: Steep) -> None:
    assert steep("train", cwd=project).code == 0
    before = listing(project)
    found = training(steep, project)
    assert [run["state"] for run in found["sections"][0]["runs"]] == ["done", "done"]
    assert found["hours"]["high"] == 0
    lines = lines_of(steep, project)
    assert lines == ["nothing to do, already done: raw, entigraph"]
    more = ["--set", "train.tokens=2560", "--set", "train.gpu_hour_usd=1"]
    found = training(steep, project, *more)  # ten steps instead of six
    (section,) = found["sections"]
    newest = run_of(project, "entigraph")
    assert section["rate"]["source"] == f"measured by 5 steps of {newest.name}"
    rates = [row["tokens_per_s"] for row in rows(newest)][1:]
    low, expected, high = section["rate"]["tokens_per_s"].values()
    assert min(rates) == low <= expected <= high == max(rates)
    (run, _) = section["runs"]
    validation = 2 * sum(
        max(1, tokens // 64) * 64
        for tokens in manifest_of(project, "validation")["tokens"].values()
    )  # before the first step and after the last; of the first arm
    assert run["hours"]["expected"] == pytest.approx((2560 + validation / 3) / expected / 3600)
    assert run["cost_usd"] is None  # a processor
    other = training(steep, project, "--set", "train.micro_batch_sequences=2")
    assert other["sections"][0]["rate"]["tokens_per_s"] is None
    assert listing(project) == before


def test_passes_over_texts_that_are_still_to_be_written(project: Path, steep: Steep) -> None:
    epochs = ["--set", "train.epochs=2", "--set", "train.tokens=null"]
    before = training(steep, project, *epochs)["sections"][0]["runs"]
    assert [run["tokens"]["low"] < run["tokens"]["high"] for run in before] == [True, True]
    assert steep("tokenize", *epochs, cwd=project).code == 0
    raw, written = training(steep, project, *epochs)["sections"][0]["runs"]
    for run, name in ((raw, "raw"), (written, "entigraph")):
        tokens = 2 * manifest_of(project, name)["tokens"] / 0.9
        assert run["tokens"]["low"] == run["tokens"]["high"]
        assert tokens <= run["tokens"]["expected"] <= tokens + 4 * 64
    # The tiny tokenizer has 384 entries and needs more tokens than any that people use.
    assert before[0]["tokens"]["low"] < raw["tokens"]["expected"] < 2 * before[0]["tokens"]["high"]


def test_an_interrupted_run_is_continued(project: Path, steep: Steep) -> None:
    settle(project / "steep.yaml", train={"checkpoint_minutes": EVERY_STEP})
    long = ["--set", "train.tokens=256000"]
    running = steep.start("train", *long, cwd=project)
    wait_until(lambda: any(len(rows(path)) > 8 for path in project.glob(".steep/train-*")))
    running.kill()
    found = training(steep, project, *long)
    begun, other = found["sections"][0]["runs"]
    assert begun["state"] == "interrupted" and begun["steps_done"] >= 2
    assert other["state"] == "to do" and other["steps_done"] == 0
    assert 0 < begun["hours"]["expected"] < other["hours"]["expected"] * 1.1
    lines = lines_of(steep, project, *long)
    assert f"raw resumes after step {begun['steps_done']:,} of 1,000" in lines


def test_texts_to_be_written_make_a_finished_arm_be_trained_again(
    project: Path, steep: Steep
) -> None:
    assert steep("train", cwd=project).code == 0
    path = project / "documents" / "more.md"
    path.write_text("# The Tarn Gate\n\nThe Tarn Gate was built by Ode Marl in the year 312.\n")
    states = [run["state"] for run in training(steep, project)["sections"][0]["runs"]]
    assert states == ["to do", "to do"]


def test_without_a_recipe_training_is_planned_all_the_same(project: Path, steep: Steep) -> None:
    only_raw = ["--set", "generate.recipes={}", "--set", "train.arms={raw: [documents]}"]
    ended = steep("plan", *only_raw, cwd=project)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("nothing is generated: generate.recipes is empty\n\ntraining: ")
    assert not (project / ".steep").exists()


def test_a_model_that_is_not_here_is_unknown(project: Path, steep: Steep) -> None:
    elsewhere = ["--set", f"train.model={NO_HUB}", "--gpus", "H100"]
    found = training(steep, project, *elsewhere)
    (section,) = found["sections"]
    assert section["memory"] is section["parameters"] is found["hours"] is None
    assert [run["tokens"]["expected"] for run in section["runs"]] == [1536, 1536]
    assert f"hf download {NO_HUB} config.json" in section["rate"]["source"]
    lines = lines_of(steep, project, *elsewhere)
    assert "  memory  unknown" in lines and "  disk    unknown" in lines


def test_tuning_is_planned_too(project: Path, steep: Steep) -> None:
    chat = {"messages": [{"role": "user", "content": "Who? " * 40}] * 2}
    (project / "chats.jsonl").write_text((json.dumps(chat) + "\n") * 8)
    settle(
        project / "steep.yaml",
        instruct={"chats": "chats.jsonl", "context_tokens": 64, "batch_sequences": 2},
    )
    found = training(steep, project)
    tuned = found["sections"][1]
    assert [run["name"] for run in tuned["runs"]] == ["raw-instruct", "entigraph-instruct"]
    assert tuned["runs"][0]["tokens"]["expected"] > 0


def test_what_cannot_be_trained_is_warned_of(project: Path, steep: Steep) -> None:
    found = training(steep, project, "--set", "train.tokens=100")
    assert "train will refuse to start: train.tokens is less than one batch" in found["warnings"][0]
    assert found["sections"][0]["runs"][0]["tokens"] is None


def test_an_arm_without_texts_is_warned_of_before_anything_is_paid(
    project: Path, steep: Steep
) -> None:
    (warning,) = training(steep, project, "--set", "train.arms={x: [entigrph]}")["warnings"]
    assert "refuse to start: The arm 'x' reads 'entigrph'" in warning
    assert "where: train.arms.x" in warning and "did you mean 'entigraph'?" in warning


def run_of(project: Path, arm: str) -> Path:
    for path in project.glob(".steep/train-*/manifest.json"):
        if json.loads(path.read_text())["arm"] == arm:
            return path.parent
    raise AssertionError(arm)


def manifest_of(project: Path, shard: str) -> dict[str, Any]:
    for path in project.glob(".steep/tokenize-*/manifest.json"):
        found: dict[str, Any] = json.loads(path.read_text())
        if found["arm"] == shard:
            return found
    raise AssertionError(shard)


def rows(directory: Path) -> list[dict[str, Any]]:
    path = directory / "metrics.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
