"""The speed of training: measured by earlier runs of the same workload, or assumed.

Each start of a run appends its `Workload` to `starts.jsonl`, beside the metrics of the steps. A
later run of the same workload is as fast; nothing is concluded about other workloads. Without a
measurement, a GPU is assumed to reach 40% of its peak in dense bf16 (MFU), between 20% and 55%.
Published trainings of 7B to 8B parameters in PyTorch lie between 34% and 46%, hand-written CUDA
reaches 61%, and models of some 100M parameters stay below 35%. The speed of a processor is unknown
until steps have been measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.training.config import OptimizationConfig
from steep.training.metrics import read_metrics, read_starts

WARM_UP_STEPS = 1  # after each start, for compilation and caches
ASSUMED_MFU = Range(0.20, 0.40, 0.55)


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that decides the speed of a step.

    Attributes:
        device: Kind of the devices.
        ranks: Number of devices.
        flops_per_token: Represents the model: its dimensions, and what of it is trained.
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
    """Return the workload of a run.

    Args:
        device: Kind of the devices.
        ranks: Number of devices.
        flops_per_token: FLOPs of the model as it is trained, see `flops`.
        settings: The settings of the run, without `auto` values.
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
    """Tokens per second over all ranks, measured by the steps of a run.

    Attributes:
        tokens_per_s: All tokens over all seconds, between the slowest and the fastest tenth.
        steps: Number of steps.
        run: Directory name of the run.
    """

    tokens_per_s: Range
    steps: int
    run: str


def measured_rate(directories: Iterable[Path], workload: Workload) -> MeasuredRate | None:
    """Return the rate of the newest run with the same workload; None without one.

    Args:
        directories: Directories of finished or interrupted runs, the newest last.
        workload: The workload.
    """
    for directory in reversed([*directories]):
        if rates := _rates(directory, workload):
            low, high = rates[len(rates) // 10], rates[-1 - len(rates) // 10]
            mean = len(rates) / math.fsum(1 / rate for rate in rates)
            return MeasuredRate(Range.around(low, mean, high), len(rates), directory.name)
    return None


def _rates(directory: Path, workload: Workload) -> list[float]:
    """Return the rates of the steps of this workload, the slowest first."""
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


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a run.

    Attributes:
        name: Kind of the devices; None if unknown.
        count: Number of devices; one rank each.
        is_gpu: True for GPUs.
        peak_flops: FLOP/s of one device in dense bf16; None if unknown.
        is_here: True for the devices of this machine.
    """

    name: str | None
    count: int
    is_gpu: bool
    peak_flops: float | None
    is_here: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """Training tokens per second over all devices.

    Attributes:
        tokens_per_s: The rate; None if unknown.
        mfu: The MFU that was assumed; None if the rate was measured, or is unknown.
        source: Where the rate comes from, or why it is unknown and how to measure it.
    """

    tokens_per_s: Range | None
    mfu: Range | None
    source: str


UNKNOWN_RATE = Rate(None, None, "")


def rate_of(
    measured: MeasuredRate | None, devices: Devices, flops: float, settings: OptimizationConfig
) -> Rate:
    """Return the rate of a run: measured, or assumed for GPUs with a known peak.

    Args:
        measured: Rate of an earlier run of the same workload.
        devices: Devices of the run.
        flops: FLOPs per token, forward and backward.
        settings: The settings of the run, without `auto` values.
    """
    if measured is not None:
        source = f"measured by {measured.steps:,} steps of {measured.run}"
        return Rate(measured.tokens_per_s, None, source)
    reason = None
    if not devices.is_gpu:
        reason = (
            f"no step with this model and these settings was measured on "
            f"{'this' if devices.is_here else 'a'} processor. Start steep train, stop it with "
            "Ctrl-C after a few steps (they are kept), and plan again; or name GPUs: --gpus 1xH100"
        )
    elif devices.peak_flops is None:
        gpu = "an unknown GPU" if devices.name is None else devices.name
        reason = (
            f"the peak of {gpu} is not known, and no step was measured on it; name GPUs of the "
            "same speed: --gpus 1xH100"
        )
    elif settings.compute != "bfloat16":
        reason = f"peaks are known for bfloat16, and {settings.section}.compute is float32"
    if reason is not None or devices.peak_flops is None:
        return Rate(None, None, reason or "")
    peak = devices.peak_flops * devices.count
    low, expected, high = (f"{100 * each:.0f}%" for each in astuple(ASSUMED_MFU))
    source = (
        f"assumed: {expected} ({low} to {high}) of the peak of {devices.peak_flops / 1e12:,.0f} "
        f"TFLOP/s in bf16 per GPU, at {flops / 1e9:.4g} GFLOP per token; no such step was measured "
        "in this project"
    )
    return Rate(ASSUMED_MFU.times(peak / flops), ASSUMED_MFU, source)


def named_devices(text: str) -> Devices:
    """Return the GPUs that "8xH100" or "H100" names.

    Raises:
        UserError: The text has another form, or the peak of such a GPU is not known.
    """
    from steep.training.flops import PEAKS, peak_of

    number, cross, name = text.partition("x")
    count, name = (int(number), name) if cross and number.strip().isdigit() else (1, text)
    name = name.strip()
    peak = peak_of(name)
    if peak is None or count < 1:
        raise UserError(
            "The peak speed of these GPUs is not known.",
            where="--gpus",
            expected=f"NUMBERxNAME, with one of {', '.join(part for part, _ in PEAKS)}",
            found=text,
        )
    return Devices(name, count, True, peak, False)


def local_devices(count: int) -> Devices:
    """Return `count` devices of the kind that this machine trains on."""
    import torch

    from steep.training.flops import peak_flops
    from steep.training.parallel import device_name

    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if is_gpu else torch.device("cpu")
    return Devices(device_name(device), count, is_gpu, peak_flops(device), True)
