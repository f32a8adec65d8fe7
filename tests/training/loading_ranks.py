"""Three ranks that open the same models as one: `loading_ranks.py DIRECTORY`, with models in it.

What each rank has seen of each model goes to DIRECTORY/<rank>.pt.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed.fsdp  # before the processes part
from checkpoint_processes import end, start
from training_setup import SETTINGS, changed

from steep.core.errors import UserError
from steep.training import rank_loading
from steep.training.attention import document_boundaries, needs_no_masks
from steep.training.config import OptimizationConfig
from steep.training.parallel import World, connect, disconnect
from steep.training.prepare import prepare
from steep.training.rank_loading import open_model

RANKS = 3
IDS_BT = torch.arange(24).reshape(2, 12)
POSITIONS_BT = np.tile(np.arange(6), 4).reshape(2, 12)
BOUNDARIES_S = torch.from_numpy(document_boundaries(POSITIONS_BT))
EIGHT_BIT = changed(SETTINGS, optimizer="adamw-8bit-stochastic", compute="bfloat16")
SETTINGS_OF: dict[str, OptimizationConfig] = {
    "tied": SETTINGS,
    "bf16": EIGHT_BIT,
    "files": SETTINGS,
    "scaled": SETTINGS,
    "gpt2": SETTINGS,
    "experts": SETTINGS,
    "pickled": SETTINGS,
    "adapted": changed(SETTINGS, lora_rank=2, lora_alpha=4.0),
    "documents": changed(SETTINGS, isolate_documents=True),
    "leaking": changed(SETTINGS, isolate_documents=True),
}


def open_one(directory: Path, name: str, world: World) -> dict[str, Any]:
    """Return what a rank sees of a model."""
    settings = SETTINGS_OF[name]
    loads: list[Path] = []
    real = vars(rank_loading)["load_model"]

    def load_model(where: Path, dtype: torch.dtype) -> Any:
        loads.append(where)
        return real(where, dtype)

    vars(rank_loading)["load_model"] = load_model
    try:
        model, fill = open_model(directory / name, settings, world)
        module = prepare(model, settings, world, fill)
    except UserError as error:
        return {"problem": error.problem}
    finally:
        vars(rank_loading)["load_model"] = real
    isolated = settings.isolate_documents
    places = (torch.from_numpy(POSITIONS_BT), BOUNDARIES_S) if isolated else (None, None)
    loss = module(IDS_BT % 61, IDS_BT % 61, *places)
    loss.backward()
    head = model.get_output_embeddings().weight
    return {
        "loads": len(loads),
        "plain": module.plain_head,
        "masks": not needs_no_masks(model),
        "loss": loss.item(),
        "tied": head is model.get_input_embeddings().weight,
        "bos": model.generation_config.bos_token_id,
        "weights": {key: whole(each) for key, each in model.named_parameters()},
        "gradients": {
            key: whole(each.grad) for key, each in model.named_parameters() if each.requires_grad
        },
        "buffers": dict(model.named_buffers()),
    }


def whole(tensor: Any) -> torch.Tensor:
    full: torch.Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach()


def open_all(directory: Path, rank: int, port: int) -> None:
    """Be one of the ranks."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    world = connect()
    seen = {
        name: open_one(directory, name, world)
        for name in SETTINGS_OF
        if (directory / name).is_dir()
    }
    torch.save(seen, directory / f"{rank}.pt")
    disconnect(world)


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    ranks = [start(partial(open_all, directory, rank, port)) for rank in range(RANKS)]
    sys.exit(max(map(end, ranks)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
