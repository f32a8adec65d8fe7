from __future__ import annotations

import logging
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training_setup
from torch import Tensor
from training_setup import (
    ALONE,
    CONTEXT_TOKENS,
    SETTINGS,
    STEPS,
    changed,
    load_mixture,
    load_model,
    load_tokenizer,
    write_shards,
)

from steep.core.errors import UserError
from steep.tokens.mixture import IGNORED, Mixture, RowBatch
from steep.training import loop, runs, validation
from steep.training.config import OptimizationConfig
from steep.training.loss import CausalLoss
from steep.training.metrics import StepMetrics, last_metrics, read_metrics, read_validation
from steep.training.optimizers import learning_rate_at

MEASURED = {"tokens_per_s", "elapsed_s", "left_s", "memory_bytes"}


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


def train(
    model: Any, shards: Path, directory: Path, settings: OptimizationConfig = SETTINGS, **more: Any
) -> list[StepMetrics]:
    """Train alone; returns the metrics of the steps that were done."""
    done: list[StepMetrics] = []
    mixture = more.pop("mixture", None) or load_mixture(shards)
    steps = more.pop("steps", STEPS)
    loop.train(model, mixture, settings, steps, directory, ALONE, on_step=done.append, **more)
    return done


@pytest.fixture(scope="module")
def undisturbed(
    tiny_directory: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path]:
    directory = tmp_path_factory.mktemp("undisturbed")
    model = load_model(tiny_directory)
    train(model, shards, directory)
    return model, directory


def computed(directory: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in read_metrics(directory)]


def checkpoints(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("checkpoint-*"))


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
    written = read_metrics(directory)
    assert [row["step"] for row in written] == list(range(1, 9))
    assert [row["tokens"] for row in written] == [4 * CONTEXT_TOKENS * step for step in range(1, 9)]
    assert [row["learning_rate"] for row in written] == [
        learning_rate_at(step, 8, 1e-2, 0.25) for step in range(8)
    ]
    assert written[0]["loss"] == pytest.approx(5.95, abs=0.1)  # ln 384: it knows nothing
    assert written[-1]["loss"] < written[0]["loss"] - 0.5
    assert all(row["tokens_per_s"] > 0 and row["grad_norm"] > 0 for row in written)
    assert all(row["predicted_tokens"] == 4 * (CONTEXT_TOKENS - 1) for row in written)
    elapsed = [row["elapsed_s"] for row in written]
    assert elapsed == sorted(elapsed)
    assert last_metrics(directory) == StepMetrics(**written[-1])


def test_a_line_says_all_that_is_watched(undisturbed: tuple[Any, Path]) -> None:
    metrics = replace(last_metrics(undisturbed[1]), step=1200, mfu=0.523, left_s=3700)
    line = metrics.line(2400)
    for part in (
        "step 1,200/2,400 (50.0%)",
        "| loss ",
        "| norm ",
        "| lr ",
        " tok/s",
        "| mfu 52.3%",
        " GiB",
        "| epoch ",
        "| left 1 h 01 min",
    ):
        assert part in line


def test_a_finished_run_has_nothing_left_to_do(
    tiny_directory: Path, shards: Path, undisturbed: tuple[Any, Path]
) -> None:
    trained, directory = undisturbed
    before = read_metrics(directory)
    model = load_model(tiny_directory)
    assert train(model, shards, directory) == []
    assert read_metrics(directory) == before
    assert same_weights(model, trained)
    assert checkpoints(directory) == ["checkpoint-00000008"]


def gradients_of(
    model: Any, shards: Path, directory: Path, settings: OptimizationConfig
) -> list[torch.Tensor]:
    """The gradients that the optimizer gets in the first step."""
    seen: list[torch.Tensor] = []

    def remember(self: Any, closure: Any = None) -> None:
        seen.extend(p.grad.clone() for group in self.param_groups for p in group["params"])

    directory.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", remember)
        train(model, shards, directory, settings, steps=1)
    return seen


def test_micro_batches_do_not_change_the_gradient(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    one_step = changed(SETTINGS, gradient_clip=1e9)
    whole, *parts = (
        gradients_of(
            load_model(tiny_directory),
            shards,
            tmp_path / str(size),
            changed(one_step, micro_batch_sequences=size),
        )
        for size in (4, 3, 2, 1)
    )
    norm = torch.cat([gradient.flatten() for gradient in whole]).norm().item()
    assert read_metrics(tmp_path / "1")[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
    for gradients in parts:
        for one, other in zip(whole, gradients, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    losses = [read_metrics(tmp_path / size)[0]["loss"] for size in "14"]
    assert losses[0] == pytest.approx(losses[1])


def test_gradients_are_clipped(tiny_directory: Path, shards: Path, tmp_path: Path) -> None:
    settings = changed(SETTINGS, gradient_clip=0.01)
    gradients = gradients_of(load_model(tiny_directory), shards, tmp_path, settings)
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    assert norm == pytest.approx(0.01, rel=1e-3)
    assert read_metrics(tmp_path)[0]["grad_norm"] > 0.1, "as it was before"


def without_labels(monkeypatch: pytest.MonkeyPatch, unlabeled: Callable[[int], bool]) -> None:
    """Mask the rows of batches at the positions for which `unlabeled` is true."""
    read = Mixture.rows

    def rows(self: Mixture, start: int, count: int) -> RowBatch:
        found = read(self, start, count)
        if unlabeled(start):
            found.labels_BT[:] = IGNORED
        return found

    monkeypatch.setattr(Mixture, "rows", rows)


def test_a_batch_without_labels_is_skipped_and_counted(
    tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_labels(monkeypatch, lambda start: start == 2 * SETTINGS.batch_sequences)
    model = load_model(tiny_directory)
    weights: list[Tensor] = []
    done: list[StepMetrics] = []

    def on_step(metrics: StepMetrics) -> None:
        done.append(metrics)
        weights.append(next(model.parameters()).detach().clone())

    loop.train(model, load_mixture(shards), SETTINGS, STEPS, tmp_path, ALONE, on_step=on_step)
    assert [metrics.loss is None for metrics in done] == [step == 2 for step in range(STEPS)]
    assert (done[2].predicted_tokens, done[2].step) == (0, 3)
    assert (done[2].tokens_per_s, done[2].mfu) == (0, None), "no speed of a step that was skipped"
    assert done[2].left_s == pytest.approx(done[1].left_s * 5 / 6)
    assert "skipped: no token is predicted" in done[2].line(STEPS)
    assert torch.equal(weights[2], weights[1]) and not torch.equal(weights[3], weights[2])
    assert read_metrics(tmp_path)[2]["loss"] is None


def test_a_validation_set_without_labels_is_refused(
    tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_labels(monkeypatch, lambda start: True)
    corpus = replace(load_mixture(shards), shares=())
    with pytest.raises(UserError, match="'kept out' predicts no token"):
        train(load_model(tiny_directory), shards, tmp_path, validation={"kept out": corpus})


def test_padded_rows_predict_nothing_more(shards: Path) -> None:
    rows = replace(load_mixture(shards), isolate_documents=True).rows(0, 3)
    padded = validation._padded(rows, 8)
    assert len(padded.ids_BT) == len(padded.labels_BT) == 8
    assert padded.positions_BT is not None and len(padded.positions_BT) == 8
    assert (padded.labels_BT[3:] == IGNORED).all()
    assert (padded.labels_BT[:3] == rows.labels_BT).all()
    assert validation._padded(rows, 3) is rows


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 6}, "seed: 5 -> 6"),
        ({"learning_rate": 1e-3}, "learning_rate: 0.01 -> 0.001"),
        ({"steps": 9}, "steps: 8 -> 9"),
        ({"context": 16}, "context_tokens: 32 -> 16"),
        ({"shares": ()}, "replay.rate: 0.25 -> "),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused(
    tiny_directory: Path,
    shards: Path,
    undisturbed: tuple[Any, Path],
    change: dict[str, Any],
    named: str,
) -> None:
    change = dict(change)
    mixture = load_mixture(shards, change.pop("context", CONTEXT_TOKENS))
    mixture = replace(mixture, **{key: change.pop(key) for key in set(change) & {"shares"}})
    steps = change.pop("steps", STEPS)
    settings = changed(SETTINGS, **change)
    with pytest.raises(UserError) as caught:
        train(
            load_model(tiny_directory),
            shards,
            undisturbed[1],
            settings,
            steps=steps,
            mixture=mixture,
        )
    assert named in str(caught.value)
    assert "checkpoint-00000008" in str(caught.value)
    assert len(read_metrics(undisturbed[1])) == 8, "nothing was touched"


def test_a_changed_shard_is_named(
    tiny_directory: Path, shards: Path, undisturbed: tuple[Any, Path]
) -> None:
    mixture = load_mixture(shards)
    shard = mixture.corpus.shard
    other = replace(shard, manifest=replace(shard.manifest, sha256="another", tokenizer="other"))
    mixture = replace(mixture, corpus=replace(mixture.corpus, shard=other))
    with pytest.raises(UserError, match=r"corpus\.sha256: \w+ -> another") as caught:
        train(load_model(tiny_directory), shards, undisturbed[1], mixture=mixture)
    assert f"corpus.tokenizer: {shard.manifest.tokenizer} -> other" in str(caught.value)


def test_what_only_says_how_to_compute_may_change(
    tiny_directory: Path, shards: Path, undisturbed: tuple[Any, Path]
) -> None:
    settings = changed(SETTINGS, micro_batch_sequences=1, checkpoint_minutes=5, max_loss_jump=3.0)
    assert train(load_model(tiny_directory), shards, undisturbed[1], settings) == []


# Numbers are read a step late on a GPU.
LATE = pytest.mark.parametrize("late", [0, 1])


@LATE
def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    late: int, tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steep.training.monitor.steps_late", lambda device: late)
    factors = iter([1.0] * 5 + [math.nan] + [1.0] * 9)  # the second micro-batch of step 3
    real = CausalLoss.forward
    monkeypatch.setattr(CausalLoss, "forward", lambda *args: real(*args) * next(factors))
    with pytest.raises(UserError, match=r"The loss is nan .* at step 3\.") as caught:
        train(load_model(tiny_directory), shards, tmp_path)
    assert "training rows 8-11: corpus text" in str(caught.value)
    assert "last good checkpoint is kept" in str(caught.value)
    assert checkpoints(tmp_path) == ["checkpoint-00000002"]
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]


def test_exploding_gradients_stop_and_keep_the_checkpoint(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    settings = changed(SETTINGS, learning_rate=1e30, warmup=0.0)
    with pytest.raises(UserError, match=r"gradient norm (nan|inf) at step 2\.") as caught:
        train(load_model(tiny_directory), shards, tmp_path, settings)
    assert "training rows 4-7" in str(caught.value)
    assert checkpoints(tmp_path) == ["checkpoint-00000001"]
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]


def test_a_loss_that_jumps_stops_and_names_the_batch(
    tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = changed(SETTINGS, micro_batch_sequences=4, max_loss_jump=1.0)
    factors = iter([1.0] * 24 + [1.5] + [1.0] * 9)
    real = CausalLoss.forward
    monkeypatch.setattr(CausalLoss, "forward", lambda *args: real(*args) * next(factors))
    with pytest.raises(UserError, match=r"The loss jumped to .* at step 25\.") as caught:
        train(load_model(tiny_directory), shards, tmp_path, settings, steps=30)
    assert "training rows 96-99" in str(caught.value)
    assert checkpoints(tmp_path) == ["checkpoint-00000024"]


def test_checkpoints_are_written_now_and_then(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    settings = changed(SETTINGS, checkpoint_minutes=60)
    names: list[list[str]] = []
    loop.train(load_model(tiny_directory), load_mixture(shards), settings, 3, tmp_path, ALONE,
               on_step=lambda _: names.append(checkpoints(tmp_path)))  # fmt: skip
    assert names == [[], [], []]
    assert checkpoints(tmp_path) == [], "no more than an hour of work would be lost"


def test_losses_on_texts_that_are_not_trained_on_are_watched(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    mixture = load_mixture(shards)
    replay = replace(mixture, corpus=mixture.shares[0].stream, shares=(), context_tokens=8)
    corpus = replace(mixture, shares=())
    settings = changed(SETTINGS, validation_every=3)
    model = load_model(tiny_directory)
    train(model, shards, tmp_path, settings, validation={"corpus": corpus, "replay": replay})
    rows = read_validation(tmp_path)
    assert [row["step"] for row in rows] == [0, 3, 6, 8]
    assert rows[0]["corpus"] == pytest.approx(math.log(384), abs=0.1)
    assert rows[-1]["corpus"] < rows[0]["corpus"] - 0.5
    count = corpus.corpus.shard.manifest.tokens // CONTEXT_TOKENS
    ids = torch.from_numpy(corpus.rows(0, count).ids_BT)
    with torch.no_grad():
        expected = model.eval()(input_ids=ids, labels=ids).loss.item()
    assert rows[-1]["corpus"] == pytest.approx(expected, rel=1e-5)
    # Taking them changes nothing of the run.
    train(model := load_model(tiny_directory), shards, tmp_path / "again")
    assert computed(tmp_path / "again") == computed(tmp_path)


def test_a_large_validation_set_is_cut_and_that_is_said(
    tiny_directory: Path,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "steep")
    corpus = replace(load_mixture(shards), shares=())
    there = corpus.corpus.shard.manifest.tokens
    monkeypatch.setattr(runs, "VALIDATION_TOKENS", 3 * CONTEXT_TOKENS + 1)
    model = load_model(tiny_directory)
    ids = torch.from_numpy(corpus.rows(0, 3).ids_BT)
    with torch.no_grad():
        expected = model.eval()(input_ids=ids, labels=ids).loss.item()
    train(model, shards, tmp_path, steps=1, validation={"kept out": corpus})
    assert read_validation(tmp_path)[0]["kept out"] == pytest.approx(expected, rel=1e-5)
    assert f"'kept out', {3 * CONTEXT_TOKENS} tokens of its {there:,}" in caplog.text


@pytest.mark.parametrize("moment", [0, 3, 8])
def test_a_measurement_that_is_stopped_is_done_by_the_next_run(
    tiny_directory: Path,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: int,
) -> None:
    corpus = replace(load_mixture(shards), shares=())
    settings = changed(SETTINGS, validation_every=3, checkpoint_minutes=99)
    watched = {"corpus": corpus}
    train(load_model(tiny_directory), shards, tmp_path / "whole", settings, validation=watched)

    rows, done = type(corpus).rows, list[Any]()

    def rows_or_stop(mixture: Any, first: int, count: int) -> Any:
        if mixture is corpus and len(done) == moment:  # while these losses are measured
            done.append(None)
            signal.raise_signal(signal.SIGINT)
        return rows(mixture, first, count)

    with monkeypatch.context() as patch:
        patch.setattr(type(corpus), "rows", rows_or_stop)
        with pytest.raises(KeyboardInterrupt):
            loop.train(
                load_model(tiny_directory), load_mixture(shards), settings, STEPS,
                tmp_path / "stopped", ALONE, watched, done.append,
            )  # fmt: skip
    assert len(read_validation(tmp_path / "stopped")) == moment // 3 + (moment == 8)
    train(load_model(tiny_directory), shards, tmp_path / "stopped", settings, validation=watched)
    assert read_validation(tmp_path / "stopped") == read_validation(tmp_path / "whole")
    assert computed(tmp_path / "stopped") == computed(tmp_path / "whole")


def test_a_model_whose_head_is_more_than_a_product_is_trained_too(
    shards: Path, tmp_path: Path
) -> None:
    from transformers import CohereConfig, CohereForCausalLM

    config = CohereConfig(
        vocab_size=384, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, logit_scale=0.25, pad_token_id=2,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = CohereForCausalLM(config)
    rows = load_mixture(shards).rows(0, 4)
    ids = torch.from_numpy(rows.ids_BT)
    with torch.no_grad():
        expected = model.eval()(input_ids=ids, labels=ids).loss.item()
    done = train(model, shards, tmp_path, steps=2)
    assert done[0].loss == pytest.approx(expected, rel=1e-5)
    assert model.config._attn_implementation == "sdpa", "fit to generate with padding"


@LATE
def test_bf16_weights_learn_and_continue_bit_for_bit(
    late: int, tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steep.training.monitor.steps_late", lambda device: late)
    settings = changed(SETTINGS, optimizer="adamw-8bit-stochastic", compute="bfloat16")

    def fresh() -> Any:
        return load_model(tiny_directory).to(torch.bfloat16)

    whole, halves = fresh(), fresh()
    losses = [each.loss for each in train(whole, shards, tmp_path / "whole", settings)]
    assert losses[0] and losses[-1] and losses[-1] < losses[0] - 0.5
    with pytest.raises(KeyboardInterrupt):
        loop.train(halves, load_mixture(shards), settings, STEPS, tmp_path / "halves", ALONE,
                   on_step=interrupt_at(4))  # fmt: skip
    stopped = 5 + late
    assert checkpoints(tmp_path / "halves")[-1] == f"checkpoint-{stopped:08}"
    assert [row["step"] for row in read_metrics(tmp_path / "halves")] == [*range(1, stopped + 1)]
    resumed = fresh()
    train(resumed, shards, tmp_path / "halves", settings)
    assert same_weights(resumed, whole)
    assert computed(tmp_path / "halves") == computed(tmp_path / "whole")


def interrupt_at(step: int) -> Any:
    import os
    import signal

    def interrupt(metrics: StepMetrics) -> None:
        if metrics.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return interrupt


def test_ctrl_c_keeps_the_step(tiny_directory: Path, shards: Path, tmp_path: Path) -> None:
    settings = changed(SETTINGS, checkpoint_minutes=60)
    with pytest.raises(KeyboardInterrupt):
        loop.train(load_model(tiny_directory), load_mixture(shards), settings, STEPS, tmp_path,
                   ALONE, on_step=interrupt_at(4))  # fmt: skip
    assert checkpoints(tmp_path) == ["checkpoint-00000005"], "the next step ends the run"
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]


def test_without_checkpoints_a_stopped_run_starts_again(
    tiny_directory: Path, shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "steep")
    settings = changed(SETTINGS, keep_checkpoints=0)
    with pytest.raises(KeyboardInterrupt):
        loop.train(load_model(tiny_directory), load_mixture(shards), settings, STEPS, tmp_path,
                   ALONE, on_step=interrupt_at(4))  # fmt: skip
    assert "nothing is saved, as train.keep_checkpoints is 0" in caplog.text
    assert checkpoints(tmp_path) == []
    assert len(train(load_model(tiny_directory), shards, tmp_path, settings)) == STEPS


def test_activations_computed_again_change_nothing(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    kept = train(load_model(tiny_directory), shards, tmp_path / "kept", steps=2)
    settings = changed(SETTINGS, recompute_every=1)
    again = train(load_model(tiny_directory), shards, tmp_path / "again", settings, steps=2)
    assert [each.loss for each in kept] == [each.loss for each in again]


def test_more_ranks_than_sequences_are_refused(
    tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    world = replace(ALONE, size=5)
    with pytest.raises(UserError, match="more ranks than sequences"):
        loop.train(
            load_model(tiny_directory), load_mixture(shards), SETTINGS, STEPS, tmp_path, world
        )


@pytest.mark.parametrize("moment", ["after a step", "in a checkpoint"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    tiny_directory: Path, shards: Path, killed: Path, undisturbed: tuple[Any, Path], moment: str
) -> None:
    directory = killed / moment
    before = read_metrics(directory)
    (left,) = checkpoints(directory)
    done_before = int(left.removeprefix("checkpoint-"))
    assert 2 <= done_before <= len(before) <= 4
    model = load_model(tiny_directory)
    done = train(model, shards, directory)
    assert [metrics.step for metrics in done] == list(range(done_before + 1, 9))
    assert computed(directory) == computed(undisturbed[1])
    assert same_weights(model, undisturbed[0])
    after = read_metrics(directory)
    assert after[:done_before] == before[:done_before]
    elapsed = [row["elapsed_s"] for row in after]
    assert elapsed == sorted(elapsed), "the time goes on where it was"
