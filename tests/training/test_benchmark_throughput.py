"""The throughput benchmark runs from end to end on a processor, and compares equal work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.training import throughput
from benchmarks.training.ceiling import Ceiling
from benchmarks.training.contestant import CEILING, STEEP, TRAINER, Contestant, outcome_of
from benchmarks.training.job import Job, Outcome, random_model, shape_on
from benchmarks.training.report import Measured, agreement, speed_of

pytestmark = pytest.mark.slow

JOB = Job("steep", "tiny", "cpu", 2, 1, 4, 0, 0, "", "")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run, its contestants in this process: importing takes longer than they."""
    out = tmp_path_factory.mktemp("throughput")
    arguments = ["--shape", "tiny", "--device", "cpu", "--out", str(out), "--steps", "30"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "in_own_process", outcome_of)
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
    outcome = throughput.in_own_process(replace(JOB, contestant=CEILING))
    assert not outcome.failure and len(set(outcome.step_s)) == 1 and outcome.peak_bytes > 0


def test_fewer_rows_are_tried_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def run(job: Job) -> Outcome:
        tried.append(job.micro_sequences)
        return Outcome(out_of_memory=job.micro_sequences > 2, step_s=[1.0])

    monkeypatch.setattr(throughput, "in_own_process", run)
    job, outcome = throughput.first_that_fits(
        replace(JOB, shape="llama-3-8b", device="cuda"), Contestant(Ceiling("bfloat16"))
    )
    assert tried == [4, 2] and job.micro_sequences == 2 and not outcome.out_of_memory


def test_of_the_trainers_flags_the_fastest_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"Trainer: a": 2.0, "Trainer: b": 1.0, "Trainer: c": 0.5}

    def run(job: Job) -> Outcome:
        return Outcome(step_s=[seconds[job.contestant]], failure="c" * ("c" in job.contestant))

    monkeypatch.setattr(throughput, "in_own_process", run)
    ways: Any = {name: Contestant(Ceiling("float32")) for name in seconds}
    ways["Trainer: d"] = Contestant(Ceiling("float32"), ("no_such_package",))
    monkeypatch.setattr(throughput, "contestants", lambda *_: ways)
    measured, skipped = throughput.measure(JOB, 2, None)
    assert [job.contestant[-1] for job, _ in measured] == ["a", "b", "c", "b", "b"]
    assert "no_such_package" in skipped[0]


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
