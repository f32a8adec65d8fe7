from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from steep.core.calls import Sampling
from steep.llm.local.sampling import RowSampler, SampledRow

END = 0
LOGITS = torch.tensor([-1e9, 2.0, 1.0, 0.0, -1.0])  # 0.64, 0.24, 0.09 and 0.03


@pytest.fixture(params=[None, 64], ids=["all tokens", "top 64"])
def sampler(request: pytest.FixtureRequest) -> RowSampler:
    return RowSampler(frozenset({END}), request.param)


def new_row(seed: int = 0, **settings: Any) -> SampledRow:
    sampling = Sampling(**{"max_tokens": 4000, **settings})
    return SampledRow(sampling, np.random.default_rng(seed).random(sampling.max_tokens))


def drawn(sampler: RowSampler, count: int, **settings: Any) -> list[int]:
    row = new_row(**settings)
    return [sampler.choose(LOGITS[None], [row])[0] for _ in range(count)]


def test_tokens_are_drawn_by_their_probabilities(sampler: RowSampler) -> None:
    counts = Counter(drawn(sampler, 2000))
    expected = LOGITS.softmax(0) * 2000
    assert all(abs(counts[token] - expected[token]) < 85 for token in range(5))


def test_temperature_sharpens(sampler: RowSampler) -> None:
    expected = (LOGITS / 0.5).softmax(0) * 2000
    counts = Counter(drawn(sampler, 2000, temperature=0.5))
    assert all(abs(counts[token] - expected[token]) < 85 for token in range(5))


def test_temperature_zero_is_greedy(sampler: RowSampler) -> None:
    assert drawn(sampler, 50, temperature=0.0) == [1] * 50


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.5, {1}), (0.7, {1, 2}), (0.9, {1, 2, 3}), (0.01, {1})]
)
def test_top_p_keeps_the_smallest_set_that_holds_it(
    sampler: RowSampler, top_p: float, kept: set[int]
) -> None:
    assert set(drawn(sampler, 500, top_p=top_p)) == kept


def test_a_row_without_top_p_draws_the_same_beside_one_that_has_it(sampler: RowSampler) -> None:
    alone, beside, cut = new_row(5), new_row(5), new_row(6, top_p=0.7)
    for _ in range(50):
        sampler.choose(LOGITS[None], [alone])
        sampler.choose(LOGITS.repeat(2, 1), [cut, beside])
    assert alone.tokens == beside.tokens
    assert set(cut.tokens) == {1, 2}


def test_only_the_most_likely_tokens_are_candidates_of_top_k() -> None:
    row = new_row()
    sampler = RowSampler(frozenset({END}), 2)
    assert {sampler.choose(LOGITS[None], [row])[0] for _ in range(300)} == {1, 2}


def test_what_was_written_is_written_less(sampler: RowSampler) -> None:
    row = new_row(temperature=0.0, frequency_penalty=0.6)
    written = [sampler.choose(LOGITS[None], [row])[0] for _ in range(4)]
    assert written == [1, 1, 2, 1]  # 2.0, 1.4, then 0.8 is less than 1.0, which becomes 0.4
    assert LOGITS[1] == 2.0, "the engine's own logits stay as they are"


def test_rows_draw_apart_from_each_other(sampler: RowSampler) -> None:
    together = [new_row(seed) for seed in range(3)]
    for _ in range(20):
        sampler.choose(LOGITS.repeat(3, 1), together)
    assert len({tuple(row.tokens) for row in together}) == 3
    alone = new_row(2)
    for _ in range(20):
        sampler.choose(LOGITS[None], [alone])
    assert alone.tokens == together[2].tokens


def test_rows_end_at_an_end_token_or_at_their_limit(sampler: RowSampler) -> None:
    certain = torch.tensor([[9.0, 0, 0, 0, 0], [0, 9.0, 0, 0, 0]])
    rows = [new_row(0, temperature=0.0), new_row(1, temperature=0.0, max_tokens=2)]
    chosen = [sampler.next_tokens(certain, rows) for _ in range(3)]
    assert chosen == [[None, 1], [None, 1], [None, None]]
    assert [row.finish_reason for row in rows] == ["stop", "length"]


def test_a_row_that_has_ended_writes_nothing_more() -> None:
    row = new_row()
    sampler = RowSampler(frozenset({1, 4}))
    assert sampler.choose(LOGITS[None] * 50, [row]) == [1]
    assert row.ended
    assert sampler.choose(LOGITS.flip(0)[None], [row]) == [1]
    assert row.tokens == []
