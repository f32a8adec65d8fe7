"""The throughput benchmark runs from end to end on a processor, and compares equal work."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.training import throughput
from benchmarks.training.ceiling import Ceiling
from benchmarks.training.contestant import CEILING, STEEP, TRAINER, Contestant, outcome_of
from benchmarks.training.job import Job, Outcome, random_model, shape_on
from benchmarks.training.report import Measured, agreement, speed_of, speeds, summary

pytestmark = pytest.mark.slow

JOB = Job("steep", "tiny", "cpu", 2, 1, 4, 0, 0, "", "")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run, its contestants in this process: importing takes longer than they."""
    out = tmp_path_factory.mktemp("throughput")
    arguments = ["--shape", "tiny", "--device", "cpu", "--out", str(out), "--steps", "30"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "in_own_process", lambda job, limit_s: outcome_of(job))
        throughput.main([*arguments, "--warmup", "1"])
    return out


def outcomes(out: Path) -> dict[str, Outcome]:
    written = json.loads((out / "outcomes.json").read_text())
    return {each["job"]["contestant"]: Outcome(**each["outcome"]) for each in written}


def test_steep_and_the_trainer_do_the_same_work(ran: Path) -> None:
    found = outcomes(ran)
    ours, theirs = found[STEEP].losses, found[TRAINER].losses
    assert len(ours) == len(theirs) == 1 + 30 + throughput.TIMED_STEPS + throughput.PROFILED_STEPS
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert ours[-1] < ours[0] - 0.5, "nothing was learned, so equal losses would say little"


def test_the_parts_of_a_step_add_up(ran: Path) -> None:
    for name, outcome in outcomes(ran).items():
        if name != CEILING:
            parts = {k: v for k, v in outcome.phases_ms.items() if not k.endswith("(host)")}
            assert sum(parts.values()) == pytest.approx(2 * parts["whole"])
            assert min(parts["optimizer"], parts["clip"], parts["backward"]) > 0
            assert parts["rest"] >= 0


def test_the_report_names_speed_kernel_and_losses(ran: Path) -> None:
    report = (ran / "report.md").read_text()
    for said in (STEEP, TRAINER, CEILING, "attention", "GFLOP a token", "Losses of steep"):
        assert said in report
    assert "aten::mm" in (ran / "steep.kernels.txt").read_text()


def test_a_contestant_runs_in_a_process_of_its_own() -> None:
    outcome = throughput.in_own_process(replace(JOB, contestant=CEILING), math.inf)
    assert not outcome.failure and len(set(outcome.step_s)) == 1 and outcome.peak_bytes > 0


def test_counted_steps_are_reported_before_the_others(ran: Path) -> None:
    reported: list[Outcome] = []
    job = replace(JOB, steps=2, timed=1, shard=str(ran / "shard"), out=str(ran))
    outcome = outcome_of(job, reported.append)
    assert len(outcome.losses) == 4 and outcome.phases_ms
    assert len(reported) == 1 and len(reported[0].losses) == 3 and not reported[0].phases_ms
    assert reported[0].step_s == outcome.step_s and len(outcome.step_s) == 2


def test_a_contestant_that_is_stopped_keeps_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, program = tmp_path / "written.json", tmp_path / "program"
    written.write_text(json.dumps({"step_s": [2.0, 2.0], "settings": "set"}))
    program.write_text(f'#!/bin/sh\ncp {written} "$4"\nexec sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    outcome = throughput.in_own_process(JOB, 2)
    assert outcome.settings == "set (stopped after 2 s, after the counted steps)"
    said = summary(Measured(JOB, outcome))
    assert "counted steps 2" in said and f"tokens/s {JOB.step_tokens / 2:,.0f}" in said


def test_a_contestant_that_is_stopped_too_early_says_so() -> None:
    outcome = throughput.in_own_process(JOB, 0.1)
    assert outcome.failure == "stopped after 0 s" and not outcome.step_s


def test_fewer_rows_are_tried_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def run(job: Job, limit_s: float) -> Outcome:
        tried.append(job.micro_sequences)
        return Outcome(out_of_memory=job.micro_sequences > 1, step_s=[1.0])

    monkeypatch.setattr(throughput, "in_own_process", run)
    large = replace(JOB, shape="llama-3-8b", device="cuda")
    job, outcome = throughput.first_that_fits(large, math.inf, math.inf)
    assert tried == [4, 2, 1] and job.micro_sequences == 1 and not outcome.out_of_memory
    tried.clear()
    throughput.first_that_fits(large, 2, math.inf)
    assert tried == [2, 1]


def test_nothing_is_started_without_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def run(job: Job, limit_s: float) -> Outcome:
        given.append(limit_s)
        return Outcome()

    monkeypatch.setattr(throughput, "in_own_process", run)
    now = time.monotonic()
    assert "no time" in throughput.first_that_fits(JOB, 2, now + 5).outcome.failure
    throughput.first_that_fits(JOB, 2, now + 1000)
    throughput.first_that_fits(JOB, 2, now + 40)
    assert 990 < given[0] <= 1000 and 30 < given[1] <= 40 and len(given) == 2


def test_contestants_are_named_exactly() -> None:
    large = replace(JOB, shape="llama-3-8b", device="cuda")
    assert [*throughput.choose(large, [STEEP])[0]] == [STEEP]
    with pytest.raises(SystemExit, match="there are: steep, Trainer"):
        throughput.choose(large, ["stee"])


def test_a_contestant_without_its_packages_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    way: Any = Contestant(Ceiling("float32"), ("no_such_package",))
    monkeypatch.setattr(throughput, "contestants", lambda *_: {"a": way})
    chosen, skipped = throughput.choose(JOB, None)
    assert not chosen and "no_such_package" in skipped[0]


def test_the_fastest_trainer_is_the_one_that_is_compared() -> None:
    seconds = {"Trainer: a": 2.0, "Trainer: b": 1.0, STEEP: 0.5}
    worked = {
        name: [Measured(JOB, Outcome(step_s=[each], step_cpu_s=[each]))]
        for name, each in seconds.items()
    }
    line = next(line for line in speeds(JOB, worked).splitlines() if line.startswith("| steep"))
    assert "2.000" in line


def test_speed_is_the_median_of_all_rounds() -> None:
    rounds = [Measured(JOB, Outcome(step_s=each)) for each in ([1.0, 2.0], [4.0])]
    assert speed_of(rounds).median == JOB.step_tokens / 2


def test_losses_that_differ_are_told() -> None:
    worked = {
        name: [Measured(JOB, Outcome(losses=losses))]
        for name, losses in ((STEEP, [3.0, 2.0]), (TRAINER, [3.0, 2.5]))
    }
    assert "at most 0.5 nats" in next(agreement(worked))


def test_weights_are_the_same_whatever_they_are_kept_in() -> None:
    shape = shape_on("tiny", "cpu")
    half, full = (random_model(shape, "cpu", d) for d in (torch.bfloat16, torch.float32))
    assert all(
        torch.equal(a.float(), b) for a, b in zip(half.parameters(), full.parameters(), strict=True)
    )
    assert half.model.rotary_emb.inv_freq.dtype == torch.float32
    assert half.model.layers[0].mlp.up_proj.weight.float().std().item() == pytest.approx(
        0.02, rel=0.05
    )
