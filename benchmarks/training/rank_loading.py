"""Memory and seconds of loading a model on several ranks of one machine, without a GPU.

    python -m benchmarks.training.rank_loading [RANKS]

A Llama of 125M parameters in bf16 files is loaded and sharded: each rank loads all of it, each
reads its rows, or the main rank loads and sends it. Printed for each rank: the highest private
memory (MiB above that of the process before, sampled) and the seconds until its shards are filled.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
import torch.distributed.checkpoint.state_dict
import torch.distributed.fsdp  # before the processes part
from accelerate import init_empty_weights  # noqa: F401
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig  # noqa: F401

from steep.training import rank_loading
from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.loading import load_model
from steep.training.parallel import connect, disconnect
from steep.training.prepare import prepare, weight_dtype

CONFIG = LlamaConfig(
    vocab_size=32_000,
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=4,
)
WAYS = ("each loads all", "each reads its rows", "main rank sends")
MIB = 2**20


def private_bytes() -> int:
    """Return the private memory of this process."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def load(directory: Path, way: str, optimizer: OptimizerName, result: Path) -> None:
    """Be one rank; write the seconds and the memory of loading."""
    world = connect()
    settings = OptimizationConfig(
        optimizer=optimizer, compute="bfloat16", compile="none", batch_sequences=2
    )
    if way == WAYS[2]:
        vars(rank_loading)["_has_parameters_as_tensors"] = lambda *_: False
    before, ended = private_bytes(), threading.Event()
    highest = [before]

    def sample() -> None:
        while not ended.wait(0.002):
            highest[0] = max(highest[0], private_bytes())

    sampler = threading.Thread(target=sample)
    sampler.start()
    began, found = time.monotonic(), []

    def note() -> None:
        found.extend([(highest[0] - before) / MIB, time.monotonic() - began])
        ended.set()

    if way == WAYS[0]:
        prepare(load_model(directory, weight_dtype(settings)), settings, world)
        note()
    else:
        model, fill = rank_loading.open_model(directory, settings, world)
        assert fill is not None

        def noted(module: torch.nn.Module) -> None:
            fill(module)
            note()

        prepare(model, settings, world, noted)
    sampler.join()
    result.write_text(json.dumps(found))
    disconnect(world)


def on_ranks(ranks: int, work: Callable[[], None]) -> None:
    """Run `work` on forked ranks."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    children = []
    for rank in range(ranks):
        if (child := os.fork()) == 0:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in place.items()})
            os.environ.update(MASTER_ADDR="127.0.0.1")
            work()
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def main(ranks: int = 2) -> None:
    """Print a table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        model = AutoModelForCausalLM.from_config(CONFIG, dtype=torch.bfloat16)
        model.save_pretrained(directory / "model")
        print(f"{sum(each.numel() for each in model.parameters()):,} parameters")
        del model
        optimizers: tuple[OptimizerName, ...] = ("adamw", "adamw-8bit-stochastic")
        for optimizer, way in product(optimizers, WAYS):

            def work(optimizer: OptimizerName = optimizer, way: str = way) -> None:
                result = directory / f"{os.environ['RANK']}.json"
                load(directory / "model", way, optimizer, result)

            on_ranks(ranks, work)
            for rank in range(ranks):
                filled, seconds = json.loads((directory / f"{rank}.json").read_text())
                cells = f"{filled:,.0f} | {seconds:.1f}"
                print(f"| {optimizer} | {way} | {rank} | {cells} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
