"""Tokens a second of training: Steep, the Hugging Face Trainer and the bare matrix products.

    python -m benchmarks.training.throughput --shape llama-3-8b --out results/8b
    python -m benchmarks.training.throughput --shape smollm2-135m --out results/135m
    python -m benchmarks.training.throughput --shape smollm2-135m --device cpu --rounds 5 --steps 4
    python -m benchmarks.training.throughput --shape tiny --device cpu --steps 30

One run, one machine, each contestant in a process of its own with the same start, rows and learning
rates; where several sets of flags are possible for the Trainer, all are tried for a few steps and
the best one is measured. Needs torch and transformers (without an installation of Steep: set
PYTHONPATH=src); accelerate for the Trainer; liger-kernel and torchao where its flags ask for them;
what is missing is skipped, and said. No network is used.

Writes report.md, outcomes.json, and the profiler's table of each contestant. Columns:

- tokens/s: of the median counted step, over all rounds; in brackets the quartiles;
- tokens/CPU s: the same by processor seconds of all threads, which other programs disturb less;
- MFU: tokens/s * FLOPs a token / peak, see `steep.training.model_dims`;
- memory: the most that was reserved on the GPU; on a processor, the process's;
- warm-up: from the start of training to the end of the steps that are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from benchmarks.training.contestant import CEILING, TRAINER, Contestant, contestants
from benchmarks.training.job import SHAPES, Job, Outcome, write_rows
from benchmarks.training.report import Measured, report

TRIAL_STEPS = 4  # of each set of the Trainer's flags, after the warm-up
TIMED_STEPS, PROFILED_STEPS = 3, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the report."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    shard = options.shard or options.out / "shard"
    base = Job(
        contestant="",
        shape=options.shape,
        device=options.device,
        micro_sequences=0,
        warmup=options.warmup,
        steps=options.steps,
        timed=TIMED_STEPS if options.profile else 0,
        profiled=PROFILED_STEPS if options.profile else 0,
        shard=str(shard.resolve()),
        out=str(options.out.resolve()),
    )
    if not options.shard:
        write_rows(shard, base.sizes)
    measured, skipped = measure(base, options.rounds, options.only)
    text = report(base, measured, skipped)
    (options.out / "report.md").write_text(text)
    outcomes = [{"job": asdict(job), "outcome": asdict(outcome)} for job, outcome in measured]
    (options.out / "outcomes.json").write_text(json.dumps(outcomes, indent=1))
    print(text)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default=device)
    parser.add_argument("--steps", type=int, default=50, help="counted ones")
    parser.add_argument("--warmup", type=int, default=5, help="steps before these, at least 1")
    parser.add_argument("--rounds", type=int, default=1, help="of all contestants in turn")
    parser.add_argument("--only", nargs="+", help="contestants, by the beginning of their names")
    parser.add_argument("--shard", type=Path, help="real token ids, as steep tokenize writes them")
    parser.add_argument("--no-profile", dest="profile", action="store_false")
    parser.add_argument("--out", type=Path, default=Path("runs/throughput"))
    return parser.parse_args(arguments)


def measure(base: Job, rounds: int, only: list[str] | None) -> tuple[list[Measured], list[str]]:
    """Run everything; returns what was measured, and why some was not."""
    chosen, skipped = {}, []
    for name, contestant in contestants(base.shape, base.device).items():
        if only and not name.startswith(tuple(only)):
            continue
        if contestant.missing:
            skipped.append(f"{name}: skipped because {', '.join(contestant.missing)} is not here")
            _say(skipped[-1])
        else:
            chosen[name] = contestant
    measured = list(_trials(base, chosen))
    _keep_best(chosen, measured)
    for turn in range(rounds):
        # Where a step takes seconds, its parts are looked at in the first round only.
        job = base if turn == 0 else replace(base, timed=0, profiled=0)
        for name, contestant in chosen.items():
            measured.append(first_that_fits(replace(job, contestant=name), contestant))
    return measured, skipped


def _trials(base: Job, chosen: dict[str, Contestant]) -> Iterator[Measured]:
    """A few steps of each set of the Trainer's flags, if there is more than one."""
    trainers = [name for name in chosen if name.startswith(TRAINER)]
    if len(trainers) > 1:
        short = replace(base, steps=min(TRIAL_STEPS, base.steps), timed=0, profiled=0)
        for name in trainers:
            yield first_that_fits(replace(short, contestant=name), chosen[name])


def _keep_best(chosen: dict[str, Contestant], trials: list[Measured]) -> None:
    """Of those tried, only the fastest goes on; none if all failed."""
    worked = [(min(out.step_s), job.contestant) for job, out in trials if not out.failure]
    for job, _ in trials:
        if not worked or job.contestant != min(worked)[1]:
            del chosen[job.contestant]


def first_that_fits(job: Job, contestant: Contestant) -> Measured:
    """Run a contestant with fewer and fewer rows at once."""
    for micro_sequences in contestant.micro_sequences or job.sizes.micro_sequences:
        job = replace(job, micro_sequences=micro_sequences)
        if job.contestant == CEILING:
            job = replace(job, timed=0, profiled=0)
        outcome = in_own_process(job)
        rate = f"{job.step_tokens / min(outcome.step_s):,.0f} tokens/s" if outcome.step_s else ""
        _say(f"{job.contestant}, {micro_sequences} rows at once: {outcome.failure or rate}")
        if not outcome.out_of_memory:
            break
    return Measured(job, outcome)


def in_own_process(job: Job) -> Outcome:
    """Run a job in a new process."""
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory, name) for name in ("job.json", "outcome.json")]
        files[0].write_text(json.dumps(asdict(job)))
        command = [sys.executable, "-m", "benchmarks.training.contestant", *map(str, files)]
        allocator = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
        done = subprocess.run(command, env=os.environ | allocator, stdout=sys.stderr)
        if done.returncode:
            return Outcome(failure=f"the process ended with status {done.returncode}")
        return Outcome(**json.loads(files[1].read_text()))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
