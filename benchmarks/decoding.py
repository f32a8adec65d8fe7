"""Tokens/s of writing many short texts about one document on this machine, four ways in one run.

    python -m benchmarks.decoding [--rows 64] [--new 64] [--device cpu] [--repeats 1]

`generate` is transformers' own batched `model.generate`; `cache` a plain greedy loop over one
dynamic cache; `padded` and `shared` are those of `steep.llm.local.decoding`: `generate` with our
own sampler, as the engine `transformers` writes, and the common prefix kept once (on a CPU
only). All write greedily from the same prompts, and their texts are compared with those of `cache`.
On a GPU, weights are in bfloat16, and a turn that is not timed comes first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from steep.core.calls import Sampling
from steep.llm.local.client import load_model
from steep.llm.local.decoding import PromptGroup, decode, decode_padded
from steep.llm.local.devices import default_device
from steep.llm.local.sampling import RowSampler, SampledRow
from steep.llm.model_names import embedded_directory

PREFIX_TOKENS, TAIL_TOKENS = 300, 20
NO_END = frozenset([0])  # not written greedily here
# Writes so many tokens after a prefix and each tail.
Way = Callable[[Any, Tensor, Tensor, int], list[list[int]]]


def main() -> None:
    """Measure and print one line a way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(0)
    model, _ = load_model(embedded_directory(), options.device)
    prefix = torch.randint(100, 40_000, (PREFIX_TOKENS,)).to(model.device)
    tails = torch.randint(100, 40_000, (options.rows, TAIL_TOKENS)).to(model.device)
    ways: dict[str, Way] = {
        "cache": with_cache,
        "generate": with_generate,
        "padded": with_padded,
    }
    if model.device.type == "cpu":
        ways["shared"] = with_shared_prefix
    texts: dict[str, list[list[int]]] = {}
    for name, way in ways.items():
        if model.device.type == "cuda":
            way(model, prefix, tails, 4)
        for _ in range(options.repeats):
            start = time.perf_counter()
            texts[name] = way(model, prefix, tails, options.new)
            seconds = time.perf_counter() - start
            rate = options.rows * options.new / seconds
            same = sum(a == b for a, b in zip(texts["cache"], texts[name], strict=True))
            print(
                f"{name:9} {rate:9.1f} tokens/s  ({seconds:.1f} s), {same} of {options.rows} texts "
                "as cache",
                flush=True,
            )


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


@torch.inference_mode()
def with_padded(model: Any, prefix: Tensor, tails: Tensor, new: int) -> list[list[int]]:
    """Steep's decoder of whole prompts, with its sampler at temperature 0."""
    sampling = Sampling(temperature=0.0, max_tokens=new)
    rows = [SampledRow(sampling, [0.5] * new) for _ in tails]
    sampler = RowSampler(NO_END)
    prompts = [prefix.tolist() + tail for tail in tails.tolist()]

    def choose(logits_BV: Tensor, numbers: Sequence[int]) -> list[int | None]:
        return sampler.next_tokens(logits_BV, [rows[n] for n in numbers])

    decode_padded(model, prompts, choose, NO_END, new)
    return [row.tokens for row in rows]


def with_shared_prefix(model: Any, prefix: Tensor, tails: Tensor, new: int) -> list[list[int]]:
    """Steep's decoder."""

    def greedy(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        return list(logits_BV.argmax(-1).tolist())

    return decode(model, [PromptGroup(prefix.tolist(), tails.tolist())], greedy, new)


if __name__ == "__main__":
    main()
