"""Two processes that share a model and export it together: `exporting_ranks.py MODEL TARGET`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from training_setup import load_model, load_tokenizer

from steep.training.export import export_model
from steep.training.lora import add_lora


def changed(directory: Path, with_adapters: bool) -> Any:
    """A model that is not what lies on disk; the same in every process."""
    model = load_model(directory)
    if with_adapters:
        add_lora(model, 4, 8.0, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
            elif "norm" in name:
                parameter.mul_(1.5)
    return model


def export_sharded(rank: int, directory: Path, target: Path) -> None:
    """Be rank `rank` of two that meet at a file."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from steep.training.parallel import World, disconnect, shard

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{target}/meeting", rank=rank, world_size=2
    )
    world = World(rank, 2, rank, torch.device("cpu"), init_device_mesh("cpu", (2,)))
    for name, with_adapters in (("plain", False), ("adapted", True)):
        model = changed(directory, with_adapters)
        shard(model, list(model.model.layers), world, MixedPrecisionPolicy())
        with torch.no_grad():  # as a validation: the parameters of the root stay unsharded
            model(input_ids=torch.arange(8)[None])
        tokenizer = load_tokenizer(directory)
        export_model(model, tokenizer, target / name, world)
    disconnect(world)


def main(directory: str, target: str) -> None:
    """Fork, because importing takes longer than exporting."""
    other = os.fork()
    export_sharded(0 if other else 1, Path(directory), Path(target))
    if other:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
