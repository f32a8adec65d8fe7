"""Who competes at a shape on a device; run as a module, one contestant in this process.

    python -m benchmarks.training.contestant JOB.json OUTCOME.json

The parent is `benchmarks.training.throughput`.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Protocol

import torch
from benchmarks.training.ceiling import Ceiling
from benchmarks.training.hugging_face import HuggingFace
from benchmarks.training.job import Job, Outcome
from benchmarks.training.ours import Ours
from benchmarks.training.recorder import Recorder

TRAINER = "Trainer"  # its contestants start with this; the fastest one counts
STEEP, CEILING = "steep", "matrix products"


class Way(Protocol):
    """A way to make the steps of a job."""

    def run(self, job: Job, recorder: Recorder) -> None:
        """Make them; says in `recorder.settings` what was set."""


@dataclass(frozen=True)
class Contestant:
    """A way, and the packages it needs beside torch and transformers."""

    way: Way
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Packages that are not there."""
        return [name for name in self.packages if find_spec(name) is None]


def contestants(shape: str, device: str) -> dict[str, Contestant]:
    """All that compete, by name; Steep's default first."""
    if device == "cpu":
        return {
            STEEP: Contestant(Ours("adamw", "float32", "none")),
            TRAINER: Contestant(HuggingFace("float32", "fused", False, False), ("accelerate",)),
            CEILING: Contestant(Ceiling("float32")),
        }
    ours = Ours("adamw-8bit-stochastic" if shape == "llama-3-8b" else "adamw")
    return {STEEP: Contestant(ours), **_trainers(shape), CEILING: Contestant(Ceiling("bfloat16"))}


def _trainers(shape: str) -> dict[str, Contestant]:
    """The sets of flags, each with Steep's kind of optimizer; fp32 weights of 8B do not fit."""
    eight_bit = shape == "llama-3-8b"
    weights, optimizer = ("bfloat16", "8-bit") if eight_bit else ("float32", "fused")
    found = {}
    for compiled, liger in product((True, False), repeat=2):
        packages = ["accelerate"] + ["liger_kernel"] * liger + ["torchao"] * eight_bit
        name = f"{TRAINER}: {optimizer}" + ", compile" * compiled + ", liger" * liger
        way = HuggingFace(weights, optimizer, compiled, liger)
        found[name] = Contestant(way, tuple(packages))
    return found


def outcome_of(job: Job, on_counted: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Run one contestant in this process; what it dies of is part of the outcome.

    `on_counted` receives what is known before the steps that only explain the counted ones.
    """
    contestant = contestants(job.shape, job.device)[job.contestant]
    try:
        recorder = Recorder(job, on_counted)
        contestant.way.run(job, recorder)
        return recorder.close()
    except torch.cuda.OutOfMemoryError as error:
        return Outcome(failure=str(error).splitlines()[0], out_of_memory=True)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        return Outcome(failure=f"{type(error).__name__}: {said[0]}")


def main(job_file: str, outcome_file: str) -> None:
    """Read a job, write an outcome: first of the counted steps alone, for this may be stopped."""
    job = Job(**json.loads(Path(job_file).read_text()))

    def write(outcome: Outcome) -> None:
        temporary = Path(f"{outcome_file}.new")
        temporary.write_text(json.dumps(asdict(outcome)))
        temporary.replace(outcome_file)

    write(outcome_of(job, write))


if __name__ == "__main__":
    main(*sys.argv[1:])
