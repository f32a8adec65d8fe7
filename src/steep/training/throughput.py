"""The speed of training: measured by earlier runs of the same workload, or assumed.

Each start of a run appends its workload to `starts.jsonl`, beside the metrics of the steps. A later
run of the same workload is as fast; nothing is concluded about other workloads. Without a
measurement, a GPU is assumed to reach 40% of its peak in dense bf16 (MFU), between 20% and 55%.
Published trainings of 7B to 8B parameters in PyTorch lie between 34% and 46%, hand-written CUDA
reaches 61%, and models of some 100M parameters stay below 35%. The speed of a processor is unknown
until steps have been measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.training.config import OptimizationConfig
from steep.training.metrics import METRICS, read_metrics, read_starts

WARM_UP_STEPS = 1  # after each start, for compilation and caches
ASSUMED_MFU = Range(0.20, 0.40, 0.55)
# The settings that decide the speed of a step.
SPEED_SETTINGS = {
    "context_tokens", "isolate_documents", "batch_sequences", "micro_batch_sequences", "optimizer",
    "compute", "compile", "recompute_every",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a run."""

    name: str | None  # kind of the devices; None if unknown
    count: int  # number of devices; one rank each
    is_gpu: bool
    peak_flops: float | None  # FLOP/s of one device in dense bf16; None if unknown
    is_here: bool  # true for the devices of this machine


@dataclass(frozen=True, slots=True)
class Rate:
    """Training tokens per second over all devices."""

    tokens_per_s: Range | None
    mfu: Range | None  # the MFU that was assumed; None if the rate was measured, or is unknown
    source: str  # where the rate comes from, or why it is unknown and how to measure it


UNKNOWN_RATE = Rate(None, None, "")


def workload_of(
    device: str, ranks: int, flops_per_token: float, settings: OptimizationConfig
) -> dict[str, Any]:
    """Return everything that decides the speed of a step, as it is written to `starts.jsonl`.

    The FLOPs represent the model: its dimensions, and what of it is trained.
    """
    workload = {"device": device, "ranks": ranks, "flops_per_token": flops_per_token}
    return workload | settings.model_dump(include=SPEED_SETTINGS)


def earlier_runs(store: Path) -> list[Path]:
    """Return the directories of earlier runs, the newest last."""
    found = [path for each in ("train", "instruct") for path in store.glob(f"{each}-*/{METRICS}")]
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def measured_rate(directories: Iterable[Path], workload: Mapping[str, Any]) -> Rate | None:
    """Return the rate of the newest (last) run with the same workload; None without one.

    The rate is all tokens over all seconds, between the slowest and the fastest tenth of the steps.
    """
    for directory in reversed([*directories]):
        if rates := _step_rates(directory, workload):
            low, high = rates[len(rates) // 10], rates[-1 - len(rates) // 10]
            mean = len(rates) / math.fsum(1 / rate for rate in rates)
            source = f"measured by {len(rates):,} steps of {directory.name}"
            return Rate(Range.around(low, mean, high), None, source)
    return None


def _step_rates(directory: Path, workload: Mapping[str, Any]) -> list[float]:
    """Return the rates of the steps of this workload, the slowest first."""
    starts, metrics = read_starts(directory), read_metrics(directory)
    rates: list[float] = []
    ends = [*(start["step"] for start in starts), math.inf][1:]
    for start, end in zip(starts, ends, strict=True):
        if start.items() >= workload.items():
            first = start["step"] + WARM_UP_STEPS
            rates += [
                row["tokens_per_s"]
                for row in metrics
                if first < row["step"] <= end and row["tokens_per_s"]  # 0: skipped
            ]
    return sorted(rates)


def assumed_rate(devices: Devices, flops: float, settings: OptimizationConfig) -> Rate:
    """Return the rate that is assumed for GPUs with a known peak."""
    if not devices.is_gpu:
        where = "this" if devices.is_here else "a"
        return Rate(
            None,
            None,
            f"no step with this model and these settings was measured on {where} processor. Start "
            "steep train, stop it with Ctrl-C after a few steps (they are kept), and plan again; "
            "or name GPUs: --gpus 1xH100",
        )
    if devices.peak_flops is None:
        return Rate(
            None,
            None,
            f"the peak of {devices.name or 'an unknown GPU'} is not known, and no step was "
            "measured on it; name GPUs of the same speed: --gpus 1xH100",
        )
    if settings.compute != "bfloat16":
        reason = f"peaks are known for bfloat16, and {settings.section}.compute is float32"
        return Rate(None, None, reason)
    low, expected, high = (f"{100 * each:.0f}%" for each in astuple(ASSUMED_MFU))
    source = (
        f"assumed: {expected} ({low} to {high}) of the peak of {devices.peak_flops / 1e12:,.0f} "
        f"TFLOP/s in bf16 per GPU, at {flops / 1e9:.4g} GFLOP per token; no such step was measured "
        "in this project"
    )
    peak = devices.peak_flops * devices.count
    return Rate(ASSUMED_MFU.times(peak / flops), ASSUMED_MFU, source)


def named_devices(text: str) -> Devices:
    """Return the GPUs that "8xH100" or "H100" names.

    Raises:
        UserError: The text has another form, or the peak of such a GPU is not known.
    """
    from steep.training.model_dims import PEAKS, peak_of

    number, cross, name = text.partition("x")
    count, name = (int(number), name) if cross and number.strip().isdigit() else (1, text)
    peak = peak_of(name.strip())
    if peak is None or count < 1:
        raise UserError(
            "The peak speed of these GPUs is not known.",
            where="--gpus",
            expected=f"NUMBERxNAME, with one of {', '.join(part for part, _ in PEAKS)}",
            found=text,
        )
    return Devices(name.strip(), count, True, peak, False)


def local_devices(count: int) -> Devices:
    """Return `count` devices of the kind that this machine trains on."""
    import torch

    from steep.training.model_dims import peak_flops
    from steep.training.parallel import device_name

    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if is_gpu else torch.device("cpu")
    return Devices(device_name(device), count, is_gpu, peak_flops(device), True)
