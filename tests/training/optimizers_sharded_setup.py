"""Two processes that train sharded weights, and the one that trains them whole.

As a script, DIRECTORY: fork two gloo processes that take the steps on shards and save weights and
states of each kind as a checkpoint.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.optimizers import make_optimizer, state_tensors

KINDS = get_args(OptimizerName)
STEPS, RANKS = 3, 2
# Rows that two ranks share evenly, unevenly, and not at all.
SHAPES = {"even": (6, 64), "odd": (5, 2, 32), "single": (1, 48), "norm": (7,)}


def make_module(kind: str) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float32 if kind == "adamw" else torch.bfloat16
    module = nn.Module()
    for name, shape in SHAPES.items():
        weight = torch.randn(shape, generator=generator) * 0.02
        module.register_parameter(name, nn.Parameter(weight.to(dtype)))
    return module


def make(module: nn.Module, kind: OptimizerName) -> torch.optim.Optimizer:
    settings = OptimizationConfig(
        optimizer=kind, learning_rate=1e-3, weight_decay=0.1, seed=4, compile="none"
    )
    return make_optimizer(module.named_parameters(), settings)


def train(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        for parameter in module.parameters():
            gradient: Any = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
            if isinstance(parameter, DTensor):
                gradient = distribute_tensor(gradient, parameter.device_mesh, parameter.placements)
            parameter.grad = gradient
        optimizer.step()


def tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return weights | state_tensors(optimizer)


def run_rank(directory: Path, rank: int) -> None:
    address = (directory / "store").as_uri()
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=RANKS)
    mesh = init_device_mesh("cpu", (RANKS,))
    for kind in KINDS:
        module = make_module(kind)
        fully_shard(module, mesh=mesh)
        optimizer = make(module, kind)
        train(module, optimizer)
        save(tensors(module, optimizer), checkpoint_id=directory / kind)
    dist.destroy_process_group()


def main(directory: str) -> None:
    torch.set_num_threads(1)
    children = []
    for rank in range(RANKS):
        child = os.fork()
        if child == 0:
            run_rank(Path(directory), rank)
            os._exit(0)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, statuses)))


if __name__ == "__main__":
    main(*sys.argv[1:])
