"""Tokens a second of training: Steep, the Hugging Face Trainer and the bare matrix products.

    python -m benchmarks.training.throughput --shape llama-3-8b --out results/8b
    python -m benchmarks.training.throughput --shape llama-3-8b --only steep --budget-s 200
    python -m benchmarks.training.throughput --shape smollm2-135m --device cpu --rounds 5 --steps 4
    python -m benchmarks.training.throughput --shape tiny --device cpu --steps 30

One run, one machine, each contestant in a process of its own with the same start, rows and learning
rates. Needs torch, transformers and pydantic (without an installation of Steep: set
PYTHONPATH=src:.); accelerate for the Trainer; liger-kernel and torchao where its flags ask for
them; what is missing is skipped, and said. No network is used.

`--together` runs the contestants in this process, which saves what importing takes; Liger's other
kernels, once used, stay for those that follow. `--memory-gib 78` makes a larger card one of 80 GB.

What a contestant measured is printed at once. One that is stopped at its time limit keeps its
counted steps, if it had made them. Writes report.md, outcomes.json, and the profiler's table of
each contestant. Columns:

- tokens/s: of the median counted step, over all rounds; in brackets the quartiles;
- tokens/CPU s: the same by processor seconds of all threads, which other programs disturb less;
- MFU: tokens/s * FLOPs a token / peak, see `steep.training.model_dims`;
- memory: the most that was reserved on the GPU; on a processor, the process's;
- warm-up: from the start of training to the end of the steps that are not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from benchmarks.training.contestant import CEILING, Contestant, contestants, outcome_of
from benchmarks.training.job import SHAPES, Job, Outcome, write_rows
from benchmarks.training.report import Measured, report, summary

TIMED_STEPS, PROFILED_STEPS = 3, 2
SHORTEST_S = 15.0  # of a contestant: with less of the budget left, it is not started


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the report."""
    ends_at = time.monotonic()
    options = _options(arguments)
    ends_at += options.budget_s
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
        memory_gib=options.memory_gib,
    )
    run = in_this_process if options.together else in_own_process
    chosen, skipped = choose(base, options.only)
    if not shard.is_dir():
        write_rows(shard, base.sizes)
    measured, earlier = [], _earlier(options.beside) if options.beside else []
    for turn in range(options.rounds):
        # Where a step takes seconds, its parts are measured in the first round only.
        job = base if turn == 0 else replace(base, timed=0, profiled=0)
        for name in chosen:
            each = first_that_fits(replace(job, contestant=name), options.micro, ends_at, run)
            measured.append(each)
            print(summary(each), flush=True)
            outcomes = [{"job": asdict(job), "outcome": asdict(out)} for job, out in measured]
            (options.out / "outcomes.json").write_text(json.dumps(outcomes, indent=1))
    text = report(base, [*earlier, *measured], skipped)
    (options.out / "report.md").write_text(text)
    print(text)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default=device)
    parser.add_argument("--steps", type=int, default=50, help="counted ones")
    parser.add_argument("--warmup", type=int, default=5, help="steps before these, at least 1")
    parser.add_argument("--rounds", type=int, default=1, help="of all contestants in turn")
    parser.add_argument("--only", nargs="+", help="names of contestants")
    parser.add_argument("--micro", type=int, default=math.inf, help="rows at once, at most")
    parser.add_argument("--budget-s", type=float, default=math.inf, help="of all of them")
    parser.add_argument("--shard", type=Path, help="token ids; written there, if it is not there")
    parser.add_argument("--memory-gib", type=float, default=0, help="of the GPU, at most; 0: all")
    parser.add_argument("--beside", type=Path, help="an outcomes.json to report beside this run")
    parser.add_argument("--together", action="store_true", help="all in this process")
    parser.add_argument("--no-profile", dest="profile", action="store_false")
    parser.add_argument("--out", type=Path, default=Path("runs/throughput"))
    return parser.parse_args(arguments)


def _earlier(file: Path) -> list[Measured]:
    """What an earlier call wrote, to be reported beside this one's."""
    found = [
        Measured(Job(**e["job"]), Outcome(**e["outcome"])) for e in json.loads(file.read_text())
    ]
    for each in found:
        each.outcome.settings += f" (from {file})"
    return found


def choose(base: Job, only: Iterable[str] | None) -> tuple[dict[str, Contestant], list[str]]:
    """Return the contestants to run, and why others are not."""
    known = contestants(base.shape, base.device)
    if unknown := sorted(set(only or ()) - known.keys()):
        raise SystemExit(f"No contestant {unknown}; there are: {', '.join(known)}")
    chosen, skipped = {}, []
    for name, contestant in known.items():
        if only and name not in only:
            continue
        if contestant.missing:
            skipped.append(f"{name}: skipped because {', '.join(contestant.missing)} is not here")
            print(skipped[-1], flush=True)
        else:
            chosen[name] = contestant
    return chosen, skipped


def first_that_fits(
    job: Job, micro: float, ends_at: float, run: Callable[[Job, float], Outcome]
) -> Measured:
    """Run a contestant with fewer and fewer rows at once, until it does not run out of memory."""
    sizes = [size for size in job.sizes.micro_sequences if size <= micro]
    for micro_sequences in sizes or [int(micro)]:
        job = replace(job, micro_sequences=micro_sequences)
        if job.contestant == CEILING:
            job = replace(job, timed=0, profiled=0)
        left_s = ends_at - time.monotonic()
        if left_s < SHORTEST_S:
            return Measured(job, Outcome(failure="not started: no time is left"))
        outcome = run(job, left_s)
        if not outcome.out_of_memory:
            break
        print(f"{job.contestant}, {micro_sequences} rows at once: {outcome.failure}", flush=True)
    return Measured(job, outcome)


def in_this_process(job: Job, limit_s: float) -> Outcome:
    """Run a job here, and print its counted steps before the others; nothing ends it."""
    if job.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    outcome = outcome_of(job, lambda counted: print(summary(Measured(job, counted)), flush=True))
    torch._dynamo.reset()
    gc.collect()
    torch.cuda.empty_cache()
    return outcome


def in_own_process(job: Job, limit_s: float) -> Outcome:
    """Run a job in a new process, and end it at its limit."""
    with tempfile.TemporaryDirectory() as directory:
        job_file, outcome_file = (Path(directory, name) for name in ("job.json", "outcome.json"))
        job_file.write_text(json.dumps(asdict(job)))
        module = "benchmarks.training.contestant"
        command = [sys.executable, "-m", module, str(job_file), str(outcome_file)]
        allocator = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
        process = subprocess.Popen(command, env=os.environ | allocator, stdout=sys.stderr)
        try:
            process.wait(None if math.isinf(limit_s) else limit_s)
            ended = f"the process ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit_s:.0f} s"
        finally:
            process.kill()
            process.wait()
        if not outcome_file.is_file():
            return Outcome(failure=ended)
        outcome = Outcome(**json.loads(outcome_file.read_text()))
        if process.returncode:
            outcome.settings += f" ({ended}, after the counted steps)"
        return outcome


if __name__ == "__main__":
    main()
