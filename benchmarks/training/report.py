"""What was measured, as Markdown: conditions, speed, the parts of a step, and equal losses."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator
from typing import NamedTuple

import torch
from benchmarks.generation.measuring import conditions, table
from benchmarks.training.contestant import ISOLATED, STEEP, TRAINER
from benchmarks.training.job import GIB, Job, Outcome, random_model

from steep.training.model_dims import flops_per_token, mfu, peak_flops, peak_of

PACKAGES = ("torch", "transformers", "accelerate", "liger-kernel", "torchao", "triton")
LOSSES_SHOWN = 10
LAST_STEPS = 10  # whose mean loss is compared


class Measured(NamedTuple):
    """A job and what came of it."""

    job: Job
    outcome: Outcome


class Speed(NamedTuple):
    """Tokens a second of the counted steps: the median and the quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:,.0f} ({self.low:,.0f} to {self.high:,.0f})"


def report(base: Job, measured: list[Measured], skipped: list[str]) -> str:
    """The whole page."""
    worked = by_contestant([each for each in measured if not each.outcome.failure])
    failed = [f"{job.contestant}: {out.failure}" for job, out in measured if out.failure]
    parts = [conditions(PACKAGES), *_hardware(base), speeds(base, worked)]
    parts += [phases(worked), losses(worked), "\n".join(agreement(worked))]
    notes = [f"{name}: {each[0].outcome.settings}" for name, each in worked.items()]
    parts += ["\n".join(f"- {line}" for line in [*notes, *skipped, *failed])]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(measured: Measured) -> str:
    """Everything that a contestant measured, in a few lines of text."""
    job, outcome = measured
    head = f"== {job.contestant}, {job.shape}, {outcome.device or job.device}"
    if outcome.failure:
        return f"{head}: failed: {outcome.failure}"
    rate = speed_of([measured])
    share = mfu(rate.median, _flops(job), peak_of(outcome.device), 1)
    parts = ", ".join(f"{name} {each:,.1f}" for name, each in outcome.phases_ms.items())
    lines = [
        f"{head}: {outcome.settings}",
        f"tokens/s {rate}, MFU {'unknown' if share is None else f'{share:.1%}'}, "
        f"peak {outcome.peak_bytes / GIB:.1f} GiB, warm-up {outcome.startup_s:.0f} s, "
        f"counted steps {len(outcome.step_s)}, {outcome.clocks or 'no clocks'}",
        f"ms a step: {parts or '-'}; attention: {', '.join(outcome.attention[:3]) or '-'}",
        "losses: " + (" ".join(f"{loss:.4f}" for loss in outcome.losses[:LOSSES_SHOWN]) or "-"),
    ]
    return "\n".join(lines)


def _flops(job: Job) -> float:
    """FLOPs a token."""
    model = random_model(job.sizes, "meta", torch.bfloat16)
    return flops_per_token(model, job.sizes.context_tokens)


def by_contestant(measured: list[Measured]) -> dict[str, list[Measured]]:
    """All rounds of each."""
    found: dict[str, list[Measured]] = {}
    for each in measured:
        found.setdefault(each.job.contestant, []).append(each)
    return found


def speed_of(rounds: list[Measured], clock: str = "step_s") -> Speed:
    """Over the counted steps of all rounds, by the wall's clock or that of the processors."""
    seconds = [step for each in rounds for step in getattr(each.outcome, clock)]
    rates = [rounds[0].job.step_tokens / each for each in seconds]
    if len(rates) < 2:
        return Speed(rates[0], rates[0], rates[0])
    low, _, high = statistics.quantiles(rates, n=4, method="inclusive")
    return Speed(statistics.median(rates), low, high)


def speeds(base: Job, worked: dict[str, list[Measured]]) -> str:
    """The table of speeds, and how the MFU is counted."""
    flops = _flops(base)
    peak = peak_flops(torch.device(base.device))
    columns = ["contestant", "steps", "tokens/s (quartiles)", "of the Trainer's"]
    columns += ["tokens/CPU s (quartiles)", "of the Trainer's"] if base.device == "cpu" else ["MFU"]
    columns += ["memory GiB", "warm-up s", "clocks", "attention kernels"]
    trainers = [rounds for name, rounds in worked.items() if name.startswith(TRAINER)]
    against = max(trainers, key=lambda rounds: speed_of(rounds).median, default=None)
    rows = []
    for name, rounds in worked.items():
        rate, first = speed_of(rounds), rounds[0].outcome
        share = mfu(rate.median, flops, peak, 1)
        cells: list[object] = [name, sum(len(each.outcome.step_s) for each in rounds)]
        cells += _beside(rounds, against, "step_s")
        cells += (
            _beside(rounds, against, "step_cpu_s")
            if base.device == "cpu"
            else ["-" if share is None else f"{share:.1%}"]
        )
        cells += [
            f"{max(each.outcome.peak_bytes for each in rounds) / GIB:.1f}",
            f"{first.startup_s:.0f}",
            first.clocks or "-",
            ", ".join(first.attention[:2]) or "-",
        ]
        rows.append(cells)
    return (
        f"{table(columns, rows)}\n\n{flops / 1e9:.4g} GFLOP a token = 6 * (parameters - input "
        "embedding) + 12 * layers * heads * head_dim * context; peak "
        f"{f'{peak / 1e12:,.0f} TFLOP/s' if peak else 'unknown'}."
    )


def _beside(rounds: list[Measured], against: list[Measured] | None, clock: str) -> list[str]:
    """A rate, and its share of the Trainer's."""
    rate = speed_of(rounds, clock)
    ratio = f"{rate.median / speed_of(against, clock).median:.3f}" if against else "-"
    return [str(rate), ratio]


def phases(worked: dict[str, list[Measured]]) -> str:
    """The table of the parts of a step."""
    found = {name: rounds[0].outcome.phases_ms for name, rounds in worked.items()}
    names = list(dict.fromkeys(name for each in found.values() for name in each))
    if not names:
        return ""
    rows = [
        [part, *(f"{each[part]:,.1f}" if part in each else "-" for each in found.values() if each)]
        for part in names
    ]
    return "Milliseconds a step:\n\n" + table(
        ["part", *(name for name, each in found.items() if each)], rows
    )


def losses(worked: dict[str, list[Measured]]) -> str:
    """The losses of the first steps, of steps 10, 20, ... and of the last, side by side."""
    found = {name: rounds[0].outcome.losses for name, rounds in worked.items()}
    found = {name: each for name, each in found.items() if each}
    last = max(map(len, found.values()), default=0)
    steps = sorted({1, 2, 3, 5, *range(10, last, max(10, last // 100 * 10)), last})
    rows = [
        [step, *(f"{each[step - 1]:.4f}" if step <= len(each) else "-" for each in found.values())]
        for step in steps
        if step <= last
    ]
    return "Loss in nats a token:\n\n" + table(["step", *found], rows) if rows else ""


def agreement(worked: dict[str, list[Measured]]) -> Iterator[str]:
    """How far the losses of the same steps are from Steep's: evidence of the same work."""
    losses = {name: rounds[0].outcome.losses for name, rounds in worked.items()}
    ours = losses.get(STEEP)
    for name, theirs in losses.items():
        if not ours or not theirs or name in (STEEP, ISOLATED) or len(ours) != len(theirs):
            continue
        gaps = [b - a for a, b in zip(ours, theirs, strict=True)]
        lately = gaps[-LAST_STEPS:]
        yield (
            f"Losses of {STEEP} and {name} differ by at most {max(map(abs, gaps)):.2g} nats a "
            f"token in {len(ours)} steps, in which {STEEP}'s fell from {ours[0]:.4f} to "
            f"{ours[-1]:.4f}; over the last {len(lately)}, {name}'s is "
            f"{statistics.mean(lately):+.2g} on average."
        )


def _hardware(base: Job) -> Iterator[str]:
    sizes = base.sizes
    where = platform.machine()
    if base.device == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        properties = torch.cuda.get_device_properties(0)
        where = f"{properties.name}, {properties.total_memory / GIB:.1f} GiB, "
        where += f"CUDA {torch.version.cuda}, cuDNN {cudnn}"
    yield (
        f"{base.shape} on {where}: context {sizes.context_tokens}, "
        f"{sizes.batch_sequences} rows an optimizer step."
    )
