"""Batched decoding over shared prompt prefixes, for any Hugging Face causal LM, on plain PyTorch.

Calls of one document share a long prefix (instructions and document) and differ in a short tail.
`transformers` would keep one copy of the prefix's keys and values per row, copy all of them at
every step (a dynamic cache concatenates), and repeat them for grouped queries. Here the prefix of
a group is computed and kept once, its attention is one matrix product for all rows of the group,
and each row owns only its tail, written in place. On two CPU cores with SmolLM2-135M, 64 rows and
a prefix of 400 tokens that is 186 tokens/s instead of 54, with identical tokens; see
`benchmarks/decoding.py`.

Shapes: B rows, T new positions, P prefix positions, S tail positions, H key-value heads,
G query heads a key-value head, D head dimension, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from steep.core.cache_argument import cache_argument

ATTENTION = "steep_shared_prefix"
GROW_TOKENS = 64  # the tails' cache grows by so many positions at a time
COMPACT_SHARE = 0.75  # rows are moved together when fewer than this share of them are unfinished


class PromptGroup(NamedTuple):
    """Prompts (token ids) with a common prefix; every tail holds at least one token."""

    prefix: list[int]
    tails: list[list[int]]


class Prefix(NamedTuple):
    """Keys and values of one group's prefix: a (H, P, D) pair for each layer."""

    keys: list[Tensor]
    values: list[Tensor]


# From the logits of one position (B, V) of the rows named, the next token of each, or None to stop.
Chooser = Callable[[Tensor, Sequence[int]], list[int | None]]


@dataclass
class TailCache:
    """Keys and values of the rows' own tokens; has the interface of a `transformers` cache.

    `rows` are the numbers of the prompts that are still in the batch, in order; the rows of a group
    stand together, so `spans` finds each group as a range of them.
    """

    prefixes: list[Prefix]
    group_of_row: list[int]
    pad_BS: Tensor  # True where a left-padded tail holds nothing
    rows: list[int]
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    length: int = 0
    is_compileable = False

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions already cached; `transformers` asks."""
        return self.length

    def update(
        self, keys_BHTD: Tensor, values_BHTD: Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Write new positions in place and return all tail keys and values of the layer."""
        end = self.length + keys_BHTD.shape[2]
        if layer == len(self.keys):
            self.keys.append(keys_BHTD.new_empty(0))
            self.values.append(values_BHTD.new_empty(0))
        self.keys[layer] = _written(self.keys[layer], keys_BHTD, self.length)
        self.values[layer] = _written(self.values[layer], values_BHTD, self.length)
        if layer == len(self.prefixes[0].keys) - 1:
            self.length = end
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def spans(self) -> Iterator[tuple[Prefix, slice]]:
        """Each group's prefix with the range of its rows in the batch."""
        start = 0
        groups = [self.group_of_row[row] for row in self.rows]
        for position in range(1, len(groups) + 1):
            if position == len(groups) or groups[position] != groups[start]:
                yield self.prefixes[groups[start]], slice(start, position)
                start = position

    def keep(self, positions: Sequence[int]) -> None:
        """Drop all rows but those at these positions of the batch."""
        index = torch.tensor(positions)
        self.rows = [self.rows[position] for position in positions]
        self.pad_BS = self.pad_BS[index]
        for layer in range(len(self.keys)):  # one layer at a time: both copies never exist at once
            self.keys[layer] = self.keys[layer][index]
            self.values[layer] = self.values[layer][index]


def _written(cache: Tensor, new_BHTD: Tensor, length: int) -> Tensor:
    batch, heads, count, dim = new_BHTD.shape
    if cache.dim() != 4 or cache.shape[2] < length + count:
        grown = new_BHTD.new_empty(batch, heads, length + count + GROW_TOKENS, dim)
        if length:
            grown[:, :, :length] = cache[:, :, :length]
        cache = grown
    cache[:, :, length : length + count] = new_BHTD
    return cache


def shared_prefix_attention(
    module: Any,
    query_BNTD: Tensor,
    key_BHSD: Tensor,
    value_BHSD: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    tail_cache: TailCache | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend to the group's prefix (one product for all its rows) and to the row's own tail."""
    assert tail_cache is not None, "the model was set to shared-prefix attention outside decode()"
    batch, heads_q, new, dim = query_BNTD.shape
    heads, tail = key_BHSD.shape[1:3]
    query = (query_BNTD * scaling).reshape(batch, heads, -1, dim)  # (B, H, G*T, D)
    own = torch.matmul(query, key_BHSD.transpose(2, 3))
    own.masked_fill_(_hidden(tail_cache, new, tail, query.shape[2] // new), float("-inf"))
    out = torch.empty_like(query)
    for prefix, rows in tail_cache.spans():
        keys, values = prefix.keys[module.layer_idx], prefix.values[module.layer_idx]
        flat = query[rows].transpose(0, 1).reshape(heads, -1, dim)  # (H, rows*G*T, D)
        to_prefix = torch.matmul(flat, keys.transpose(1, 2)).view(
            heads, -1, query.shape[2], keys.shape[1]
        )
        weights = torch.cat([to_prefix.transpose(0, 1), own[rows]], dim=-1).softmax(dim=-1)
        on_prefix, on_tail = torch.split(weights, [keys.shape[1], tail], dim=-1)
        from_prefix = torch.matmul(
            on_prefix.transpose(0, 1).reshape(heads, -1, keys.shape[1]), values
        ).view(heads, -1, query.shape[2], dim)
        out[rows] = torch.matmul(on_tail, value_BHSD[rows]) + from_prefix.transpose(0, 1)
    return out.view(batch, heads_q, new, dim).transpose(1, 2), None


def _hidden(cache: TailCache, new: int, tail: int, repeats: int) -> Tensor:
    """True where a query must not look: at padding, and (in a prompt's tail) ahead of itself."""
    pad = cache.pad_BS.new_zeros(len(cache.rows), tail)
    known = min(tail, cache.pad_BS.shape[1])
    pad[:, :known] = cache.pad_BS[:, :known]
    hidden = pad[:, None, None, :]
    if new > 1:
        ahead = torch.ones(new, tail, dtype=torch.bool).triu(tail - new + 1)
        hidden = hidden | ahead.repeat(repeats, 1)
    return hidden


@torch.inference_mode()
def decode(
    model: Any,
    groups: Sequence[PromptGroup],
    choose: Chooser,
    max_new_tokens: int,
    on_step: Callable[[int], None] = lambda rows: None,
    prefixes: Sequence[Prefix] | None = None,
) -> list[list[int]]:
    """Write a continuation of every prompt.

    Args:
        model: A Hugging Face causal LM in evaluation mode whose attention is replaceable.
        groups: The prompts, those with a common prefix together.
        choose: Picks the next token of each row from its logits; None ends the row.
        max_new_tokens: Maximum new tokens per row.
        on_step: Called after every step with the number of tokens just written.
        prefixes: The results of `prefill` for the groups, if known.

    Returns:
        The new token ids of each prompt, in the order of the groups and their tails.
    """
    if prefixes is None:
        prefixes = [prefill(model, group.prefix) for group in groups]
    tails = [tail for group in groups for tail in group.tails]
    group_of_row = [number for number, group in enumerate(groups) for _ in group.tails]
    longest = max(len(tail) for tail in tails)
    pads = [longest - len(tail) for tail in tails]
    pad_BS = torch.arange(longest)[None] < torch.tensor(pads)[:, None]
    cache = TailCache(list(prefixes), group_of_row, pad_BS, list(range(len(tails))))
    ids_BT = torch.tensor([[0] * pad + tail for pad, tail in zip(pads, tails, strict=True)])
    # A row's first real tail token stands right behind its prefix.
    offset_B = torch.tensor(
        [len(groups[g].prefix) - pad for g, pad in zip(group_of_row, pads, strict=True)]
    )
    written: list[list[int]] = [[] for _ in tails]
    with _attention(model, ATTENTION):
        _decode_loop(model, cache, ids_BT, offset_B, choose, max_new_tokens, written, on_step)
    return written


def _decode_loop(
    model: Any,
    cache: TailCache,
    ids_BT: Tensor,
    offset_B: Tensor,
    choose: Chooser,
    max_new_tokens: int,
    written: list[list[int]],
    on_step: Callable[[int], None],
) -> None:
    done: set[int] = set()
    known = {cache_argument(model.forward): cache}
    for _ in range(max_new_tokens):
        positions = offset_B[cache.rows, None] + torch.arange(ids_BT.shape[1]) + cache.length
        logits_BV = model(
            input_ids=ids_BT,
            position_ids=positions.clamp_min(0),
            use_cache=True,
            logits_to_keep=1,
            tail_cache=cache,
            **known,
        ).logits[:, -1]
        chosen = choose(logits_BV, cache.rows)
        for row, token in zip(cache.rows, chosen, strict=True):
            if token is None:
                done.add(row)
            elif row not in done:
                written[row].append(token)
        alive = [i for i, row in enumerate(cache.rows) if row not in done]
        on_step(len(alive))
        if not alive:
            return
        if len(alive) < COMPACT_SHARE * len(cache.rows):
            cache.keep(alive)
            chosen = [chosen[i] for i in alive]
        ids_BT = torch.tensor([[token or 0] for token in chosen])


@torch.inference_mode()
def decode_padded(
    model: Any,
    prompts: Sequence[list[int]],
    choose: Chooser,
    end_ids: frozenset[int],
    max_new_tokens: int,
    on_step: Callable[[int], None] = lambda rows: None,
) -> None:
    """Write a continuation of every prompt with the model's own `generate()`, on any device.

    The batch lasts as long as its longest text, and each row keeps its own copy of the prompt.
    The new tokens are those that `choose` has returned.
    """
    from transformers import LogitsProcessorList

    end = min(end_ids)
    longest = max(len(prompt) for prompt in prompts)
    pads = [longest - len(prompt) for prompt in prompts]
    ids_BT = torch.tensor([[end] * n + ids for n, ids in zip(pads, prompts, strict=True)])
    mask_BT = (torch.arange(longest)[None] >= torch.tensor(pads)[:, None]).long()
    rows = range(len(prompts))

    def leave_one_token(ids_BT: Tensor, scores_BV: Tensor) -> Tensor:
        chosen = choose(scores_BV, rows)
        on_step(sum(token is not None for token in chosen))
        peaks_BV = torch.full_like(scores_BV, float("-inf"))
        peaks_BV[rows, [end if token is None else token for token in chosen]] = 0.0
        return peaks_BV

    model.generate(
        ids_BT.to(model.device),
        attention_mask=mask_BT.to(model.device),
        logits_processor=LogitsProcessorList([leave_one_token]),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(end_ids),
        pad_token_id=end,
    )


@torch.inference_mode()
def prefill(model: Any, prefix: list[int]) -> Prefix:
    """Run a prefix once, batch 1, and keep its keys and values."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with _attention(model, "sdpa"):
        known = {cache_argument(model.forward): cache}
        model(input_ids=torch.tensor([prefix]), logits_to_keep=1, **known)
    return Prefix([layer.keys[0] for layer in cache.layers], [x.values[0] for x in cache.layers])


@contextmanager
def _attention(model: Any, name: str) -> Iterator[None]:
    """Give the model another attention implementation, and put its own back afterwards."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, shared_prefix_attention)
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
