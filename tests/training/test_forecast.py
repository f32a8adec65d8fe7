"""Hours, dollars and disk of trainings: known shapes at a stated rate, and what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_flops import LLAMA_3_8B
from test_memory import ON_A_GPU
from training_setup import changed

from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.training.forecast import (
    RunForecast,
    SectionForecast,
    TrainingForecast,
)
from steep.training.memory import estimate_memory, trained_shape
from steep.training.metrics import METRICS, STARTS
from steep.training.model_dims import shape_flops
from steep.training.throughput import (
    ASSUMED_MFU,
    Devices,
    Rate,
    assumed_rate,
    measured_rate,
    named_devices,
    workload_of,
)

H100 = Devices("NVIDIA H100 80GB HBM3", 1, True, 989e12, True)
PROCESSOR = Devices("some processor, 2 threads", 1, False, None, True)
STEP_TOKENS = 16 * 2048
FLOPS = 48.25e9


def run_to_do(**changes: Any) -> RunForecast:
    """50M tokens of the paper's batches."""
    whole = RunForecast(
        name="entigraph",
        state="to do",
        steps=Range.exactly(50_000_000 // STEP_TOKENS),
        steps_done=0,
        step_tokens=STEP_TOKENS,
        validation_tokens=Range.exactly(0),
    )
    return replace(whole, **changes)


def forecast(rate: Rate, devices: Devices = H100, **changes: Any) -> RunForecast:
    return run_to_do(**changes).at(rate, devices, 2.5)


def test_llama_3_8b_on_one_h100() -> None:
    shape = trained_shape(LLAMA_3_8B, ON_A_GPU)
    assert shape.parameter_count == pytest.approx(8.03e9, rel=1e-3)
    flops = shape_flops(shape, 2048)
    rate = assumed_rate(H100, flops, ON_A_GPU)
    assert rate.mfu == ASSUMED_MFU
    assert "assumed: 40% (20% to 55%) of the peak of 989 TFLOP/s" in rate.source
    run = forecast(rate)
    assert run.tokens == Range.exactly(1525 * 32_768)
    assert run.hours and run.cost_usd
    for case, mfu in (("low", 0.55), ("expected", 0.4), ("high", 0.2)):
        hours = 1525 * 32_768 * 48.25e9 / (mfu * 989e12) / 3600
        assert getattr(run.hours, case) == pytest.approx(hours, rel=2e-3)
        assert getattr(run.cost_usd, case) == pytest.approx(2.5 * hours, rel=2e-3)
    assert run.hours.expected == pytest.approx(1.69, abs=0.01)


def test_more_gpus_take_less_time_and_the_same_dollars() -> None:
    eight = replace(H100, count=8)
    one, more = (
        forecast(assumed_rate(devices, FLOPS, ON_A_GPU), devices) for devices in (H100, eight)
    )
    assert one.hours and more.hours and one.cost_usd and more.cost_usd
    assert more.hours.expected == pytest.approx(one.hours.expected / 8)
    assert more.cost_usd.expected == pytest.approx(one.cost_usd.expected)


def test_a_measured_rate_gives_hours() -> None:
    run = forecast(Rate(Range(9_000, 10_000, 11_000), None, "measured"))
    assert run.hours and run.hours.expected == pytest.approx(1525 * 32_768 / 10_000 / 3600)
    assert run.hours.high == pytest.approx(1525 * 32_768 / 9_000 / 3600)


@pytest.mark.parametrize(
    ("devices", "compute", "reason"),
    [
        (PROCESSOR, "float32", "was measured on this processor"),
        (replace(H100, name="New", peak_flops=None), "bfloat16", "the peak of New is not known"),
        (replace(H100, name=None, peak_flops=None), "bfloat16", "an unknown GPU"),
        (H100, "float32", "train.compute is float32"),
    ],
)
def test_an_unknown_rate_gives_no_hours(devices: Devices, compute: str, reason: str) -> None:
    rate = assumed_rate(devices, FLOPS, changed(ON_A_GPU, compute=compute))
    assert rate.tokens_per_s is None
    assert reason in rate.source
    run = forecast(rate, devices)
    assert (run.hours, run.cost_usd) == (None, None)
    assert run.tokens is not None


def test_a_processor_costs_no_gpu_hours() -> None:
    run = forecast(Rate(Range.exactly(100), None, "measured"), PROCESSOR)
    assert run.hours is not None
    assert run.cost_usd is None


def test_validation_counts_by_its_forward_pass() -> None:
    rate = Rate(Range.exactly(1000), None, "")
    plain, watched = (
        forecast(rate, validation_tokens=Range.exactly(tokens)) for tokens in (0, 3_600_000)
    )
    assert plain.hours and watched.hours
    assert watched.hours.expected - plain.hours.expected == pytest.approx(1200 / 3600)


def test_only_what_is_left_counts() -> None:
    rate = Rate(Range.exactly(STEP_TOKENS / 3600), None, "")  # a step an hour
    begun = forecast(rate, state="interrupted", steps_done=1500)
    assert begun.hours and begun.hours.expected == pytest.approx(25)
    done = forecast(Rate(None, None, ""), state="done")
    assert done.hours == done.cost_usd == Range.exactly(0)
    unknown = forecast(rate, steps=None)
    assert unknown.hours is None and unknown.tokens is None


def section(*runs: RunForecast) -> SectionForecast:
    shape = trained_shape(LLAMA_3_8B, ON_A_GPU)
    memory = estimate_memory(shape, changed(ON_A_GPU, optimizer="adamw-8bit-stochastic"))
    return SectionForecast(
        section="train",
        devices=H100,
        parameters=shape.parameter_count,
        rate=Rate(None, None, ""),
        memory=memory,
        host_bytes=memory.host_bytes(1, 1),
        disk_bytes=memory.disk_bytes(1),
        runs=runs,
    )


def test_disk_holds_earlier_models_and_the_checkpoints_of_the_last_run() -> None:
    rate = Rate(Range.exactly(STEP_TOKENS / 360), None, "")  # ten steps an hour
    run = forecast(rate, steps=Range.exactly(10))
    found = section(run, replace(run, state="done"), run)
    made = TrainingForecast("model", None, (found,), ())
    assert found.memory is not None
    model, checkpoint = found.memory.export_bytes, found.memory.checkpoint_bytes
    assert model == pytest.approx(16.06e9, rel=1e-3)
    assert made.room_bytes == model + (2 * checkpoint + model)
    assert found.host_bytes == checkpoint  # 32 GB: larger than the model
    tree = json.loads(json.dumps(made.as_json()))
    assert tree["sections"][0]["memory"]["total"] == found.memory.total
    assert tree["room_bytes"] == made.room_bytes


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    rate = Rate(Range.exactly(1000), None, "")
    known, unknown = forecast(rate), forecast(rate, steps=None)
    made = TrainingForecast("model", 2.5, (section(known, known),), ())
    assert made.hours and known.hours and made.hours.expected == 2 * known.hours.expected
    made = TrainingForecast("model", 2.5, (section(known, unknown),), ())
    assert (made.hours, made.cost_usd) == (None, None)


@pytest.mark.parametrize(
    ("text", "count", "peak"),
    [("8xH100", 8, 989e12), ("a100", 1, 312e12), ("2 x RTX 4090", 2, 165e12)],
)
def test_gpus_are_named(text: str, count: int, peak: float) -> None:
    named = named_devices(text)
    assert (named.count, named.peak_flops, named.is_here) == (count, peak, False)


@pytest.mark.parametrize("text", ["8xFoo", "0xH100", "many", ""])
def test_gpus_without_a_peak_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="The peak speed of these GPUs is not known"):
        named_devices(text)


WORKLOAD = workload_of("a device", 2, FLOPS, ON_A_GPU)


def run_of(
    directory: Path, rates: list[float], starts: dict[int, dict[str, Any]] | None = None
) -> Path:
    """A run that has left metrics: one rate for each step, and who began after which step."""
    directory.mkdir(parents=True)
    rows = [{"step": step, "tokens_per_s": rate} for step, rate in enumerate(rates, start=1)]
    begun = {0: WORKLOAD} if starts is None else starts
    lines = [{"step": step, **workload} for step, workload in begun.items()]
    for name, table in ((METRICS, rows), (STARTS, lines)):
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in table))
    return directory


def test_the_first_step_after_a_start_is_not_counted(tmp_path: Path) -> None:
    directory = run_of(tmp_path / "train-1", [1.0, 100.0, 50.0])
    found = measured_rate([directory], WORKLOAD)
    assert found is not None and found.tokens_per_s is not None
    assert (found.tokens_per_s.low, found.tokens_per_s.high) == (50, 100)
    assert found.tokens_per_s.expected == pytest.approx(2 / (1 / 100 + 1 / 50))
    assert found.source == "measured by 2 steps of train-1"
    assert measured_rate([run_of(tmp_path / "train-2", [1.0])], WORKLOAD) is None


def test_slow_steps_that_are_rare_widen_nothing(tmp_path: Path) -> None:
    directory = run_of(tmp_path / "train-1", [1.0, *[100.0] * 19, 5.0])
    found = measured_rate([directory], WORKLOAD)
    assert found is not None and found.tokens_per_s is not None
    assert found.tokens_per_s.low == pytest.approx(51.3, abs=0.1)
    assert found.tokens_per_s.high == 100


@pytest.mark.parametrize(
    "change",
    [
        {"device": "another"},
        {"ranks": 1},
        {"flops_per_token": FLOPS + 1},
        {"micro_batch_sequences": 1},
        {"compile": "none"},
        {"recompute_every": 1},
        {"isolate_documents": True},
    ],
    ids=str,
)
def test_another_workload_says_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    directory = run_of(tmp_path / "train-1", [100.0] * 5, {0: WORKLOAD | change})
    assert measured_rate([directory], WORKLOAD) is None


def test_a_run_that_went_on_elsewhere_counts_as_far_as_it_is_alike(tmp_path: Path) -> None:
    other = WORKLOAD | {"ranks": 8}
    rates = [9.0, 10.0, 10.0, 800.0, 800.0]
    directory = run_of(tmp_path / "train-1", rates, {0: WORKLOAD, 3: other})
    mine, theirs = (measured_rate([directory], each) for each in (WORKLOAD, other))
    assert mine and mine.tokens_per_s == Range(10, 10, 10)
    assert theirs and theirs.tokens_per_s == Range(800, 800, 800)


def test_the_newest_run_counts(tmp_path: Path) -> None:
    old, new = run_of(tmp_path / "1", [5.0] * 3), run_of(tmp_path / "2", [7.0] * 3)
    without = run_of(tmp_path / "3", [9.0] * 3, {})  # of a version that kept no starts
    found = measured_rate([old, new, without], WORKLOAD)
    assert found and found.source == "measured by 2 steps of 2"
