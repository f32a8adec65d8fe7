"""What training will take: hours, dollars, memory and disk, from shapes, settings and one rate.

The rate is what an earlier run of the same workload has measured. Without one, a GPU is assumed to
reach a share of its peak in dense bf16 (MFU): 40%, between 20% and 55%. Published trainings of 7B
to 8B parameters in PyTorch lie between 34% and 46%, hand-written CUDA reaches 61%, and models of
some 100M parameters stay below 35%. A processor has no such peak, so its speed is unknown until
steps have been measured. Times are those of steps and validations: starting, compiling and waiting
for a disk come on top. What is not known is None, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.training.throughput import MeasuredRate

if TYPE_CHECKING:
    from steep.training.memory import MemoryEstimate

ASSUMED_MFU = Range(0.20, 0.40, 0.55)
VALIDATION_SHARE = 1 / 3  # of a training step's FLOPs: the forward pass alone
NOTHING_LEFT = Range.exactly(0.0)

State = Literal["to do", "interrupted", "done"]


@dataclass(frozen=True, slots=True)
class Devices:
    """What a run is computed by.

    Attributes:
        name: Of the kind of device; None where nobody knows.
        count: How many; one rank each.
        is_gpu: Whether they are GPUs.
        peak_flops: FLOP/s of one in dense bf16; None is unknown.
        is_here: Whether they are this machine's.
    """

    name: str | None
    count: int
    is_gpu: bool
    peak_flops: float | None
    is_here: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens per second over all devices; None is unknown.

    Attributes:
        tokens_per_s: Of training.
        mfu: What was assumed for it; None where it was measured, or is unknown.
        source: Where it comes from, or why it is unknown and what makes it known.
    """

    tokens_per_s: Range | None
    mfu: Range | None
    source: str


@dataclass(frozen=True, slots=True)
class Amount:
    """How much a run has to compute.

    Attributes:
        name: Of the arm that it trains.
        state: Whether it is done, or was begun.
        steps: Of the whole run; None is unknown.
        steps_done: Those that a checkpoint has kept.
        step_tokens: Tokens of a step.
        validation_tokens: Still to be read for losses on texts that are not trained on.
    """

    name: str
    state: State
    steps: Range | None
    steps_done: int
    step_tokens: int
    validation_tokens: Range | None

    @property
    def steps_left(self) -> Range | None:
        """Steps that are to do."""
        if self.state == "done" or self.steps is None:
            return NOTHING_LEFT if self.state == "done" else None
        return self.steps.map(lambda steps: max(0.0, steps - self.steps_done))


@dataclass(frozen=True, slots=True)
class RunForecast:
    """One training run, and what it still takes.

    Attributes:
        name: Of the arm.
        state: Whether it is done, or was begun.
        steps: Of the whole run; None is unknown.
        steps_done: Those that a checkpoint has kept.
        tokens: Of the whole run.
        hours: That are left.
        cost_usd: Of these; None without a price or hours.
        checkpoints: How many will be written.
    """

    name: str
    state: State
    steps: Range | None
    steps_done: int
    tokens: Range | None
    hours: Range | None
    cost_usd: Range | None
    checkpoints: int | None


@dataclass(frozen=True, slots=True)
class SectionForecast:
    """The runs of a section of the configuration, which share everything but their texts.

    Attributes:
        section: "train" or "instruct".
        devices: What computes them.
        parameters: Of the model, adapters included; None is unknown.
        rate: How fast.
        memory: Of each device at the highest moment, as `preflight` checks it; None is unknown.
        host_bytes: Memory of a GPU's host; None on a processor, which is the device.
        disk_bytes: What one run has on disk at most, its trained model included.
        runs: In order.
    """

    section: Literal["train", "instruct"]
    devices: Devices
    parameters: int | None
    rate: Rate
    memory: MemoryEstimate | None
    host_bytes: int | None
    disk_bytes: int | None
    runs: tuple[RunForecast, ...]

    @property
    def to_do(self) -> tuple[RunForecast, ...]:
        """The runs that are not done."""
        return tuple(run for run in self.runs if run.state != "done")

    @property
    def checkpoint_bytes(self) -> int | None:
        """Bytes of all checkpoints that will be written, one after the other."""
        counts = [run.checkpoints for run in self.to_do]
        if self.memory is None or None in counts:
            return None
        return self.memory.checkpoint_bytes * sum(count or 0 for count in counts)


@dataclass(frozen=True, slots=True)
class TrainingForecast:
    """All trainings of a configuration.

    Attributes:
        model: What they start from.
        gpu_hour_usd: Price of an hour of one GPU; None: no dollars are counted.
        sections: Pretraining, and tuning where it is asked for.
        warnings: What will keep them from being carried out, or is not known.
    """

    model: str
    gpu_hour_usd: float | None
    sections: tuple[SectionForecast, ...]
    warnings: tuple[str, ...]

    @property
    def runs(self) -> tuple[RunForecast, ...]:
        """All of them."""
        return tuple(run for section in self.sections for run in section.runs)

    @property
    def to_do(self) -> tuple[RunForecast, ...]:
        """Those that are not done."""
        return tuple(run for section in self.sections for run in section.to_do)

    @property
    def hours(self) -> Range | None:
        """Of all runs that are left, one after the other; None where that of any is unknown."""
        return total(run.hours for run in self.runs)

    @property
    def cost_usd(self) -> Range | None:
        """Dollars of all runs that are left; None where those of any are unknown."""
        return total(run.cost_usd for run in self.runs)

    @property
    def room_bytes(self) -> int | None:
        """What the disk holds at most: models of earlier runs, checkpoints of the last one."""
        models, most = 0, 0
        for section in self.sections:
            for _ in section.to_do:
                if section.memory is None or section.disk_bytes is None:
                    return None
                most = max(most, models + section.disk_bytes)
                models += section.memory.export_bytes
        return most

    def as_json(self) -> dict[str, Any]:
        """Everything, as a script would read it."""
        sums = {"hours": self.hours, "cost_usd": self.cost_usd}
        tree = asdict(self) | {name: each and asdict(each) for name, each in sums.items()}
        for section, found in zip(tree["sections"], self.sections, strict=True):
            if found.memory is not None:
                section["memory"]["total"] = found.memory.total
            section["checkpoint_bytes"] = found.checkpoint_bytes
        return tree | {"room_bytes": self.room_bytes}


def rate_of(measured: MeasuredRate | None, devices: Devices, flops: float, compute: str) -> Rate:
    """The rate of a run: measured, or assumed of GPUs whose peak is known.

    Args:
        measured: Of the same workload.
        devices: What computes it.
        flops: Of a token, forward and backward.
        compute: Precision of matrix products.
    """
    if measured is not None:
        source = f"as {measured.steps:,} steps of {measured.run} have measured"
        return Rate(measured.tokens_per_s, None, source)
    if not devices.is_gpu:
        where = "this processor" if devices.is_here else "a processor"
        return Rate(
            None,
            None,
            f"no step with this model and these settings was measured on {where}. Start steep "
            "train, end it by Ctrl-C after a few steps (they are kept), and plan again; or name "
            "GPUs: --gpus 1xH100",
        )
    if devices.peak_flops is None:
        known = "an unknown GPU" if devices.name is None else f"the peak of {devices.name}"
        return Rate(
            None,
            None,
            f"{known} is in no table here, and no step was measured on it; name GPUs of the same "
            "speed: --gpus 1xH100",
        )
    if compute != "bfloat16":
        return Rate(None, None, f"peaks are known of bfloat16, and train.compute is {compute}")
    peak = devices.peak_flops * devices.count
    low, expected, high = (f"{100 * each:.0f}%" for each in astuple(ASSUMED_MFU))
    source = (
        f"assumed: {expected} ({low} to {high}) of the peak of {devices.peak_flops / 1e12:,.0f} "
        f"TFLOP/s in bf16 per GPU, at {flops / 1e9:.4g} GFLOP per token; no such step was measured "
        "in this project"
    )
    return Rate(ASSUMED_MFU.times(peak / flops), ASSUMED_MFU, source)


def forecast_run(
    amount: Amount, rate: Rate, devices: Devices, gpu_hour_usd: float | None, minutes: float
) -> RunForecast:
    """What a run still takes.

    Args:
        amount: How much it has to compute.
        rate: How fast.
        devices: What computes it.
        gpu_hour_usd: Price of an hour of one GPU, if dollars are to be counted.
        minutes: Between two checkpoints.
    """
    hours, left = _hours(amount, rate), amount.steps_left
    cost_usd = checkpoints = None
    if hours is not None and gpu_hour_usd is not None and devices.is_gpu:
        cost_usd = hours.times(devices.count * gpu_hour_usd)
    if hours is not None and left is not None:
        checkpoints = int(min(left.expected, hours.expected * 60 / minutes))
    return RunForecast(
        name=amount.name,
        state=amount.state,
        steps=amount.steps,
        steps_done=amount.steps_done,
        tokens=amount.steps and amount.steps.times(amount.step_tokens),
        hours=hours,
        cost_usd=cost_usd,
        checkpoints=checkpoints,
    )


def _hours(amount: Amount, rate: Rate) -> Range | None:
    if amount.state == "done":
        return NOTHING_LEFT
    left, validation = amount.steps_left, amount.validation_tokens
    speed = rate.tokens_per_s
    if left is None or validation is None or speed is None:
        return None
    tokens = left.times(amount.step_tokens) + validation.times(VALIDATION_SHARE)
    seconds = Range(
        tokens.low / speed.high, tokens.expected / speed.expected, tokens.high / speed.low
    )
    return seconds.times(1 / 3600)


def total(parts: Iterable[Range | None]) -> Range | None:
    """The sum; None where any part is unknown."""
    listed: Sequence[Range | None] = [*parts]
    known = [each for each in listed if each is not None]
    return sum(known, NOTHING_LEFT) if len(known) == len(listed) else None


def named_devices(text: str) -> Devices:
    """The GPUs that "8xH100" or "H100" means.

    Raises:
        UserError: It has another form, or the peak of such a GPU is not known.
    """
    from steep.training.flops import PEAKS, peak_of

    number, cross, name = text.partition("x")
    count, name = (int(number), name) if cross and number.strip().isdigit() else (1, text)
    name = name.strip()
    peak = peak_of(name)
    if peak is None or count < 1:
        raise UserError(
            "There is no peak speed known of these GPUs.",
            where="--gpus",
            expected=f"NUMBERxNAME, with one of {', '.join(part for part, _ in PEAKS)}",
            found=text,
        )
    return Devices(name, count, True, peak, False)


def local_devices(count: int) -> Devices:
    """So many devices of the kind that this machine trains on."""
    import torch

    from steep.training.flops import peak_flops
    from steep.training.parallel import device_name

    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if is_gpu else torch.device("cpu")
    return Devices(device_name(device), count, is_gpu, peak_flops(device), True)
