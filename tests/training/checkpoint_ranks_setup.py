"""Two ranks that save and load together, under Gloo.

DIRECTORY: plays all scenarios, each in a directory of its own, with a checkpoint of step 1 that one
rank wrote. What a rank has to say at the end is in `rank-<n>`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # fully_shard would load it in each child
import torch.distributed as dist
from checkpoint_processes import end, start
from checkpoint_setup import ALONE, IDENTITY, make_state, names, same_bits
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard

from steep.core.errors import UserError
from steep.training import parallel
from steep.training.checkpoint import Checkpoints
from steep.training.checkpoint_io import CheckedWriter
from steep.training.parallel import World, local_part

SILENCE_S = 2
REPLICATED = {"step", "random", "empty"}


def make_module(seed: int) -> nn.Module:
    """Rows that two ranks do not share evenly, and one that only one of them has."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 1)).to(torch.bfloat16)


def tensors_of_one(seed: int) -> dict[str, Tensor]:
    return make_state(seed) | dict(make_module(seed).named_parameters())


def tensors_of_two(seed: int, world: World) -> dict[str, Tensor]:
    """The same, split over the ranks as training does it."""
    assert world.mesh is not None
    module = make_module(seed)
    fully_shard(module, mesh=world.mesh)
    state = {
        name: tensor if name in REPLICATED else split(tensor.detach(), world)
        for name, tensor in make_state(seed).items()
    }
    return state | dict(module.named_parameters())


def split(tensor: Tensor, world: World) -> Tensor:
    """Without a message: Gloo knows no 16-bit integers."""
    assert world.mesh is not None
    parts = tensor.chunk(world.size)
    mine = parts[world.rank] if world.rank < len(parts) else tensor[:0]
    shape, stride = tensor.shape, tensor.contiguous().stride()
    placements = [Shard(0)]
    return DTensor.from_local(mine.clone(), world.mesh, placements, shape=shape, stride=stride)


def same(tensors: dict[str, Tensor], seed: int, world: World) -> bool:
    expected = tensors_of_two(seed, world)
    return same_bits(
        *(
            {name: local_part(tensor) for name, tensor in each.items()}
            for each in (tensors, expected)
        )
    )


def open_both(directory: Path, world: World, identity: dict[str, Any] = IDENTITY) -> Checkpoints:
    return Checkpoints(directory, world, 2, identity)


def reshard(world: World, directory: Path) -> Any:
    """Continue what one rank wrote, and leave what one rank shall continue."""
    checkpoints, tensors = open_both(directory, world), tensors_of_two(0, world)
    assert checkpoints.load(tensors) == 1
    assert same(tensors, 1, world)
    checkpoints.save(2, tensors_of_two(2, world))
    checkpoints.wait()


def damage(world: World, directory: Path) -> Any:
    """In the file that rank 1 wrote."""
    checkpoints, tensors = open_both(directory, world), tensors_of_two(2, world)
    checkpoints.save(2, tensors)
    checkpoints.wait()
    if world.rank == 0:
        (directory / "checkpoint-00000002" / "__1_0.distcp").write_bytes(b"")
    assert checkpoints.load(tensors) == 1
    assert same(tensors, 1, world)


def identity(world: World, directory: Path) -> Any:
    open_both(directory, world, IDENTITY | {"corpus.seed": 8}).load(tensors_of_two(0, world))


def missing(world: World, directory: Path) -> Any:
    """A tensor that only rank 1 wants."""
    extra = {"extra": torch.zeros(1)} if world.rank == 1 else {}
    open_both(directory, world).load(tensors_of_two(0, world) | extra)


def beside(world: World, directory: Path) -> Any:
    """Sums of training, while the writer of rank 0 waits for that of rank 1."""
    when_writing(world, 1, partial(time.sleep, 0.5))
    checkpoints = open_both(directory, world)
    checkpoints.save(2, tensors_of_two(2, world))
    for place in range(50):
        assert world.sum(torch.tensor([float(place)])).item() == 2.0 * place
    assert not (directory / "checkpoint-00000002").exists()
    checkpoints.wait()
    assert (directory / "checkpoint-00000002").exists()


def full_disk(world: World, directory: Path) -> Any:
    """The kernel's own: a file into which nothing goes."""
    file = directory / ".checkpoint-00000002.tmp" / "__1_0.distcp"
    save_when(world, directory, 1, partial(file.symlink_to, "/dev/full"))


def killed_one(world: World, directory: Path) -> Any:
    save_when(world, directory, 1, partial(os.kill, os.getpid(), signal.SIGKILL))


def killed_zero(world: World, directory: Path) -> Any:
    save_when(world, directory, 0, partial(os.kill, os.getpid(), signal.SIGKILL))


def silent_one(world: World, directory: Path) -> Any:
    parallel.PATIENCE = timedelta(seconds=SILENCE_S)
    save_when(world, directory, 1, partial(os.kill, os.getpid(), signal.SIGSTOP))


def save_when(world: World, directory: Path, rank: int, event: Callable[[], None]) -> None:
    when_writing(world, rank, event)
    checkpoints = open_both(directory, world)
    checkpoints.save(2, tensors_of_two(2, world))
    checkpoints.wait()


def when_writing(world: World, rank: int, event: Callable[[], None]) -> None:
    """Let something happen when one rank begins to write."""
    real = CheckedWriter.write_data

    def write_data(self: CheckedWriter, *arguments: Any) -> Any:
        if world.rank == rank:
            event()
        return real(self, *arguments)

    CheckedWriter.write_data = write_data  # type: ignore[method-assign,assignment]


SCENARIOS = [
    reshard, damage, identity, missing, beside, full_disk, killed_one, killed_zero, silent_one
]  # fmt: skip


def play(scenario: Callable[[World, Path], Any], directory: Path, rank: int) -> None:
    meeting = f"file://{directory / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    world = World(rank, 2, rank, torch.device("cpu"), init_device_mesh("cpu", (2,)))
    began, said = time.monotonic(), "nothing"
    try:
        scenario(world, directory / "run")
    except UserError as error:
        said = str(error)
    told = {"said": said, "seconds": time.monotonic() - began, "names": names(directory / "run")}
    (directory / f"rank-{rank}").write_text(json.dumps(told))


def first(directory: Path) -> None:
    checkpoints = Checkpoints(directory, ALONE, 2, IDENTITY)
    checkpoints.save(1, tensors_of_one(1))
    checkpoints.wait()


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    for scenario in SCENARIOS:
        own = directory / scenario.__name__
        own.mkdir()
        assert end(start(partial(first, own / "run"))) == 0
        zero, one = (start(partial(play, scenario, own, rank)) for rank in range(2))
        print(scenario.__name__, end(zero), flush=True, end=" ")
        if scenario is silent_one:
            os.kill(one, signal.SIGKILL)
        print(end(one), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
