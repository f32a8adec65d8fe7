"""What is left of training: hours, dollars, memory and disk, for `steep plan`; nothing is loaded.

Hours are those of steps and validations, without startup, compilation and waits for the disk.
Unknown values are None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steep.core.artifacts import Artifact, Identity, Project
from steep.core.errors import UserError
from steep.core.formatting import gib
from steep.core.ranges import CASES, Range
from steep.tokens.build import CHATS, VALIDATION
from steep.training.checkpoint_files import kept_steps
from steep.training.config import InstructConfig, OptimizationConfig, TrainConfig
from steep.training.runs import (
    SUFFIX,
    mixed_rates,
    of_model,
    training_identity,
    training_steps,
    tuning_identity,
    tuning_steps,
    validation_rows,
)
from steep.training.throughput import (
    UNKNOWN_RATE,
    Devices,
    Rate,
    assumed_rate,
    earlier_runs,
    measured_rate,
    workload_of,
)

if TYPE_CHECKING:
    from steep.training.memory import MemoryEstimate
    from steep.training.model_dims import ModelShape

VALIDATION_SHARE = 1 / 3  # of the FLOPs of a training step: the forward pass alone
GPUS_PER_MACHINE = 8  # at most, where more are planned
ZERO = Range.exactly(0.0)

SectionName = Literal["train", "instruct"]


@dataclass(frozen=True, slots=True)
class RunForecast:
    """One training run, and what is left of it."""

    name: str  # name of the arm
    state: Literal["to do", "interrupted", "done"]  # progress of the run
    steps: Range | None  # steps of the whole run; None if unknown
    steps_done: int  # steps in its newest checkpoint
    step_tokens: int  # tokens per step
    # tokens that are left to be validated on; None if unknown
    validation_tokens: Range | None = ZERO
    hours: Range | None = None  # hours that are left; None if unknown
    cost_usd: Range | None = None  # dollars that are left; None without a price or hours

    @property
    def tokens(self) -> Range | None:
        """Return the tokens of the whole run."""
        return self.steps and self.steps.times(self.step_tokens)

    def at(self, rate: Rate, devices: Devices, gpu_hour_usd: float | None) -> RunForecast:
        """Return the run with its hours and dollars at this rate."""
        speed, validation, hours = rate.tokens_per_s, self.validation_tokens, ZERO
        if self.state != "done":
            if self.steps is None or validation is None or speed is None:
                return self
            left = self.steps.map(lambda steps: max(0.0, steps - self.steps_done))
            tokens = left.times(self.step_tokens) + validation.times(VALIDATION_SHARE)
            hours = Range(
                tokens.low / speed.high, tokens.expected / speed.expected, tokens.high / speed.low
            ).times(1 / 3600)
        priced = gpu_hour_usd is not None and devices.is_gpu
        cost_usd = hours.times(devices.count * (gpu_hour_usd or 0.0)) if priced else None
        return replace(self, hours=hours, cost_usd=cost_usd)


@dataclass(frozen=True, slots=True)
class SectionForecast:
    """The runs of a section of the configuration, which differ only in their texts."""

    section: SectionName
    devices: Devices
    runs: tuple[RunForecast, ...]
    parameters: int | None = None  # parameters of the model, adapters included; None if unknown
    rate: Rate = UNKNOWN_RATE
    memory: MemoryEstimate | None = None  # peak memory of each device; None if unknown
    host_bytes: int | None = None  # memory of a machine beside its GPUs; None on a processor
    disk_bytes: int | None = None  # most bytes of one run on disk, its trained model included

    @property
    def to_do(self) -> tuple[RunForecast, ...]:
        """Return the runs that are not done."""
        return tuple(run for run in self.runs if run.state != "done")


@dataclass(frozen=True, slots=True)
class TrainingForecast:
    """All training of a configuration."""

    model: str
    gpu_hour_usd: float | None  # dollars per hour of one GPU, if known
    sections: tuple[SectionForecast, ...]  # pretraining, and instruction tuning if configured
    warnings: tuple[str, ...]  # what will be refused, or is unknown

    @property
    def runs(self) -> tuple[RunForecast, ...]:
        """Return all runs."""
        return tuple(run for section in self.sections for run in section.runs)

    @property
    def to_do(self) -> tuple[RunForecast, ...]:
        """Return the runs that are not done."""
        return tuple(run for section in self.sections for run in section.to_do)

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
            for row, run in zip(section["runs"], found.runs, strict=True):
                row["tokens"] = run.tokens and asdict(run.tokens)
        return tree | {"room_bytes": self.room_bytes}


@dataclass
class RunLister:
    """Lists the training runs of a configuration, and what is left of each."""

    project: Project
    shards: Mapping[str, Artifact]  # finished shards that will not change, by name
    trained: Mapping[str, Artifact]  # trained models whose shards will not change
    tuned: Collection[str]  # models that are tuned
    problems: list[str] = field(default_factory=list)  # what will be refused
    begun: list[Path] = field(default_factory=list)  # directories of interrupted runs

    def train(
        self,
        settings: TrainConfig,
        mixed: Collection[str],
        text_tokens: Callable[[str], Range | None],
        validation_sets: Callable[[], Sequence[Range]],
    ) -> tuple[RunForecast, ...]:
        """Return the runs of the arms' models.

        Args:
            settings: The section `train`.
            mixed: Names of the shards that can be mixed in.
            text_tokens: Estimates an arm that is not tokenized yet.
            validation_sets: Estimates the tokens of each validation set that is not tokenized yet.
        """
        mixed_rate = sum(mixed_rates(settings, mixed).values())

        def steps_of(arm: str) -> Range | None:
            tokens: Range | None = ZERO
            if settings.epochs is not None:
                tokens = self._tokens(arm) or text_tokens(arm)
            return tokens and tokens.map(lambda n: training_steps(settings, round(n), mixed_rate))

        if shard := self.shards.get(VALIDATION):
            sets = [Range.exactly(each) for each in shard.manifest["tokens"].values()]
        else:
            sets = [*validation_sets()]
        runs: list[RunForecast] = []
        seen = {settings.models[name].seed for name in self.trained}
        for name, (arm, seed) in settings.models.items():
            try:
                steps = steps_of(arm)
            except UserError as error:  # the same for every arm
                self.problems.append(refusal("train", error))
                steps = None
            seeded, shards = of_model(settings, self.shards, name)
            identity = training_identity(seeded, shards, name) if name in shards else None
            run = self._run(name, settings, steps, identity, name in self.trained)
            # The models of a seed share their first losses.
            first = seed not in seen and not run.steps_done
            seen.add(seed)
            validation = validation_tokens_of(settings, run, sets, first)
            runs.append(replace(run, validation_tokens=validation))
        return tuple(runs)

    def tune(
        self, models: Mapping[str, InstructConfig], chat_tokens: Range | None
    ) -> tuple[RunForecast, ...]:
        """Return the runs that tune models on chats, of about `chat_tokens` if not tokenized."""
        tokens = self._tokens(CHATS) or chat_tokens
        runs = []
        for name, settings in models.items():
            steps = tokens and tokens.map(partial(_tuning_steps, settings))
            identity = None
            if trained := self.trained.get(name):
                identity = tuning_identity(settings, trained, self.shards[CHATS], name)
            is_done = name in self.trained and name in self.tuned
            runs.append(self._run(name + SUFFIX, settings, steps, identity, is_done))
        return tuple(runs)

    def _tokens(self, name: str) -> Range | None:
        shard = self.shards.get(name)
        return Range.exactly(shard.manifest["tokens"]) if shard else None

    def _run(
        self,
        name: str,
        settings: OptimizationConfig,
        steps: Range | None,
        identity: Identity | None,
        is_done: bool,
    ) -> RunForecast:
        kept = 0
        if identity is not None and not is_done:
            path = self.project.artifact_path(identity.stage, identity.hash8)
            if kept := kept_steps(path):
                self.begun.append(path)
        state: Any = "done" if is_done else "interrupted" if kept else "to do"
        step_tokens = settings.batch_sequences * settings.context_tokens
        return RunForecast(name, state, steps, kept, step_tokens)


def _tuning_steps(settings: InstructConfig, tokens: float) -> int:
    return tuning_steps(settings, round(tokens))


def validation_tokens_of(
    settings: TrainConfig, run: RunForecast, sets: Sequence[Range], first: bool
) -> Range | None:
    """Return the tokens of all validations that are left; `first` is that before step 1."""
    if not sets:
        return ZERO
    if run.steps is None:
        return None
    context, every = settings.context_tokens, settings.validation_every
    rows = (each.map(lambda tokens: validation_rows(round(tokens), context)) for each in sets)
    once = sum(rows, ZERO).times(context)
    before = run.steps_done // every if every else 0
    between = run.steps.map(lambda n: max(0, (int(n) - 1) // every - before) if every else 0)
    return Range(*(once[case] * (first + between[case] + 1) for case in CASES))


def forecast_section(
    settings: OptimizationConfig,
    forecast: SectionForecast,
    shape_of: Callable[[], ModelShape],
    store: Path,
    gpu_hour_usd: float | None,
) -> tuple[SectionForecast, list[str]]:
    """Add rate, memory, hours and dollars to the runs of a section.

    Returns:
        The forecast, and what training will refuse.
    """
    problems: list[str] = []
    if forecast.to_do:  # reading a model's configuration takes seconds
        try:
            forecast = _with_model(settings, forecast, shape_of(), store, problems)
        except UserError as error:
            reasons = [error.problem.rstrip("."), error.fields.get("hint")]
            forecast = replace(forecast, rate=Rate(None, None, "; ".join(filter(None, reasons))))
    rate, devices = forecast.rate, forecast.devices
    runs = tuple(run.at(rate, devices, gpu_hour_usd) for run in forecast.runs)
    return replace(forecast, runs=runs), problems


def _with_model(
    section: OptimizationConfig,
    forecast: SectionForecast,
    shape: ModelShape,
    store: Path,
    problems: list[str],
) -> SectionForecast:
    import torch

    from steep.training.memory import available_memory, check_fits, estimate_memory
    from steep.training.model_dims import shape_flops
    from steep.training.parallel import World, check_ranks
    from steep.training.prepare import resolve_auto

    devices = forecast.devices
    on_machine = min(devices.count, GPUS_PER_MACHINE)
    device = torch.device("cuda" if devices.is_gpu else "cpu")
    settings, world = resolve_auto(section, device), World(0, devices.count, 0, device)
    available = available_memory(device) if devices.is_here else None
    memory = estimate_memory(shape, settings, devices.count, available)
    try:
        check_ranks(settings, world)
        if devices.is_here:
            check_fits(memory, settings, world, on_machine)
    except UserError as error:
        problems.append(refusal(settings.section, error))
    flops = shape_flops(shape, settings.context_tokens)
    rate = None
    if devices.name is not None:
        workload = workload_of(devices.name, devices.count, flops, settings)
        rate = measured_rate(earlier_runs(store), workload)
    return replace(
        forecast,
        parameters=shape.parameter_count,
        rate=rate or assumed_rate(devices, flops, settings),
        memory=memory,
        host_bytes=memory.host_bytes(devices.count, on_machine) if devices.is_gpu else None,
        disk_bytes=memory.disk_bytes(settings.keep_checkpoints),
    )


def disk_warnings(found: TrainingForecast, store: Path, begun: Iterable[Path]) -> list[str]:
    """Warn of a full disk; checkpoints of interrupted runs are part of what is needed."""
    is_here = all(section.devices.is_here for section in found.sections)
    if found.room_bytes is None or not is_here:  # the disk may not be here either
        return []
    from steep.training.memory import free_bytes

    free = free_bytes(store, begun)
    if found.room_bytes <= free:
        return []
    return [
        f"the disk has {gib(free)} free, and checkpoints and models of all runs take up to "
        f"{gib(found.room_bytes)}; free some space, or lower train.keep_checkpoints"
    ]


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
