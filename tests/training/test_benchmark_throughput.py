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
from benchmarks.training import contestant, hugging_face, throughput
from benchmarks.training.ceiling import Ceiling
from benchmarks.training.contestant import (
    CEILING,
    FLOAT8,
    ISOLATED,
    STEEP,
    TRAINER,
    Contestant,
    outcome_of,
)
from benchmarks.training.hugging_face import HuggingFace
from benchmarks.training.job import Job, Outcome, random_model, shape_on
from benchmarks.training.ours import use_float8
from benchmarks.training.report import Measured, agreement, losses, speed_of, speeds, summary

pytestmark = pytest.mark.slow

JOB = Job("steep", "tiny", "cpu", 2, 1, 4, 0, 0, "", "")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run, its contestants in this process: importing takes longer than they."""
    out = tmp_path_factory.mktemp("throughput")
    arguments = ["--shape", "tiny", "--device", "cpu", "--out", str(out), "--steps", "30"]
    throughput.main([*arguments, "--warmup", "1", "--together"])
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


def test_fewer_rows_are_tried_until_they_fit() -> None:
    tried = []

    def run(job: Job, limit_s: float) -> Outcome:
        tried.append(job.micro_sequences)
        return Outcome(out_of_memory=job.micro_sequences > 1, step_s=[1.0])

    large = replace(JOB, shape="llama-3-8b", device="cuda")
    job, outcome = throughput.first_that_fits(large, math.inf, math.inf, run)
    assert tried == [4, 2, 1] and job.micro_sequences == 1 and not outcome.out_of_memory
    tried.clear()
    throughput.first_that_fits(large, 2, math.inf, run)
    assert tried == [2, 1]


def test_nothing_is_started_without_time() -> None:
    given = []

    def run(job: Job, limit_s: float) -> Outcome:
        given.append(limit_s)
        return Outcome()

    now = time.monotonic()
    assert "no time" in throughput.first_that_fits(JOB, 2, now + 5, run).outcome.failure
    throughput.first_that_fits(JOB, 2, now + 1000, run)
    throughput.first_that_fits(JOB, 2, now + 40, run)
    assert 990 < given[0] <= 1000 and 30 < given[1] <= 40 and len(given) == 2


def test_contestants_are_named_exactly() -> None:
    large = replace(JOB, shape="llama-3-8b", device="cuda")
    assert [*throughput.choose(large, [STEEP])[0]] == [STEEP]
    with pytest.raises(SystemExit, match="there are: steep, steep, float8"):
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
    said = next(agreement(worked))
    assert "at most 0.5 nats" in said and "over the last 2, Trainer's is +0.25" in said
    table = losses(worked).splitlines()
    assert table[-2:] == ["| 1 | 3.0000 | 3.0000 |", "| 2 | 2.0000 | 2.5000 |"]


def test_losses_of_float8_are_beside_those_of_bf16(ran: Path) -> None:
    pytest.importorskip("torchao")
    found, report = outcomes(ran), (ran / "report.md").read_text()
    ours = found[STEEP].losses
    for name in FLOAT8:
        theirs = found[name].losses
        assert len(theirs) == len(ours) and theirs[-1] < theirs[0] - 0.5
        gaps = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
        assert 0 < gaps[0] < 5e-3 and max(gaps) < 0.1, "rounded to float8, but not the same work"
        assert f"Losses of {STEEP} and {name} differ by" in report
    row = next(line for line in report.splitlines() if line.startswith("| 30 |"))
    assert [f"{found[name].losses[29]:.4f}" in row for name in (STEEP, *FLOAT8)] == 3 * [True]


def test_float8_leaves_the_head_and_the_weights_as_they_are() -> None:
    module = pytest.importorskip("torchao.float8.float8_linear")
    model = random_model(shape_on("tiny", "cpu"), "cpu", torch.float32)
    before = dict(model.named_parameters())
    use_float8(model, "rowwise", emulate=True)
    converted = [n for n, each in model.named_modules() if isinstance(each, module.Float8Linear)]
    assert len(converted) == 2 * 7 and all(".layers." in name for name in converted)
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], each) for name, each in before.items())


def test_isolated_documents_are_other_work(ran: Path) -> None:
    found = outcomes(ran)
    assert found[ISOLATED].losses[-1] != found[STEEP].losses[-1], "no row has two documents"
    assert "isolated documents" in found[ISOLATED].settings
    assert f"and {ISOLATED} differ" not in (ran / "report.md").read_text()


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # PyTorch's
def test_the_trainer_with_compiled_layers_does_the_same_work(
    ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's own kernels need a minute here, so the graph is run as it is."""
    graphs: list[int] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(len(graph.graph.nodes))
        return graph

    def compile_layers(layers: Any) -> None:
        for layer in layers:
            layer.compile(fullgraph=True, dynamic=False, backend=backend)

    monkeypatch.setattr(hugging_face, "compile_layers", compile_layers)
    way = Contestant(HuggingFace("float32", "fused", "layers"))
    monkeypatch.setattr(contestant, "contestants", lambda *_: {"layers": way})
    shard, out = str(ran / "shard"), str(ran)
    # As many steps as the others made, for learning rates depend on it.
    steps = 29 + throughput.TIMED_STEPS + throughput.PROFILED_STEPS
    outcome = outcome_of(replace(JOB, contestant="layers", steps=1 + steps, shard=shard, out=out))
    assert not outcome.failure and len(graphs) == 1
    assert outcome.losses == pytest.approx(outcomes(ran)[TRAINER].losses, abs=1e-3)
    assert "compiled layers" in outcome.settings


def test_the_trainer_uses_only_the_loss_of_liger() -> None:
    arguments = HuggingFace("float32", "fused", "layers", "loss").arguments(JOB, "out")
    assert arguments.use_liger_kernel and not arguments.torch_compile
    kernels = arguments.liger_kernel_config
    assert kernels == {"rope": False, "rms_norm": False, "swiglu": False}


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
