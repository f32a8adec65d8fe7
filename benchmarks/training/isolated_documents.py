"""Isolated documents with and without masks: seconds of forward and backward, and peak memory.

    python -m benchmarks.training.isolated_documents --layers 4 --tokens 2048

A model of the shape of SmolLM2-135M with few layers, random weights and random ids; documents of
500 tokens on average. Each way runs in a process of its own, for its peak memory, and they take
turns. Compare ratios: seconds depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from steep.core.formatting import GIB
from steep.tokens.mixture import RowBatch, positions_of
from steep.training.config import OptimizationConfig
from steep.training.parallel import World
from steep.training.prepare import computing, on_device, prepare, weight_dtype

WAYS = ("masks", "documents", "joined")


def measure(way: str, layers: int, tokens: int, rows: int, passes: int) -> dict[str, Any]:
    """Return the median seconds of a pass and the peak bytes of this process or device."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = OptimizationConfig(
        context_tokens=tokens,
        micro_batch_sequences=rows,
        isolate_documents=way != "joined",
        compute="bfloat16" if device.type == "cuda" else "float32",
        compile="layers" if device.type == "cuda" else "none",
    )
    config = LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=weight_dtype(settings))
    world = World(0, 1, 0, device)
    generator = np.random.default_rng(0)
    ids_BT = generator.integers(0, config.vocab_size, (rows, tokens))
    positions_BT = positions_of(generator.random((rows, tokens)) < 1 / 500)
    batch = RowBatch(ids_BT, np.roll(ids_BT, -1, 1), None if way == "joined" else positions_BT)
    keep = mock.patch("steep.training.prepare.drop_masks", lambda *_: False)
    with keep if way == "masks" else nullcontext():
        module = prepare(model, settings, world)
    times, loss = [], torch.zeros(())
    for _ in range(passes):
        began = time.perf_counter()
        with computing(settings, world):
            loss = module(*on_device(batch, device)) / ids_BT.size
        loss.backward()
        value = loss.item()
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_reserved()
    return {"way": way, "s": statistics.median(times[1:]), "peak": peak, "loss": value}


def main() -> None:
    """Print a table of all ways."""
    parser = argparse.ArgumentParser()
    for name, default in (
        ("layers", 4),
        ("tokens", 2048),
        ("rows", 1),
        ("passes", 6),
        ("turns", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS, help="measure one way in this process")
    options = parser.parse_args()
    if options.way:
        sizes = (options.layers, options.tokens, options.rows, options.passes)
        print(json.dumps(measure(options.way, *sizes)))
        return
    for turn in range(options.turns):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.training.isolated_documents"]
            command += [*sys.argv[1:], "--way", way]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"turn {turn + 1}: {way:9} {row['s']:8.4f} s, peak {row['peak'] / GIB:6.2f} GiB, "
                f"loss {row['loss']:.5f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
