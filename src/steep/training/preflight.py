"""Before anything is loaded: does the run fit into memory and onto the disk? If not, what would?

Takes a second, from the configuration of the model alone. The memory is an estimate (see
`memory`); what is there is asked of the GPU, or of Linux and its control groups.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from steep.core.errors import UserError
from steep.core.formatting import gib
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.loading import load_model_config
from steep.training.memory import MemoryEstimate, estimate_memory
from steep.training.model_dims import ModelShape, empty_model, shape_of
from steep.training.parallel import World

LEANER: tuple[OptimizerName, ...] = ("adamw-8bit-stochastic",)
MOST_RANKS = 1024
CGROUPS = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def check_memory(
    model: Path | str,
    settings: OptimizationConfig,
    world: World,
) -> MemoryEstimate:
    """Estimate what a run needs on this rank.

    Args:
        model: A Hugging Face directory or name; only its configuration is read.
        settings: Of the run, without `auto` values.
        world: The ranks.

    Raises:
        UserError: It cannot fit; the largest part is named, and what would make it fit.
    """
    shape = trained_shape(load_model_config(model), settings)
    available = available_memory(world.device)
    estimate = estimate_memory(shape, settings, world.size, available)
    check_fits(estimate, shape, settings, world)
    return estimate


def trained_shape(config: Any, settings: OptimizationConfig) -> ModelShape:
    """Return the shape of a model as it is trained, from its Hugging Face configuration.

    Args:
        config: Of the model.
        settings: Of the run; they say whether adapters are trained instead of the weights.
    """
    empty = empty_model(config)
    if settings.lora_rank is not None:
        from steep.training.lora import add_lora

        empty = add_lora(empty, settings.lora_rank, settings.lora_alpha, seed=0)
    return shape_of(empty)


def check_fits(
    estimate: MemoryEstimate,
    shape: ModelShape,
    settings: OptimizationConfig,
    world: World,
) -> None:
    """Refuse a run that does not fit into the memory of the device or of its host.

    Raises:
        UserError: It cannot fit; the largest part is named, and what would make it fit.
    """
    if not estimate.fits:
        raise _too_large(estimate, shape, settings, world)
    if world.device.type != "cpu":
        _check_host(estimate, world, settings.section)


def check_disk(directory: Path, estimate: MemoryEstimate, settings: OptimizationConfig) -> None:
    """Refuse a run whose checkpoints and model will not find room on the disk.

    Raises:
        UserError: The free space, and the checkpoints that are there, are less than is needed.
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
            hint=f"free some space or lower {section}.keep_checkpoints, then rerun the command",
        )


def free_bytes(directory: Path, runs: Iterable[Path]) -> int:
    """Bytes that are free where a directory is or will be, and those of checkpoints of runs."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    files = (each for run in runs for each in run.glob("checkpoint-*/**/*") if each.is_file())
    return shutil.disk_usage(there).free + sum(each.stat().st_size for each in files)


def disk_bytes(estimate: MemoryEstimate, keep_checkpoints: int) -> int:
    """Bytes that a run has on disk at most: one checkpoint is being written beside those kept."""
    return estimate.checkpoint_bytes * (keep_checkpoints + 1) + estimate.export_bytes


def host_bytes(estimate: MemoryEstimate, ranks: int) -> int:
    """Bytes that the host of a GPU holds: the model that is loaded, later a checkpoint's copy."""
    return max(estimate.export_bytes, estimate.checkpoint_bytes // ranks)


def available_memory(device: torch.device) -> int | None:
    """Free bytes of the device; for a processor, within the limits of its control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_host_memory()


def available_host_memory() -> int | None:
    """What Linux can still give this process; None where that cannot be read."""
    if not MEMINFO.is_file():
        return None
    fields = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    return min([free, *_cgroup_rooms()])


def _cgroup_rooms() -> Iterator[int]:
    """How much each control group above this process still allows; caches count as free."""
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
            "The memory of this machine, beside the GPU, is too small for this run.",
            where=section,
            expected=f"{gib(needed)}: the model while it is loaded "
            f"({gib(estimate.export_bytes)}), later the copy of a checkpoint ({gib(staging)})",
            found=f"{gib(free)}",
            hint="take a machine with more memory, or more devices",
        )


class _Remedy(NamedTuple):
    """A change of settings, and what the run would need then."""

    change: str
    total: int


def _too_large(
    estimate: MemoryEstimate,
    shape: ModelShape,
    settings: OptimizationConfig,
    world: World,
) -> UserError:
    assert estimate.available is not None
    on_host = world.device.type == "cpu"
    largest = max(estimate.parts, key=lambda name: estimate.parts[name])
    remedies = [
        each for each in _remedies(shape, settings, world.size) if each.total < estimate.total
    ]
    fitting = [each for each in remedies if each.total <= estimate.available]
    listed = "; ".join(f"{each.change} ({gib(each.total)})" for each in fitting or remedies)
    start = "one of these is enough" if fitting else "none of these is enough alone"
    where = "this machine" if on_host else "the GPU"
    return UserError(
        f"This run does not fit into the memory of {where}; its largest part is the {largest}.",
        where=settings.section,
        expected=f"at most {gib(estimate.available)}",
        found=estimate.line().removeprefix("memory: "),
        hint=f"{start}: {listed}" if listed else "take a smaller model or a larger machine",
    )


def _remedies(shape: ModelShape, settings: OptimizationConfig, ranks: int) -> Iterator[_Remedy]:
    def total(ranks: int = ranks, **changes: Any) -> int:
        return estimate_memory(shape, settings.model_copy(update=changes), ranks).total

    if settings.micro_batch_sequences > 1:
        yield _Remedy(f"{settings.section}.micro_batch_sequences 1", total(micro_batch_sequences=1))
    if settings.recompute_every != 1:
        yield _Remedy(f"{settings.section}.recompute_every 1", total(recompute_every=1))
    for kind in LEANER:
        yield _Remedy(
            f"{settings.section}.optimizer {kind}", total(optimizer=kind, compute="bfloat16")
        )
    leanest: dict[str, Any] = {
        "micro_batch_sequences": 1,
        "recompute_every": 1,
        "optimizer": LEANER[-1],
        "compute": "bfloat16",
    }
    yield _Remedy("all of these", total(**leanest))
    if 2 * ranks <= min(settings.batch_sequences, MOST_RANKS):
        yield _Remedy(f"{2 * ranks} devices", total(2 * ranks))
