"""The ranks of a run: connecting them, sums over them, and sharding a model over them.

A rank reads its number from the environment alone, so the same training function runs in one
process, under `torchrun`, under `srun` and in a Ray Train worker. One process shards nothing;
several shard weights, gradients and optimizer states evenly (FSDP2), one group per decoder layer.

    torchrun --nproc-per-node 8 -m steep train
    srun --nodes 2 --ntasks-per-node 8 steep train
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor

from steep.core.errors import UserError
from steep.core.machine import processor_name
from steep.core.ranks import gpu_of, place_of
from steep.training.config import OptimizationConfig

T = TypeVar("T")

TIMEOUT = timedelta(minutes=15)  # of an operation on the devices: without an answer, a rank is dead
PATIENCE = timedelta(
    hours=2
)  # for a rank that reads or writes files; a dead one is noticed at once


@dataclass(frozen=True, slots=True)
class World:
    """One rank among `size`; a world of one has no mesh and no process group."""

    rank: int
    size: int
    local_rank: int
    device: torch.device
    mesh: DeviceMesh | None = None
    host_group: dist.ProcessGroup | None = None  # waits for slow files; None: the default group

    @property
    def is_main(self) -> bool:
        """Return True for the rank that writes files and logs."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def together(self, work: Callable[[], T], group: dist.ProcessGroup | None = None) -> list[T]:
        """Return the results of `work` on all ranks, in their order; what one raises, all raise.

        Ranks wait up to two hours for one another (`PATIENCE`), without using a device.
        """
        outcome: T | Exception
        try:
            outcome = work()
        except Exception as error:
            outcome = error
        outcomes: list[Any] = [outcome]
        if self.size > 1:
            outcomes = [None] * self.size
            with lost_ranks(self):
                dist.all_gather_object(outcomes, outcome, group=group or self.host_group)
        for each in outcomes:
            if isinstance(each, Exception):
                raise each
        return outcomes

    def on_main(self, work: Callable[[], None]) -> None:
        """Run `work` on the main rank, while all others wait; what it raises, all raise."""
        self.together(work if self.is_main else lambda: None)

    def micro_batches(self, rows: int, size: int) -> int:
        """Return the number of micro-batches of `size` rows, the same on every rank."""
        return math.ceil(math.ceil(rows / self.size) / size)

    def share(self, count: int) -> tuple[int, int]:
        """Return the first index and the number of this rank's contiguous part of `count` items."""
        first, end = (count * each // self.size for each in (self.rank, self.rank + 1))
        return first, end - first


def connect() -> World:
    """Join the ranks that the environment names, if any.

    Raises:
        UserError: There are fewer GPUs than ranks on this machine.
    """
    place = place_of(os.environ)
    local_rank = int(place["LOCAL_RANK"]) if place else 0
    device = _device(local_rank)
    if place is None:
        return World(0, 1, 0, device)
    os.environ.update(place)
    if not dist.is_initialized():  # Ray Train initializes it itself
        _join(device)
    rank, size = dist.get_rank(), dist.get_world_size()
    mesh = init_device_mesh(device.type, (size,))
    return World(rank, size, local_rank, device, mesh, patient_group())


def patient_group() -> dist.ProcessGroup:
    """Return a new group of all ranks for waits without a device; called on every rank."""
    group: dist.ProcessGroup = dist.new_group(backend="gloo", timeout=PATIENCE)
    return group


def _join(device: torch.device) -> None:
    """Join the process group once all ranks are there: the main one may still check a model."""
    store, rank, size = _meeting_point()
    joined = store.add("joined", 1)
    turn = (joined - 1) // size  # a process connects once for each of its runs
    if joined % size == 0:
        store.set(f"turn-{turn}", "")
    store.wait([f"turn-{turn}"], PATIENCE)
    gpu = device if device.type == "cuda" else None
    dist.init_process_group(
        "gloo" if gpu is None else "cpu:gloo,cuda:nccl",
        store=PrefixStore(f"group-{turn}", store),
        rank=rank,
        world_size=size,
        timeout=TIMEOUT,
        device_id=gpu,
    )


@cache
def _meeting_point() -> tuple[Store, int, int]:
    """Return the store of the launcher or of the main rank, and the rank and the number of ranks.

    The main rank may be the server, which must not end with its first run.
    """
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    return store, rank, size


def disconnect(world: World) -> None:
    """Leave the process group, so that the process can exit at once."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()
        _wait_for_gloo_threads()


def _wait_for_gloo_threads(limit_s: float = 5.0) -> None:
    """Wait until the threads of gloo sleep.

    They outlive their group, and one that still frees a tensor while Python shuts down aborts the
    process ("terminate called without an active exception"; pytorch/pytorch#190489).
    """
    end = time.monotonic() + limit_s
    asleep = 0
    while asleep < 2 and time.monotonic() < end:
        time.sleep(0.01)  # without the GIL, for which such a thread may wait
        asleep = asleep + 1 if all(state == "S" for state in gloo_thread_states()) else 0


def gloo_thread_states() -> list[str]:
    """Return the state of each thread of gloo as Linux shows it: "S" (sleeping), "R" (running)."""
    states = []
    for stat in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):  # the thread has ended
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if name.startswith("pt_gloo"):
                states.append(rest.split()[0])
    return states


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local_rank = gpu_of(os.environ, local_rank, torch.cuda.device_count())
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            "There are more ranks on this machine than GPUs.",
            expected=f"at most {torch.cuda.device_count()}",
            found=f"local rank {local_rank}",
            hint="start one rank per GPU",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or the model of the processor and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'s' * (threads > 1)}"


def shard(module: nn.Module, layers: list[nn.Module], world: World, policy: Any) -> None:
    """Shard the parameters of `module` over the ranks, in place; a single rank only moves them.

    Gradients are reduced after every micro-batch: deferring it would keep an unsharded fp32
    gradient on every rank, 4 bytes per parameter for any number of ranks.
    """
    if world.size == 1:
        module.to(world.device)
        return
    from torch.distributed.fsdp import fully_shard

    for layer in layers:
        fully_shard(layer, mesh=world.mesh, mp_policy=policy)
    fully_shard(module, mesh=world.mesh, mp_policy=policy)


def local_part(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this rank holds."""
    if isinstance(tensor, DTensor):
        part: Tensor = tensor.to_local()
        return part
    return tensor


def check_ranks(settings: OptimizationConfig, world: World) -> None:
    """Refuse more ranks than a batch has sequences.

    Raises:
        UserError: There are more.
    """
    if world.size > settings.batch_sequences:
        raise UserError(
            "There are more ranks than sequences in a batch.",
            where=f"{settings.section}.batch_sequences",
            expected=f"at least {world.size}",
            found=settings.batch_sequences,
            hint="start fewer ranks; a larger batch changes the results",
        )


@contextmanager
def lost_ranks(world: World) -> Iterator[None]:
    """Turn the error of a collective operation after the death of another rank into a UserError."""
    try:
        yield
    except UserError:
        raise
    except RuntimeError as error:
        if world.size == 1 or not _is_lost(str(error)):
            raise
        raise UserError(
            f"Rank {world.rank} has lost another rank: it died or timed out.",
            found=str(error).splitlines()[0],
            hint="see the output of that rank; the last checkpoint is whole, and the same command "
            "resumes from it, with any number of ranks",
        ) from error


def _is_lost(message: str) -> bool:
    signs = r"connection (was )?(closed|reset|refused)|timed? ?out|broken pipe|nccl|socket"
    return re.search(signs, message, re.IGNORECASE) is not None
