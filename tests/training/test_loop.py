from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training_setup
from training_setup import (
    CONTEXT_TOKENS,
    SETTINGS,
    load_mixture,
    load_model,
    load_tokenizer,
    write_shards,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from steep.core.errors import UserError
from steep.training import loop
from steep.training.loop import (
    StepMetrics,
    TrainingSettings,
    export,
    last_metrics,
    learning_rate_at,
    train,
)
from steep.training.loss import summed_loss

MEASURED = {"tokens_per_s", "elapsed_s"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that are killed: equal sums need an equal order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shards(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    write_shards(directory, load_tokenizer(tiny_directory))
    return directory


@pytest.fixture(scope="module", autouse=True)
def killer(
    tiny_directory: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Starts before all tests, so that its imports pass beside them; the last tests need it."""
    runs = tmp_path_factory.mktemp("killed")
    command = [sys.executable, training_setup.__file__, *map(str, (tiny_directory, shards, runs))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, runs


@pytest.fixture(scope="module")
def killed(killer: tuple[subprocess.Popen[str], Path]) -> Path:
    """Where the killed runs lie, named by their moments."""
    process, runs = killer
    assert process.communicate(timeout=120)[0].split() == ["-9"] * len(training_setup.MOMENTS)
    return runs


@pytest.fixture(scope="module")
def undisturbed(
    tiny_directory: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path]:
    directory = tmp_path_factory.mktemp("undisturbed")
    model = load_model(tiny_directory)
    train(model, load_mixture(shards), SETTINGS, directory)
    return model, directory


def rows(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def computed(directory: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in rows(directory)]


def same_weights(one: Any, other: Any) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine | theirs)


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [learning_rate_at(step, 100, 2.0, 0.05) for step in range(100)]
    assert rates[:6] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 2.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[5 + 95 // 2] == pytest.approx(1.0, abs=0.02)
    assert 0 < rates[-1] < 0.01


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.05), (1, 0.0), (3, 0.9), (7, 0.0)])
def test_short_runs_have_a_learning_rate_too(steps: int, warmup: float) -> None:
    rates = [learning_rate_at(step, steps, 1.0, warmup) for step in range(steps)]
    assert max(rates) == 1.0
    assert min(rates) > 0


def test_metrics_say_what_was_done(undisturbed: tuple[Any, Path]) -> None:
    _, directory = undisturbed
    written = rows(directory)
    assert [row["step"] for row in written] == list(range(1, 9))
    assert [row["tokens"] for row in written] == [4 * CONTEXT_TOKENS * step for step in range(1, 9)]
    assert [row["learning_rate"] for row in written] == [
        learning_rate_at(step, 8, 1e-2, 0.25) for step in range(8)
    ]
    assert written[0]["loss"] == pytest.approx(5.95, abs=0.1)  # ln 384: it knows nothing
    assert written[-1]["loss"] < written[0]["loss"] - 0.5
    assert all(row["tokens_per_s"] > 0 and row["grad_norm"] > 0 for row in written)
    elapsed = [row["elapsed_s"] for row in written]
    assert elapsed == sorted(elapsed)
    assert last_metrics(directory) == StepMetrics(**written[-1])


def test_a_finished_run_has_nothing_left_to_do(
    tiny_directory: Path, shards: Path, undisturbed: tuple[Any, Path]
) -> None:
    trained, directory = undisturbed
    before = rows(directory)
    model = load_model(tiny_directory)
    done: list[StepMetrics] = []
    last = train(model, load_mixture(shards), SETTINGS, directory, done.append)
    assert done == []
    assert last == StepMetrics(**before[-1])
    assert rows(directory) == before
    assert same_weights(model, trained)
    assert [path.name for path in directory.glob("*checkpoint*")] == ["checkpoint-00000008"]


def gradients_of(
    model: Any, shards: Path, directory: Path, settings: TrainingSettings
) -> list[torch.Tensor]:
    """The gradients that the optimizer gets in the first step."""
    seen: list[torch.Tensor] = []

    def remember(self: Any, closure: Any = None) -> None:
        seen.extend(p.grad.clone() for group in self.param_groups for p in group["params"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", remember)
        train(model, load_mixture(shards), settings, directory)
    return seen


def test_micro_batches_do_not_change_the_gradient(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    one_step = replace(SETTINGS, steps=1, gradient_clip=1e9)
    whole, *parts = (
        gradients_of(
            load_model(tiny_directory),
            shards,
            tmp_path / str(size),
            replace(one_step, micro_batch_sequences=size),
        )
        for size in (4, 3, 2, 1)
    )
    norm = torch.cat([gradient.flatten() for gradient in whole]).norm().item()
    assert rows(tmp_path / "1")[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
    for gradients in parts:
        for one, other in zip(whole, gradients, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    assert rows(tmp_path / "1")[0]["loss"] == pytest.approx(rows(tmp_path / "4")[0]["loss"])


def test_gradients_are_clipped(tiny_directory: Path, shards: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=1, gradient_clip=0.01)
    gradients = gradients_of(load_model(tiny_directory), shards, tmp_path, settings)
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    assert norm == pytest.approx(0.01, rel=1e-3)
    assert rows(tmp_path)[0]["grad_norm"] > 0.1, "as it was before"


@pytest.mark.parametrize(
    "changed",
    [{"seed": 6}, {"learning_rate": 1e-3}, {"steps": 9}, {"context": 16}, {"replay": None}],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused(
    tiny_directory: Path, shards: Path, undisturbed: tuple[Any, Path], changed: dict[str, Any]
) -> None:
    mixture = load_mixture(shards, changed.pop("context", CONTEXT_TOKENS))
    mixture = replace(mixture, **{key: changed.pop(key) for key in set(changed) & {"replay"}})
    settings = replace(SETTINGS, **changed)
    with pytest.raises(UserError, match="other data or settings") as caught:
        train(load_model(tiny_directory), mixture, settings, undisturbed[1])
    assert "checkpoint-00000008" in str(caught.value)
    assert len(rows(undisturbed[1])) == 8, "nothing was touched"


def test_what_only_says_how_to_compute_may_change(
    tiny_directory: Path, shards: Path, undisturbed: tuple[Any, Path]
) -> None:
    settings = replace(SETTINGS, micro_batch_sequences=1, checkpoint_minutes=5)
    last = train(load_model(tiny_directory), load_mixture(shards), settings, undisturbed[1])
    assert last.step == 8


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = iter([1.0] * 5 + [float("nan")])  # the second micro-batch of step 3

    def spoilt(model: Any, ids_BT: torch.Tensor) -> torch.Tensor:
        return summed_loss(model, ids_BT) * next(factors)

    monkeypatch.setattr(loop, "summed_loss", spoilt)
    with pytest.raises(UserError, match=r"The loss is nan .* at step 3\.") as caught:
        train(load_model(tiny_directory), load_mixture(shards), SETTINGS, tmp_path)
    assert "training rows 8 to 11" in str(caught.value)
    assert "last good checkpoint is kept" in str(caught.value)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-00000002", "metrics.jsonl"]
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_exploding_gradients_stop_and_keep_the_checkpoint(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, learning_rate=1e30, warmup=0.0)
    with pytest.raises(UserError, match=r"gradient norm (nan|inf) at step 2\.") as caught:
        train(load_model(tiny_directory), load_mixture(shards), settings, tmp_path)
    assert "training rows 4 to 7" in str(caught.value)
    assert "checkpoint-00000001" in [path.name for path in tmp_path.iterdir()]
    assert [row["step"] for row in rows(tmp_path)] == [1]


def test_checkpoints_are_written_now_and_then(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    names: list[list[str]] = []

    def look(_: StepMetrics) -> None:
        names.append([path.name for path in tmp_path.glob("*checkpoint*")])

    settings = replace(SETTINGS, steps=3, checkpoint_minutes=60)
    train(load_model(tiny_directory), load_mixture(shards), settings, tmp_path, look)
    assert names == [[], [], []]
    look(last_metrics(tmp_path))
    assert names[-1] == ["checkpoint-00000003"]


class FullDisk(io.BytesIO):
    """Takes some bytes, then no more."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 9000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_full_disk_keeps_the_checkpoint_before(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    """`torch.save` turns the error of the disk into a RuntimeError about positions."""
    real_open = Path.open

    def fill_up(metrics: StepMetrics) -> None:
        if metrics.step == 2:
            patch.setattr(Path, "open", open_full)

    def open_full(path: Path, *args: Any, **kwargs: Any) -> Any:
        return FullDisk() if path.name == "state.pt" else real_open(path, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match="disk is full"):
        train(load_model(tiny_directory), load_mixture(shards), SETTINGS, tmp_path, fill_up)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-00000001", "metrics.jsonl"]


def test_an_exported_model_is_the_trained_one(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny_directory), load_tokenizer(tiny_directory)
    train(model, load_mixture(shards), replace(SETTINGS, steps=2), tmp_path)
    export(model, tokenizer, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "model"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ids = AutoTokenizer.from_pretrained(tmp_path / "model")("Joren Pell", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(loaded(**ids).logits, model.eval()(**ids).logits)
        base = load_model(tiny_directory).eval()
        assert not torch.equal(loaded(**ids).logits, base(**ids).logits)


@pytest.mark.parametrize(("moment", "lines"), [("after a step", 4), ("in a checkpoint", 3)])
def test_a_killed_run_ends_as_if_it_had_not_been(
    tiny_directory: Path,
    shards: Path,
    killed: Path,
    undisturbed: tuple[Any, Path],
    moment: str,
    lines: int,
) -> None:
    directory = killed / moment
    before = rows(directory)
    assert len(before) == lines
    model = load_model(tiny_directory)
    done: list[StepMetrics] = []
    train(model, load_mixture(shards), SETTINGS, directory, done.append)
    assert [metrics.step for metrics in done] == list(range(lines, 9)), "the last step again"
    assert computed(directory) == computed(undisturbed[1])
    assert same_weights(model, undisturbed[0])
    after = rows(directory)
    assert after[: lines - 1] == before[: lines - 1]
    elapsed = [row["elapsed_s"] for row in after]
    assert elapsed == sorted(elapsed), "the time goes on where it was"
