"""Memory and seconds of loading a model on several ranks of one machine, without a GPU.

    python -m benchmarks.training.rank_loading [RANKS]

A Llama of 109M parameters in bf16 files is loaded until its shards are ready to train: each rank
loads all of it, each reads its rows, or the main rank loads and sends it. Numbers are MiB above the
memory of the process before: its highest resident set (with the pages of files, which ranks share),
its highest private memory (sampled), and its private memory at the end.
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
STATUS = Path("/proc/self/status")


def bytes_of(field: str) -> int:
    """Return a field of the memory of this process."""
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    assert found, field
    return int(found[1]) * 1024


def load(directory: Path, way: str, optimizer: OptimizerName, result: Path) -> None:
    """Be one rank; write the seconds and the memory of loading."""
    world = connect()
    settings = OptimizationConfig(
        optimizer=optimizer, compute="bfloat16", compile="none", batch_sequences=2
    )
    if way == WAYS[2]:
        vars(rank_loading)["_has_parameters_as_tensors"] = lambda *_: False
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    resident, private, ended = bytes_of("VmRSS"), bytes_of("RssAnon"), threading.Event()
    highest = [private]

    def sample() -> None:
        while not ended.wait(0.005):
            highest[0] = max(highest[0], bytes_of("RssAnon"))

    sampler = threading.Thread(target=sample)
    sampler.start()
    began = time.monotonic()
    if way == WAYS[0]:
        prepare(load_model(directory, weight_dtype(settings)), settings, world)
    else:
        model, fill = rank_loading.open_model(directory, settings, world)
        prepare(model, settings, world, fill)
    seconds = time.monotonic() - began
    ended.set()
    sampler.join()
    sizes = (bytes_of("VmHWM") - resident, highest[0] - private, bytes_of("RssAnon") - private)
    result.write_text(json.dumps([seconds, *(size / MIB for size in sizes)]))
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
                seconds, *sizes = json.loads((directory / f"{rank}.json").read_text())
                cells = " | ".join(f"{size:,.0f}" for size in sizes)
                print(f"| {optimizer} | {way} | {rank} | {cells} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
