"""What is left of training: hours, dollars, memory and disk, for `steep plan`.

Hours are those of steps and validations, without startup, compilation and waits for the disk.
Unknown values are None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.training.config import OptimizationConfig
from steep.training.metrics import METRICS
from steep.training.throughput import (
    UNKNOWN_RATE,
    Devices,
    Rate,
    measured_rate,
    rate_of,
    workload_of,
)

if TYPE_CHECKING:
    from steep.training.memory import MemoryEstimate
    from steep.training.model_dims import ModelShape

VALIDATION_SHARE = 1 / 3  # of the FLOPs of a training step: the forward pass alone
ZERO = Range.exactly(0.0)

State = Literal["to do", "interrupted", "done"]
SectionName = Literal["train", "instruct"]


@dataclass(frozen=True, slots=True)
class RunForecast:
    """One training run, and what is left of it.

    Attributes:
        name: Name of the arm.
        state: Progress of the run.
        steps: Steps of the whole run; None if unknown.
        steps_done: Steps in its newest checkpoint.
        step_tokens: Tokens per step.
        validation_tokens: Tokens that are left to be validated on; None if unknown.
        hours: Hours that are left; None if unknown.
        cost_usd: Dollars that are left; None without a price or hours.
        checkpoints: Number of checkpoints that are left; None if unknown.
    """

    name: str
    state: State
    steps: Range | None
    steps_done: int
    step_tokens: int
    validation_tokens: Range | None
    hours: Range | None = None
    cost_usd: Range | None = None
    checkpoints: int | None = None

    @property
    def tokens(self) -> Range | None:
        """Return the tokens of the whole run."""
        return self.steps and self.steps.times(self.step_tokens)

    @property
    def steps_left(self) -> Range | None:
        """Return the steps that are left."""
        if self.state == "done":
            return ZERO
        return self.steps and self.steps.map(lambda steps: max(0.0, steps - self.steps_done))

    def at(
        self, rate: Rate, devices: Devices, gpu_hour_usd: float | None, minutes: float
    ) -> RunForecast:
        """Return the run with hours, dollars and checkpoints.

        Args:
            rate: Speed of the run.
            devices: Devices of the run.
            gpu_hour_usd: Dollars per hour of one GPU, if known.
            minutes: Minutes between checkpoints.
        """
        hours, left = self._hours(rate), self.steps_left
        cost_usd = checkpoints = None
        if hours is not None and gpu_hour_usd is not None and devices.is_gpu:
            cost_usd = hours.times(devices.count * gpu_hour_usd)
        if hours is not None and left is not None:
            checkpoints = int(min(left.expected, hours.expected * 60 / minutes))
        return replace(self, hours=hours, cost_usd=cost_usd, checkpoints=checkpoints)

    def _hours(self, rate: Rate) -> Range | None:
        left, validation, speed = self.steps_left, self.validation_tokens, rate.tokens_per_s
        if self.state == "done":
            return ZERO
        if left is None or validation is None or speed is None:
            return None
        tokens = left.times(self.step_tokens) + validation.times(VALIDATION_SHARE)
        seconds = Range(
            tokens.low / speed.high, tokens.expected / speed.expected, tokens.high / speed.low
        )
        return seconds.times(1 / 3600)


@dataclass(frozen=True, slots=True)
class SectionForecast:
    """The runs of a section of the configuration, which differ only in their texts.

    Attributes:
        section: Name of the section.
        devices: Devices of the runs.
        runs: The runs in order.
        parameters: Parameters of the model, adapters included; None if unknown.
        rate: Speed of the runs.
        memory: Peak memory of each device; None if unknown.
        host_bytes: Memory of a GPU's host; None on a processor.
        disk_bytes: Most bytes of one run on disk, its trained model included.
    """

    section: SectionName
    devices: Devices
    runs: tuple[RunForecast, ...]
    parameters: int | None = None
    rate: Rate = UNKNOWN_RATE
    memory: MemoryEstimate | None = None
    host_bytes: int | None = None
    disk_bytes: int | None = None

    @property
    def to_do(self) -> tuple[RunForecast, ...]:
        """Return the runs that are not done."""
        return tuple(run for run in self.runs if run.state != "done")

    @property
    def checkpoint_bytes(self) -> int | None:
        """Return the bytes of all checkpoints that will be written, one after the other."""
        counts = [run.checkpoints for run in self.to_do]
        if self.memory is None or None in counts:
            return None
        return self.memory.checkpoint_bytes * sum(count or 0 for count in counts)


@dataclass(frozen=True, slots=True)
class TrainingForecast:
    """All training of a configuration.

    Attributes:
        model: Name of the base model.
        gpu_hour_usd: Dollars per hour of one GPU, if known.
        sections: Pretraining, and instruction tuning if configured.
        warnings: What will be refused, or is unknown.
    """

    model: str
    gpu_hour_usd: float | None
    sections: tuple[SectionForecast, ...]
    warnings: tuple[str, ...]

    @property
    def runs(self) -> tuple[RunForecast, ...]:
        """Return all runs."""
        return tuple(run for section in self.sections for run in section.runs)

    @property
    def to_do(self) -> tuple[RunForecast, ...]:
        """Return the runs that are not done."""
        return tuple(run for run in self.runs if run.state != "done")

    @property
    def hours(self) -> Range | None:
        """Return the hours that are left, one run after the other; None if any are unknown."""
        return total(run.hours for run in self.runs)

    @property
    def cost_usd(self) -> Range | None:
        """Return the dollars that are left; None if any are unknown."""
        return total(run.cost_usd for run in self.runs)

    @property
    def room_bytes(self) -> int | None:
        """Return the most bytes on disk: models of earlier runs and one run's checkpoints."""
        models, most = 0, 0
        for section in self.sections:
            for _ in section.to_do:
                if section.memory is None or section.disk_bytes is None:
                    return None
                most = max(most, models + section.disk_bytes)
                models += section.memory.export_bytes
        return most

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        tree = asdict(self)
        for name, each in (("hours", self.hours), ("cost_usd", self.cost_usd)):
            tree[name] = each and asdict(each)
        for section, found in zip(tree["sections"], self.sections, strict=True):
            if found.memory is not None:
                section["memory"]["total"] = found.memory.total
            section["checkpoint_bytes"] = found.checkpoint_bytes
            for row, run in zip(section["runs"], found.runs, strict=True):
                row["tokens"] = run.tokens and asdict(run.tokens)
        return tree | {"room_bytes": self.room_bytes}


def forecast_section(
    settings: OptimizationConfig,
    forecast: SectionForecast,
    shape_of: Callable[[], ModelShape],
    store: Path,
    gpu_hour_usd: float | None,
) -> tuple[SectionForecast, list[str]]:
    """Add rate, memory, hours and dollars to the runs of a section.

    Args:
        settings: The section of the configuration.
        forecast: The section with its devices and runs.
        shape_of: Reads the shape of the model from its configuration.
        store: Directory of the artifacts of earlier runs.
        gpu_hour_usd: Dollars per hour of one GPU, if known.

    Returns:
        The forecast, and what training will refuse.
    """
    problems: list[str] = []
    if forecast.to_do:  # reading a model's configuration takes seconds
        try:
            forecast = _with_model(settings, forecast, shape_of(), store, problems)
        except UserError as error:
            reason = "; ".join(
                [error.problem.rstrip("."), *filter(None, [error.fields.get("hint")])]
            )
            forecast = replace(forecast, rate=Rate(None, None, reason))
    rate, devices, minutes = forecast.rate, forecast.devices, settings.checkpoint_minutes
    runs = tuple(run.at(rate, devices, gpu_hour_usd, minutes) for run in forecast.runs)
    return replace(forecast, runs=runs), problems


def _with_model(
    section: OptimizationConfig,
    forecast: SectionForecast,
    shape: ModelShape,
    store: Path,
    problems: list[str],
) -> SectionForecast:
    import torch

    from steep.training.flops import shape_flops
    from steep.training.loop import check_ranks
    from steep.training.memory import estimate_memory
    from steep.training.parallel import World
    from steep.training.preflight import available_memory, check_fits, disk_bytes, host_bytes
    from steep.training.prepare import resolve_auto

    devices = forecast.devices
    device = torch.device("cuda" if devices.is_gpu else "cpu")
    settings, world = resolve_auto(section, device), World(0, devices.count, 0, device)
    available = available_memory(device) if devices.is_here else None
    memory = estimate_memory(shape, settings, devices.count, available)
    try:
        check_ranks(settings, world)
        if devices.is_here:
            check_fits(memory, settings, world)
    except UserError as error:
        problems.append(refusal(settings.section, error))
    flops, measured = shape_flops(shape, settings.context_tokens), None
    if devices.name is not None:
        workload = workload_of(devices.name, devices.count, flops, settings)
        measured = measured_rate(_earlier_runs(store), workload)
    return replace(
        forecast,
        parameters=shape.parameter_count,
        rate=rate_of(measured, devices, flops, settings),
        memory=memory,
        host_bytes=host_bytes(memory, devices.count) if devices.is_gpu else None,
        disk_bytes=disk_bytes(memory, settings.keep_checkpoints),
    )


def _earlier_runs(store: Path) -> list[Path]:
    """Return the directories of earlier runs, the newest last."""
    found = [path for each in ("train", "instruct") for path in store.glob(f"{each}-*/{METRICS}")]
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def validations_left(settings: OptimizationConfig, steps: float, done: int, first: bool) -> int:
    """Return the number of validations after step `done`; `first` counts the one before step 1."""
    every = settings.validation_every
    between = (int(steps) - 1) // every - done // every if every else 0
    return first + max(0, between) + 1


def total(parts: Iterable[Range | None]) -> Range | None:
    """Return the sum; None if any part is unknown."""
    sum_ = ZERO
    for part in parts:
        if part is None:
            return None
        sum_ += part
    return sum_


def refusal(verb: str, error: UserError) -> str:
    """Return the error that a stage will raise as one warning."""
    about = "; ".join(" ".join(f"{name}: {text}".split()) for name, text in error.fields.items())
    return f"{verb} will refuse to start: {error.problem.rstrip('.')} ({about})"
