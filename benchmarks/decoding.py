"""Tokens/s of writing many short texts about one document on this machine, three ways in one run.

    python benchmarks/decoding.py [--rows 64] [--new 64]

`generate` is transformers' own batched `model.generate`; `cache` a plain greedy loop over one
dynamic cache; `shared` is `steep.llm.local.decoding`, which keeps the common prefix once. All three
write greedily from the same prompts; the texts of `cache` and `shared` are compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from steep.llm.local.decoding import PromptGroup, decode
from steep.llm.model_names import embedded_directory

PREFIX_TOKENS, TAIL_TOKENS = 300, 20


def main() -> None:
    """Measure and print one line a way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(embedded_directory(), dtype=torch.float32).eval()
    prefix = torch.randint(100, 40_000, (PREFIX_TOKENS,))
    tails = torch.randint(100, 40_000, (options.rows, TAIL_TOKENS))
    ways: dict[str, Callable[[], list[list[int]]]] = {
        "generate": lambda: with_generate(model, prefix, tails, options.new),
        "cache": lambda: with_cache(model, prefix, tails, options.new),
        "shared": lambda: with_shared_prefix(model, prefix, tails, options.new),
    }
    texts = {name: timed(name, way, options.rows * options.new) for name, way in ways.items()}
    same = sum(a == b for a, b in zip(texts["cache"], texts["shared"], strict=True))
    print(f"equal texts of cache and shared: {same} of {options.rows}")


def timed(name: str, way: Callable[[], list[list[int]]], tokens: int) -> list[list[int]]:
    """Run one way and print its rate, prefill included."""
    start = time.perf_counter()
    texts = way()
    seconds = time.perf_counter() - start
    print(f"{name:9} {tokens / seconds:7.1f} tokens/s  ({seconds:.1f} s)")
    return texts


@torch.inference_mode()
def with_generate(model: Any, prefix: Tensor, tails: Tensor, new: int) -> list[list[int]]:
    """Transformers' batched generation."""
    ids = torch.cat([prefix.expand(len(tails), -1), tails], dim=1)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=new,
        max_new_tokens=new,
    )  # fmt: skip
    return [row.tolist() for row in out[:, ids.shape[1] :]]


@torch.inference_mode()
def with_cache(model: Any, prefix: Tensor, tails: Tensor, new: int) -> list[list[int]]:
    """A plain loop; the prefix is computed once and its cache repeated for every row."""
    cache = DynamicCache(config=model.config)
    model(prefix[None], past_key_values=cache, logits_to_keep=1)
    cache.batch_repeat_interleave(len(tails))
    ids, written = tails, []
    for _ in range(new):
        ids = model(ids, past_key_values=cache, logits_to_keep=1).logits.argmax(-1)
        written.append(ids)
    rows: list[list[int]] = torch.cat(written, dim=1).tolist()
    return rows


def with_shared_prefix(model: Any, prefix: Tensor, tails: Tensor, new: int) -> list[list[int]]:
    """Steep's decoder."""

    def greedy(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        return list(logits_BV.argmax(-1).tolist())

    return decode(model, [PromptGroup(prefix.tolist(), tails.tolist())], greedy, new)


if __name__ == "__main__":
    main()
