"""Who competes at a shape on a device; run as a module, one contestant in this process.

    python -m benchmarks.training.contestant JOB.json OUTCOME.json

The parent is `benchmarks.training.throughput`.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch
from benchmarks.training.ceiling import Ceiling
from benchmarks.training.hugging_face import HuggingFace
from benchmarks.training.job import GIB, Job, Outcome
from benchmarks.training.ours import Ours
from benchmarks.training.recorder import Recorder

TRAINER = "Trainer"  # its contestants start with this; the fastest one counts
STEEP, CEILING = "steep", "matrix products"
FLOAT8 = {f"{STEEP}, float8 {recipe}": recipe for recipe in ("tensorwise", "rowwise")}
ISOLATED = f"{STEEP}, isolated documents"  # predicts fewer tokens: its losses are not comparable


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
        ours, trainers = (
            Ours("adamw", "float32", "none"),
            {TRAINER: HuggingFace("float32", "fused")},
        )
    elif shape == "llama-3-8b":
        ours, trainers = Ours("adamw-8bit-stochastic"), TRAINERS_8B
    else:
        ours, trainers = Ours("adamw"), TRAINERS_FP32
    found = {STEEP: Contestant(ours)}
    found |= {
        name: Contestant(replace(ours, float8=recipe), ("torchao",))
        for name, recipe in FLOAT8.items()
    }
    found[ISOLATED] = Contestant(replace(ours, isolate=True))
    found |= {name: Contestant(way, _packages(way)) for name, way in trainers.items()}
    found[CEILING] = Contestant(Ceiling("float32" if device == "cpu" else "bfloat16"))
    return found


# The Trainer's sets of flags, the one expected to be fastest first. At 8B, estimated by
# `steep.training.memory` and what each loss holds: 4 rows at once need 72 GiB with compiled layers
# and Liger's loss, 3 more with bitsandbytes, which keeps moments of the embedding in fp32; with the
# loss of transformers, which copies all logits to fp32, 85, so only 2 rows (67) fit on 80 GB.
TRAINERS_8B = {
    f"{TRAINER}: bitsandbytes, compiled layers, Liger loss": HuggingFace(
        "bfloat16", "8-bit of bitsandbytes", "layers", "loss"
    ),
    f"{TRAINER}: compiled layers, Liger loss": HuggingFace("bfloat16", "8-bit", "layers", "loss"),
    f"{TRAINER}: compiled layers": HuggingFace("bfloat16", "8-bit", "layers"),
    f"{TRAINER}: compiled model": HuggingFace("bfloat16", "8-bit", "model"),
    f"{TRAINER}: Liger": HuggingFace("bfloat16", "8-bit", None, "all"),
}
TRAINERS_FP32 = {
    f"{TRAINER}: compiled model": HuggingFace("float32", "fused", "model"),
    f"{TRAINER}: compiled layers": HuggingFace("float32", "fused", "layers"),
    f"{TRAINER}: compiled layers, Liger loss": HuggingFace("float32", "fused", "layers", "loss"),
    f"{TRAINER}: Liger": HuggingFace("float32", "fused", None, "all"),
}


def _packages(way: HuggingFace) -> tuple[str, ...]:
    """What a set of flags needs."""
    needs = {"8-bit": ["torchao"], "8-bit of bitsandbytes": ["bitsandbytes"]}
    liger = ["liger_kernel"] * (way.liger is not None)
    return ("accelerate", *liger, *needs.get(way.optimizer, []))


def outcome_of(job: Job, on_counted: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Run one contestant in this process; what it dies of is part of the outcome.

    `on_counted` receives what is known before the steps that only explain the counted ones.
    """
    contestant = contestants(job.shape, job.device)[job.contestant]
    if job.memory_gib and job.device == "cuda":
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, job.memory_gib * GIB / whole))
    recorder = Recorder(job, on_counted)
    try:
        contestant.way.run(job, recorder)
        return recorder.outcome()
    except torch.cuda.OutOfMemoryError as error:
        return Outcome(failure=str(error).splitlines()[0], out_of_memory=True)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        return Outcome(failure=f"{type(error).__name__}: {said[0]}")
    finally:
        recorder.close()


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
