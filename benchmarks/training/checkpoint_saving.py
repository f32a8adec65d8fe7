"""How long a checkpoint of 1 GB holds up training, how long it takes behind, and what else costs.

    python benchmarks/training/checkpoint_saving.py DIRECTORY

Five saves in one run, medians: seconds until `save` returns (the first takes the host memory, too),
until the checkpoint is whole, and of a load, which reads every byte twice: for its checksum and for
the tensor. Beside them DCP alone and `torch.save`, both with fsync, both blocking all the while.
Then a matrix product over and over, on all cores but one: how much slower while the writer writes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save

from steep.training.checkpoint import Checkpoints
from steep.training.parallel import World

SAVES = 5
ALONE = World(0, 1, 0, torch.device("cpu"))


def make_state() -> dict[str, Tensor]:
    """Return about 1 GB of weights and codes, as adamw-8bit-stochastic keeps them."""
    shape = (4096, 4096)
    kinds = {"weight": torch.bfloat16, "first": torch.int8, "second": torch.uint8}
    return {
        f"{place}.{kind}": torch.randint(0, 127, shape, dtype=torch.uint8).to(dtype)
        for place in range(15)
        for kind, dtype in kinds.items()
    }


def seconds(work: Callable[[], object]) -> float:
    """Of wall time."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def with_dcp(directory: Path, state: dict[str, Tensor]) -> None:
    """What DCP does by itself."""
    save(state, storage_writer=FileSystemWriter(directory / "dcp"), no_dist=True)
    shutil.rmtree(directory / "dcp")


def with_torch(directory: Path, state: dict[str, Tensor]) -> None:
    """A file."""
    with (directory / "state.pt").open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    (directory / "state.pt").unlink()


def products_per_s(go_on: Callable[[int], bool]) -> float:
    """Matrix products, one after another, while `go_on`."""
    one, done, began = torch.randn(512, 512), 0, time.perf_counter()
    while go_on(done):
        one @ one
        done += 1
    return done / (time.perf_counter() - began)


def main(directory: Path) -> None:
    """Print the table."""
    warnings.filterwarnings("ignore", message="torch.distributed is disabled")
    state = make_state()
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    checkpoints = Checkpoints(directory, ALONE, 1, {})
    blocked, whole, dcp, plain = [], [], [], []
    for step in range(1, SAVES + 2):
        blocked.append(seconds(lambda step=step: checkpoints.save(step, state)))  # type: ignore[misc]
        whole.append(blocked[-1] + seconds(checkpoints.wait))
        dcp.append(seconds(lambda: with_dcp(directory, state)))
        plain.append(seconds(lambda: with_torch(directory, state)))
    load = seconds(lambda: Checkpoints(directory, ALONE, 1, {}).load(state))
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    alone = products_per_s(lambda done: done < 300)
    checkpoints.save(99, state)
    beside = products_per_s(lambda _: not (directory / "checkpoint-00000099").exists())
    checkpoints.close()
    print(f"{size / 1e9:.2f} GB, torch {torch.__version__}, {SAVES} saves after the first")
    print(f"save blocks, first   {blocked[0]:.3f} s")
    for name, values in {
        "save blocks": blocked,
        "checkpoint is whole": whole,
        "dcp.save, blocking": dcp,
        "torch.save, blocking": plain,
    }.items():
        later = values[1:]
        print(f"{name:<20} {statistics.median(later):.3f} s ({min(later):.3f}-{max(later):.3f})")
    print(f"load                 {load:.3f} s")
    print(f"products per second  {alone:.1f} alone, {beside:.1f} beside the writer")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
