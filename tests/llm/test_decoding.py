"""Batched decoding writes what a plain loop over single prompts writes, token by token."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from steep.llm.local.decoding import GROW_TOKENS, PromptGroup, decode
from steep.testing.tiny_corpus import DOCUMENTS

# Three documents; of each some questions of different lengths.
GROUPS = [
    (DOCUMENTS[0].text, ["Who?", " And what was it made of, in which year, and by whom?", "x"]),
    (DOCUMENTS[1].text[:70], ["One prompt alone."]),
    (DOCUMENTS[2].text, ["How", "How much?", "1", "When did the firm of Hask close?"]),
]
ROWS = sum(len(tails) for _, tails in GROUPS)


@pytest.fixture(scope="module")
def model(tiny_directory: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(tiny_directory).eval()
    return sharpen(model)


@pytest.fixture(scope="module")
def groups(tiny_directory: Path) -> list[PromptGroup]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text).input_ids
        return ids

    return [PromptGroup(encode(text), [encode(tail) for tail in tails]) for text, tails in GROUPS]


def sharpen(model: Any) -> Any:
    """Fresh weights are so small that every token gets the same chance; make them differ."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
    return model


@torch.no_grad()
def one_at_a_time(model: Any, groups: Sequence[PromptGroup], limits: Sequence[int]) -> list[Any]:
    """The plain loop: one prompt, no cache, the likeliest token."""
    prompts = [group.prefix + tail for group in groups for tail in group.tails]
    written = []
    for prompt, limit in zip(prompts, limits, strict=True):
        ids = list(prompt)
        for _ in range(limit):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        written.append(ids[len(prompt) :])
    return written


class Greedy:
    """Takes the likeliest token; a row ends at its limit. Remembers which rows it was asked for."""

    def __init__(self, limits: Sequence[int]) -> None:
        self.limits = limits
        self.steps: list[list[int]] = []

    def __call__(self, logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        step = len(self.steps)
        self.steps.append(list(rows))
        best = logits_BV.argmax(dim=1).tolist()
        return [
            token if step < self.limits[row] else None
            for row, token in zip(rows, best, strict=True)
        ]


@pytest.mark.parametrize(
    "limits",
    [
        [12] * ROWS,
        [12, 3, 0, 7, 1, 12, 12, 5],
        [0, 0, 0, 9, 0, 0, 0, 0],
        [1, 2, 3, 4, 5, 6, 7, 8],
    ],
    ids=["all to the end", "ragged", "one group is left", "one after the other"],
)
def test_many_groups_are_written_as_one_prompt_at_a_time(
    model: Any, groups: list[PromptGroup], limits: list[int]
) -> None:
    choose = Greedy(limits)
    written_at: list[int] = []
    written = decode(model, groups, choose, 12, written_at.append)
    assert written == one_at_a_time(model, groups, limits)
    assert sum(written_at) == sum(limits)
    batches = [len(rows) for rows in choose.steps]
    assert batches == sorted(batches, reverse=True)
    assert batches[-1] <= max(1, sum(limit == max(limits) for limit in limits) / 0.75)


@pytest.mark.parametrize("number", range(len(GROUPS)))
def test_a_group_alone_is_written_as_in_company(
    model: Any, groups: list[PromptGroup], number: int
) -> None:
    starts = [0, *itertools.accumulate(len(group.tails) for group in groups)]
    together = decode(model, groups, Greedy([9] * ROWS), 9)
    alone = decode(model, [groups[number]], Greedy([9] * ROWS), 9)
    assert alone == together[starts[number] : starts[number + 1]]


def test_texts_outgrow_the_room_first_made_for_them(model: Any, groups: list[PromptGroup]) -> None:
    length = GROW_TOKENS + 9
    written = decode(model, groups[1:2], Greedy([length]), length)
    assert written == one_at_a_time(model, groups[1:2], [length])


def test_rows_are_cut_off_at_the_limit(model: Any, groups: list[PromptGroup]) -> None:
    written = decode(model, groups, Greedy([50] * ROWS), 4)
    assert [len(ids) for ids in written] == [4] * ROWS


def test_the_model_is_left_as_it_was(model: Any, groups: list[PromptGroup]) -> None:
    def stumble(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        raise RuntimeError("in the middle")

    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="in the middle"):
        decode(model, groups, stumble, 4)
    assert model.config._attn_implementation == before
    with torch.no_grad():
        assert model(input_ids=torch.tensor([groups[1].prefix])).logits.isfinite().all()


def test_other_architectures_and_head_counts_work(groups: list[PromptGroup]) -> None:
    """Normed queries, no grouping of heads, and heads wider than hidden size / heads."""
    config = Qwen3Config(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=24,
        max_position_embeddings=512,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = sharpen(Qwen3ForCausalLM(config).eval())
    limits = [6, 6, 2, 6, 1, 6, 4, 6]
    assert decode(model, groups, Greedy(limits), 6) == one_at_a_time(model, groups, limits)
