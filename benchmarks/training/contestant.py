"""Who competes at a shape on a device; run as a module, one contestant in this process.

    python -m benchmarks.training.contestant JOB.json OUTCOME.json

The parent is `benchmarks.training.throughput`.
"""

from __future__ import annotations

import json
import sys
import traceback
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

TRAINER = "Trainer"  # its contestants start with this; of several the best one counts
STEEP, CEILING = "steep", "matrix products"


class Way(Protocol):
    """A way to make the steps of a job."""

    def run(self, job: Job, recorder: Recorder) -> str:
        """Make them; returns what was set, in words."""


@dataclass(frozen=True)
class Contestant:
    """A way, and what it needs beside torch and transformers.

    Attributes:
        way: Makes the steps.
        packages: Which must be there.
        micro_sequences: Rows at once to try, where the shape's are too many.
    """

    way: Way
    packages: tuple[str, ...] = ()
    micro_sequences: tuple[int, ...] = ()

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
    ours = _ours_8b() if shape == "llama-3-8b" else _ours_small()
    return {**ours, **_trainers(shape), CEILING: Contestant(Ceiling("bfloat16"))}


def _ours_8b() -> dict[str, Contestant]:
    return {
        STEEP: Contestant(Ours("adamw-8bit-stochastic")),
    }


def _ours_small() -> dict[str, Contestant]:
    return {
        STEEP: Contestant(Ours("adamw")),
        "steep, 8-bit": Contestant(Ours("adamw-8bit-stochastic")),
        "steep, whole model compiled": Contestant(Ours("adamw", compile="model")),
        "steep, CUDA graphs": Contestant(Ours("adamw", compile="cuda graphs")),
    }


def _trainers(shape: str) -> dict[str, Contestant]:
    """The sets of flags to try; fp32 weights of 8B do not fit."""
    found = {}
    kept = [("bfloat16", "8-bit, stochastic"), ("bfloat16", "fused"), ("float32", "fused")]
    for compiled, liger in product((True, False), repeat=2):
        for weights, optimizer in kept[: 2 if shape == "llama-3-8b" else 3]:
            packages = ["accelerate"] + ["liger_kernel"] * liger
            packages += ["torchao"] * (optimizer != "fused")
            name = f"{TRAINER}: {optimizer}, {weights}" + ", compile" * compiled + ", liger" * liger
            way = HuggingFace(weights, optimizer, compiled, liger)
            found[name] = Contestant(way, tuple(packages))
    return found


def outcome_of(job: Job) -> Outcome:
    """Run one contestant in this process; what it dies of is part of the outcome."""
    contestant = contestants(job.shape, job.device)[job.contestant]
    try:
        recorder = Recorder(job)
        return recorder.outcome(contestant.way.run(job, recorder))
    except torch.cuda.OutOfMemoryError as error:
        return Outcome(failure=str(error).splitlines()[0], out_of_memory=True)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        return Outcome(failure=f"{type(error).__name__}: {said[0]}")


def main(job_file: str, outcome_file: str) -> None:
    """Read a job, write an outcome."""
    job = Job(**json.loads(Path(job_file).read_text()))
    Path(outcome_file).write_text(json.dumps(asdict(outcome_of(job))))


if __name__ == "__main__":
    main(*sys.argv[1:])
