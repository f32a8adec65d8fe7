"""What a decoder layer keeps for the backward pass, measured against `steep.training.memory.KEPT`.

    python benchmarks/training/kept_activations.py

Counts the storages that autograd saves in the trunk of small Llamas (hooks, no timing), for fp32,
bf16 and bf16 autocast, eager and compiled, and says what that is for Llama 3 8B. Takes
two minutes on one core.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from steep.core.formatting import GIB
from steep.training.memory import KEPT
from steep.training.prepare import compile_layers

HIDDEN, KEYS, INTERMEDIATE, HEADS = 256, 64, 704, 8
ROWS, CONTEXT = 2, 256
LLAMA_8B = {"hidden": 4096, "attention": 4096 + 1024, "intermediate": 14336, "layers": 32}


def saved_bytes(layers: int, precision: str, compiled: bool) -> int:
    """Bytes that autograd keeps in the trunk of a model of so many layers, without its weights."""
    torch._dynamo.reset()
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=HIDDEN,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS * HEADS // HIDDEN,
    )
    autocast = precision == "autocast"
    dtype = torch.float32 if autocast else getattr(torch, precision)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).train()
    if compiled:
        compile_layers(model.model.layers)
    ids = torch.randint(0, 512, (ROWS, CONTEXT), generator=torch.Generator().manual_seed(0))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, Any] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        kept_alive = model.base_model(input_ids=ids, use_cache=False)
    total: int = sum(storage.nbytes() for storage in storages.values())
    del kept_alive
    return total


def layer_bytes(precision: str, compiled: bool) -> float:
    """Bytes that one layer keeps of one token, without autocast's copies of weights."""
    difference = saved_bytes(4, precision, compiled) - saved_bytes(2, precision, compiled)
    matrices = HIDDEN * (2 * HIDDEN + 2 * KEYS + 3 * INTERMEDIATE)
    copies = 2 * matrices if precision == "autocast" and not compiled else 0
    return (difference / 2 - copies) / (ROWS * CONTEXT)


def expected(precision: str, compiled: str) -> int:
    """What the table says of this layer."""
    kept = KEPT[precision, compiled]
    attention = kept.attention * (HIDDEN + KEYS)
    return kept.hidden * HIDDEN + attention + kept.intermediate * INTERMEDIATE


def main() -> None:
    """Print the table."""
    for (precision, compiled), kept in KEPT.items():
        measured = layer_bytes(precision, compiled == "layers")
        row = sum(size * LLAMA_8B[name] for name, size in kept._asdict().items())
        print(
            f"{precision:9} compile {compiled:7} {measured:7.0f} B a token and layer, table "
            f"{expected(precision, compiled):6}; Llama 3 8B, 2048 tokens: "
            f"{2048 * LLAMA_8B['layers'] * row / GIB:.2f} GiB"
        )


if __name__ == "__main__":
    main()
