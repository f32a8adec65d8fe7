"""How fast earlier runs were: what computed their steps, and the rate of runs that are alike.

Each start of a run appends its `Workload` to `starts.jsonl`, beside the metrics of the steps. A
later run of the same workload will be as fast; of another, nothing is concluded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.ranges import Range
from steep.training.config import OptimizationConfig
from steep.training.metrics import read_metrics, read_starts

WARM_UP_STEPS = 1  # after each start: they compile, and fill caches


@dataclass(frozen=True, slots=True)
class Workload:
    """All that decides how fast a step is computed.

    Attributes:
        device: Name of the kind of device.
        ranks: How many of them share a step.
        flops_per_token: Stands for the model: its shape, and which of it is trained.
    """

    device: str
    ranks: int
    flops_per_token: float
    context_tokens: int
    isolate_documents: bool
    batch_sequences: int
    micro_batch_sequences: int
    optimizer: str
    compute: str
    compile: str
    recompute_every: int


def workload_of(
    device: str,
    ranks: int,
    flops_per_token: float,
    settings: OptimizationConfig,
) -> Workload:
    """The workload of a run.

    Args:
        device: Name of the kind of device.
        ranks: How many share a step.
        flops_per_token: Of the model as it is trained, see `flops`.
        settings: Of the run, without `auto` values.
    """
    return Workload(
        device=device,
        ranks=ranks,
        flops_per_token=flops_per_token,
        context_tokens=settings.context_tokens,
        isolate_documents=settings.isolate_documents,
        batch_sequences=settings.batch_sequences,
        micro_batch_sequences=settings.micro_batch_sequences,
        optimizer=settings.optimizer,
        compute=settings.compute,
        compile=settings.compile,
        recompute_every=settings.recompute_every,
    )


@dataclass(frozen=True, slots=True)
class MeasuredRate:
    """Tokens per second, over all ranks, that steps of a run have reached.

    Attributes:
        tokens_per_s: All tokens over all seconds, between the slowest and the fastest tenth.
        steps: On how many steps that rests.
        run: Name of the directory of the run.
    """

    tokens_per_s: Range
    steps: int
    run: str


def measured_rate(directories: Iterable[Path], workload: Workload) -> MeasuredRate | None:
    """Return the rate of the last run among these with the same workload; None without one.

    Args:
        directories: Of runs, finished or interrupted, the newest last.
        workload: What is to be computed.
    """
    for directory in reversed([*directories]):
        if rates := _rates(directory, workload):
            low, high = rates[len(rates) // 10], rates[-1 - len(rates) // 10]
            mean = len(rates) / math.fsum(1 / rate for rate in rates)
            return MeasuredRate(Range.around(low, mean, high), len(rates), directory.name)
    return None


def _rates(directory: Path, workload: Workload) -> list[float]:
    """Rates of the steps of this workload, the slowest first."""
    starts = read_starts(directory)
    if not starts:
        return []
    metrics, rates = read_metrics(directory), []
    firsts = [start["step"] for start in starts]
    for start, end in zip(starts, [*firsts[1:], math.inf], strict=True):
        if _same(start, workload):
            first = start["step"] + WARM_UP_STEPS
            rates += [row["tokens_per_s"] for row in metrics if first < row["step"] <= end]
    return sorted(rates)


def _same(start: dict[str, Any], workload: Workload) -> bool:
    return all(start.get(name) == value for name, value in asdict(workload).items())
