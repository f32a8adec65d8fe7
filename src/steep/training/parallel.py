"""The ranks of a run: connecting them, sums over them, and sharding a model over them.

A rank reads its number from the environment alone, so the same training function runs in one
process, under `torchrun`, under `srun` and in a Ray Train worker. One process shards nothing;
several shard weights, gradients and optimizer states evenly (FSDP2), one group per decoder layer.

    torchrun --nproc-per-node 8 -m steep train
    srun --nodes 2 --ntasks-per-node 8 steep train
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from steep.core.errors import UserError
from steep.core.machine import processor_name
from steep.core.ranks import gpu_of, place_of
from steep.training.config import OptimizationConfig

TIMEOUT = timedelta(minutes=15)  # a rank that does not respond for longer is dead


@dataclass(frozen=True, slots=True)
class World:
    """One rank among `size`; a world of one has no mesh and no process group."""

    rank: int
    size: int
    local_rank: int
    device: torch.device
    mesh: DeviceMesh | None = None

    @property
    def is_main(self) -> bool:
        """Return True for the rank that writes files and logs."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

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
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=TIMEOUT)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    return World(dist.get_rank(), dist.get_world_size(), local_rank, device, mesh)


def disconnect(world: World) -> None:
    """Leave the process group."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


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
