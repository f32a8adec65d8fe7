"""Checks before anything is loaded: does the run fit into memory, and onto the disk?

They take a second and need only the configuration of the model. The memory is an estimate (see
`memory`); the available memory is read from the GPU, or from Linux and its control groups.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from steep.core.errors import UserError
from steep.core.formatting import gib
from steep.training.config import OptimizationConfig
from steep.training.loading import load_model_config
from steep.training.memory import MemoryEstimate, estimate_memory
from steep.training.model_dims import ModelShape, empty_model, shape_of
from steep.training.parallel import World

CGROUPS = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def check_memory(
    model: Path | str,
    settings: OptimizationConfig,
    world: World,
) -> MemoryEstimate:
    """Estimate the memory of a run on this rank, and refuse a run that does not fit.

    Args:
        model: A Hugging Face directory or name; only its configuration is read.
        settings: Of the run, without `auto` values.
        world: The ranks.

    Raises:
        UserError: The run does not fit.
    """
    shape = trained_shape(load_model_config(model), settings)
    available = available_memory(world.device)
    estimate = estimate_memory(shape, settings, world.size, available)
    check_fits(estimate, settings, world)
    return estimate


def trained_shape(config: Any, settings: OptimizationConfig) -> ModelShape:
    """Return the shape of a model with the adapters that are trained, if any.

    Args:
        config: Hugging Face configuration of the model.
        settings: The settings of the run.
    """
    empty = empty_model(config)
    if settings.lora_rank is not None:
        from steep.training.lora import add_lora

        empty = add_lora(empty, settings.lora_rank, settings.lora_alpha, seed=0)
    return shape_of(empty)


def check_fits(estimate: MemoryEstimate, settings: OptimizationConfig, world: World) -> None:
    """Refuse a run that does not fit into the memory of the device or of its host.

    Raises:
        UserError: The run does not fit.
    """
    if not estimate.fits:
        raise _too_large(estimate, settings, world)
    if world.device.type != "cpu":
        _check_host(estimate, world, settings.section)


def check_disk(directory: Path, estimate: MemoryEstimate, settings: OptimizationConfig) -> None:
    """Refuse a run whose checkpoints and model do not fit on the disk.

    Raises:
        UserError: The free space, including that of existing checkpoints, is too small.
    """
    section, keep_checkpoints = settings.section, settings.keep_checkpoints
    needed = disk_bytes(estimate, keep_checkpoints)
    free = free_bytes(directory, [directory])
    if needed > free:
        raise UserError(
            "The disk has no room for the checkpoints and the model of this run.",
            where=directory,
            expected=f"{gib(needed)} = {keep_checkpoints + 1} checkpoints (one is being "
            f"written) x {gib(estimate.checkpoint_bytes)} + the model {gib(estimate.export_bytes)}",
            found=f"{gib(free)}",
            hint=f"free some space or lower {section}.keep_checkpoints, then run the same command "
            "again",
        )


def free_bytes(directory: Path, runs: Iterable[Path]) -> int:
    """Return the free bytes on the disk of a directory, plus the checkpoints of runs."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    files = (each for run in runs for each in run.glob("checkpoint-*/**/*") if each.is_file())
    return shutil.disk_usage(there).free + sum(each.stat().st_size for each in files)


def disk_bytes(estimate: MemoryEstimate, keep_checkpoints: int) -> int:
    """Return the most bytes of a run on disk; one checkpoint is written beside those kept."""
    return estimate.checkpoint_bytes * (keep_checkpoints + 1) + estimate.export_bytes


def host_bytes(estimate: MemoryEstimate, ranks: int) -> int:
    """Return the host memory of a GPU: the model while it is loaded, later a checkpoint's copy."""
    return max(estimate.export_bytes, estimate.checkpoint_bytes // ranks)


def available_memory(device: torch.device) -> int | None:
    """Return the free bytes of a device; for a processor, within the limits of control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_host_memory()


def available_host_memory() -> int | None:
    """Return the memory that Linux can still give this process; None if it cannot be read."""
    if not MEMINFO.is_file():
        return None
    fields = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    return min([free, *_cgroup_rooms()])


def _cgroup_rooms() -> Iterator[int]:
    """Return how much each control group above this process still allows; caches are free."""
    listed = Path("/proc/self/cgroup")
    if not listed.is_file():
        return
    for line in listed.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":  # version 1
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            root = CGROUPS / "memory"
        elif not controllers:  # version 2
            names, root = ("memory.max", "memory.current", "inactive_file"), CGROUPS
        else:
            continue
        own = root / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(root) and (group / names[0]).is_file():
                yield from _room(group, *names)


def _room(group: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    text = (group / limit).read_text().strip()
    if text == "max":
        return
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    yield int(text) - int((group / usage).read_text()) + int(stat.get(cache, 0))


def _check_host(estimate: MemoryEstimate, world: World, section: str) -> None:
    staging = estimate.checkpoint_bytes // world.size
    needed, free = host_bytes(estimate, world.size), available_host_memory()
    if free is not None and needed > free:
        raise UserError(
            "The host memory beside the GPU is too small for this run.",
            where=section,
            expected=f"{gib(needed)}: the model while it is loaded "
            f"({gib(estimate.export_bytes)}), later the copy of a checkpoint ({gib(staging)})",
            found=gib(free),
            hint="use a machine with more memory, or more devices",
        )


def _too_large(estimate: MemoryEstimate, settings: OptimizationConfig, world: World) -> UserError:
    assert estimate.available is not None
    section = settings.section
    remedies = {
        f"lower {section}.micro_batch_sequences": settings.micro_batch_sequences > 1,
        f"set {section}.recompute_every to 1": settings.recompute_every != 1,
        f"set {section}.optimizer to adamw-8bit-stochastic": settings.optimizer == "adamw",
        "use more devices": world.size < settings.batch_sequences,
        "take a smaller model": True,
    }
    where = "this machine" if world.device.type == "cpu" else "the GPU"
    largest = max(estimate.parts, key=lambda name: estimate.parts[name])
    return UserError(
        f"This run does not fit into the memory of {where}; its largest part is the {largest}.",
        where=section,
        expected=f"at most {gib(estimate.available)}",
        found=estimate.line().removeprefix("memory: "),
        hint=", or ".join(remedy for remedy, helps in remedies.items() if helps),
    )
