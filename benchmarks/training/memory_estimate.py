"""The highest memory of a real step at SmolLM2-135M's shape against `training/memory.py`.

    python benchmarks/training/memory_estimate.py --rows 1

In fp32 on a processor (Linux), random weights, two micro-batches of 256-token rows and a fused
AdamW step; no checkpoint is staged. One run a process, since memory once taken stays.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from steep.core.formatting import GIB
from steep.training.config import OptimizationConfig
from steep.training.loss import CausalLoss
from steep.training.memory import estimate_memory
from steep.training.model_dims import shape_of
from steep.training.optimizers import make_optimizer

CONTEXT = 256
SMOLLM2_135M = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
)


def process_bytes(field: str) -> int:
    """Memory of this process: `VmRSS` now, `VmHWM` at its highest."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def main() -> None:
    """Train a step and print the two figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1, help="of a micro-batch")
    rows: int = parser.parse_args().rows
    before = process_bytes("VmRSS")
    model = AutoModelForCausalLM.from_config(SMOLLM2_135M)
    settings = OptimizationConfig(
        context_tokens=CONTEXT,
        batch_sequences=2 * rows,
        micro_batch_sequences=rows,
        compute="float32",
        compile="none",
    )
    optimizer = make_optimizer(model.named_parameters(), settings)
    loss, ids_BT = CausalLoss(model), torch.zeros(rows, CONTEXT, dtype=torch.long)
    for _ in range(2):
        loss(ids_BT, ids_BT, None).backward()
    optimizer.step()
    taken = process_bytes("VmHWM") - before
    total = estimate_memory(shape_of(model), settings).total
    print(
        f"{rows} x {CONTEXT}: {taken / GIB:.2f} GiB taken, {total / GIB:.2f} estimated, "
        f"ratio {taken / total:.2f}"
    )


if __name__ == "__main__":
    main()
