"""Training as its users start it: with chats, adapters, a preset, and on several ranks."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_project import manifest, run_record, settle
from steep_command import Steep, environment
from transformers import AutoModelForCausalLM, AutoTokenizer

pytest_plugins = ["command_fixtures"]

CHATS = [
    ("Who keeps the ferry?", "Joren Pell keeps it."),
    ("Since when?", "Since the flood."),
    ("And at night?", "At night it rests."),
]


@pytest.fixture
def raw(project: Path) -> Path:
    """A project that needs no generator: one arm, which reads the documents."""
    config = project / "steep.yaml"
    settle(config, generate={"recipes": {}}, train={"arms": {"raw": ["documents"]}})
    return project


def write_chats(path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in CHATS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "no json\n")


def trained(project: Path, stage: str = "train") -> list[Path]:
    return sorted((project / ".steep").glob(f"{stage}-*"))


def metrics(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_chats_are_mixed_in_and_tuned_on(raw: Path, steep: Steep) -> None:
    write_chats(raw / "chats.jsonl")
    settle(
        raw / "steep.yaml",
        tokenize={"instructions": "chats.jsonl", "holdout": 0.4},
        train={"instruction_rate": 0.25, "validation_every": 3},
        instruct={
            "chats": "chats.jsonl", "loss_on": "assistant", "context_tokens": 32,
            "batch_sequences": 2, "epochs": 4, "learning_rate": 1e-3,
        },
    )  # fmt: skip
    ended = steep("run", cwd=raw)
    assert ended.code == 0, ended.err
    record = run_record(raw)
    first = manifest(raw, record["artifacts"]["train"]["raw"])
    assert (
        first["tokens"]
        == first["corpus_tokens"] + first["replayed_tokens"] + (first["instruction_tokens"])
    )
    assert first["instruction_tokens"] == 6 * 64  # of 24 rows
    assert "validation loss: documents" in ended.err
    assert "1 lines of" in ended.err and "chats.jsonl:4" in ended.err
    tuned = raw / record["artifacts"]["instruct"]["raw"]
    rows = metrics(tuned)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[0]["predicted_tokens"] < 2 * 31, "questions are not learned"
    scores = json.loads((raw / record["artifacts"]["evaluate"] / "scores.json").read_text())
    assert [model["name"] for model in scores["likelihood"]["models"]] == [
        "base",
        "raw",
        "raw-instruct",
    ]
    assert (raw / "runs/default/model-raw-instruct/config.json").is_file()
    assert "raw-instruct" in (raw / "runs/default/report.html").read_text()


def test_the_untrained_model_is_validated_once(raw: Path, steep: Steep) -> None:
    arms = {"raw": ["documents"], "again": ["documents"]}
    settle(raw / "steep.yaml", train={"arms": arms})
    ended = steep("train", cwd=raw)
    assert ended.code == 0, ended.err
    record = {manifest(raw, str(each.relative_to(raw)))["arm"]: each for each in trained(raw)}
    assert f"train again: first validation loss taken from {record['raw'].name}" in ended.err
    first, again = (
        [json.loads(line) for line in (record[arm] / "validation.jsonl").read_text().splitlines()]
        for arm in arms
    )
    assert first[0] == again[0] and first[0]["step"] == 0
    assert first == again, "the same texts and seed"


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
def test_adapters_are_merged_and_a_difference_is_added(
    raw: Path, steep: Steep, tiny_directory: Path
) -> None:
    def weights(project: Path) -> dict[str, torch.Tensor]:
        (directory,) = trained(project)
        model = AutoModelForCausalLM.from_pretrained(directory / "model")
        assert AutoTokenizer.from_pretrained(directory / "model").chat_template
        state: dict[str, torch.Tensor] = model.state_dict()
        return state

    settle(raw / "steep.yaml", train={"lora_rank": 4, "add_task_vector": str(tiny_directory)})
    ended = steep("train", cwd=raw)
    assert ended.code == 0, ended.err
    base = AutoModelForCausalLM.from_pretrained(tiny_directory).state_dict()
    tuned = weights(raw)
    assert tuned.keys() == base.keys()
    moved = {name for name, weight in tuned.items() if not torch.equal(weight, base[name])}
    assert moved and all("proj" in name for name in moved), "only where adapters were"


def test_a_preset_gives_what_the_file_does_not(raw: Path, steep: Steep) -> None:
    settle(raw / "steep.yaml", train={"preset": "paper", "compute": "float32"})
    ended = steep("train", "--set", "train.tokens=512", cwd=raw)
    assert ended.code == 0, ended.err
    (directory,) = trained(raw)
    fields = json.loads((directory / "manifest.json").read_text())["identity"]["fields"]
    assert fields["train.replay_mode"] == "replace"
    assert (fields["train.tokens"], fields["train.epochs"]) == (512, None)
    assert fields["train.learning_rate"] == 1e-3, "what the file says comes on top"


def ranks(project: Path, count: int) -> list[subprocess.CompletedProcess[str]]:
    """`steep train` in so many processes, as torchrun starts them."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = str(opened.getsockname()[1])
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "steep", "train"],
            cwd=project,
            env=environment(**common, RANK=str(rank), LOCAL_RANK=str(rank)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        said = [process.communicate(timeout=100) for process in started]
    finally:
        for process in started:
            process.kill()  # one whose partner never came would wait for it
    return [
        subprocess.CompletedProcess([], process.returncode, *texts)
        for process, texts in zip(started, said, strict=True)
    ]


@pytest.mark.slow
def test_ranks_of_a_launcher_train_together(raw: Path, steep: Steep) -> None:
    early = steep("train", cwd=raw, WORLD_SIZE="2", RANK="0", LOCAL_RANK="0",
                  MASTER_ADDR="127.0.0.1", MASTER_PORT="1")  # fmt: skip
    assert early.code == 2
    assert "run steep tokenize first" in early.err
    assert steep("tokenize", cwd=raw).code == 0
    main, other = ranks(raw, 2)
    assert (main.returncode, other.returncode) == (0, 0), main.stderr + other.stderr
    assert "train raw: done in" in main.stderr
    assert other.stderr == "", "one rank speaks for all"
    (directory,) = trained(raw)
    assert json.loads((directory / "manifest.json").read_text())["steps"] == 6
    together = [row["loss"] for row in metrics(directory)]
    directory.rename(raw / "together")
    assert steep("train", cwd=raw).code == 0
    (alone,) = trained(raw)
    assert [row["loss"] for row in metrics(alone)] == pytest.approx(together, rel=1e-4)
    finished = steep("run", cwd=raw)
    assert finished.code == 0 and "train raw: done before" in finished.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.context_tokens=2000", "context is longer than the model's"),
        ("train.optimizer=sgd", "Bad value for 'train.optimizer'"),
        ("instruct.arms=[other]", "no arm 'other' to tune"),
        ("instruct.chats=nowhere.jsonl", "There are no chats"),
        ("train.instruction_rate=0.5", "There are no chats"),
        ("train.trackers=[trackio]", "tracker trackio is not installed"),
        ("train.compute=bfloat16", None),
    ],
)
def test_what_cannot_be_trained_is_refused(
    raw: Path, steep: Steep, override: str, said: str | None
) -> None:
    ended = steep("train", "--set", override, "--set", "train.tokens=8192", cwd=raw)
    if said is None:  # fp32 weights with products in bf16 are what the paper did
        assert ended.code == 0, ended.err
    else:
        assert ended.code == 2
        assert said in ended.err, ended.err
        assert "Traceback" not in ended.err


def test_several_seeds_train_several_models_and_compare_their_mean(raw: Path, steep: Steep) -> None:
    assert steep("train", cwd=raw).code == 0
    before = trained(raw)
    settle(raw / "steep.yaml", train={"seeds": 2})
    plan = json.loads(steep("plan", "--json", cwd=raw).out)
    states = {run["name"]: run["state"] for run in plan["training"]["sections"][0]["runs"]}
    assert states == {"raw": "done", "raw-seed1": "to do"}
    ended = steep("evaluate", cwd=raw)
    assert ended.code == 0, ended.err
    assert set(before) < set(trained(raw)) and len(trained(raw)) == 2, "the first model is kept"
    shown = " ".join(ended.out.split())
    assert "points: questions," in shown and "Arms as the means of their models" in shown
    scores = json.loads(steep("evaluate", "--json", cwd=raw).out)["likelihood"]
    assert [each["name"] for each in scores["models"]] == ["base", *states]
    (arm,), (pair,) = scores["arms"], scores["pairs"]
    assert [*arm["by_model"]] == [*states] and arm["errors"]["training"] >= 0
    assert (pair["a"], pair["b"]) == ("raw", "base") and pair["planned"]
    settle(raw / "steep.yaml", train={"arms": {"raw": ["documents"], "raw-seed1": ["documents"]}})
    ended = steep("train", cwd=raw)
    assert ended.code == 2 and "name of another arm's model" in ended.err, ended.err
