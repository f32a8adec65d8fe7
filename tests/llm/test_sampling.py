from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from steep.core.calls import Sampling
from steep.llm.sampling import Sampler

END = 0
LOGITS = torch.tensor([-1e9, 2.0, 1.0, 0.0, -1.0])


def no_grammar(schema: str) -> Any:
    raise AssertionError("nobody asked for one")


def sampler(rows: int = 1, seed: int = 0, **settings: Any) -> Sampler:
    chosen = Sampling(**{"max_tokens": 4000, **settings})
    return Sampler([chosen] * rows, list(range(seed, seed + rows)), frozenset({END}), no_grammar)


def drawn(count: int, **settings: Any) -> list[int | None]:
    one = sampler(**settings)
    return [one.choose(LOGITS[None].clone(), [0])[0] for _ in range(count)]


def test_tokens_are_drawn_by_their_probabilities() -> None:
    counts = Counter(drawn(2000))
    expected = LOGITS.softmax(0) * 2000
    assert all(abs(counts[token] - expected[token]) < 85 for token in range(1, 5))


def test_temperature_sharpens() -> None:
    expected = (LOGITS / 0.5).softmax(0) * 2000
    counts = Counter(drawn(2000, temperature=0.5))
    assert all(abs(counts[token] - expected[token]) < 85 for token in range(1, 5))


def test_temperature_zero_is_greedy() -> None:
    assert drawn(50, temperature=0.0) == [1] * 50


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.5, {1}), (0.7, {1, 2}), (0.9, {1, 2, 3}), (0.01, {1})]
)
def test_top_p_keeps_the_smallest_set_that_holds_it(top_p: float, kept: set[int]) -> None:
    """The probabilities are 0.64, 0.24, 0.09 and 0.03."""
    assert set(drawn(500, top_p=top_p)) == kept


def test_what_was_written_is_written_less() -> None:
    one = sampler(temperature=0.0, frequency_penalty=0.6)
    written = [one.choose(LOGITS[None].clone(), [0])[0] for _ in range(4)]
    assert written == [1, 1, 2, 1]  # 2.0, 1.4, then 0.8 is less than 1.0, which becomes 0.4


def test_rows_draw_apart_from_each_other() -> None:
    together = sampler(rows=3)
    columns = [together.choose(LOGITS.repeat(3, 1), [0, 1, 2]) for _ in range(20)]
    assert len({tuple(column[row] for column in columns) for row in range(3)}) == 3
    alone = sampler(seed=2)
    assert [alone.choose(LOGITS[None].clone(), [0])[0] for _ in range(20)] == [
        column[2] for column in columns
    ]


def test_rows_end_at_an_end_token_or_at_their_limit() -> None:
    certain = torch.tensor([[9.0, 0, 0, 0, 0], [0, 9.0, 0, 0, 0]])
    settings = [Sampling(temperature=0.0), Sampling(temperature=0.0, max_tokens=2)]
    rows = Sampler(settings, [0, 1], frozenset({END}), no_grammar)
    chosen = [rows.choose(certain.clone(), [0, 1]) for _ in range(3)]
    assert chosen == [[None, 1], [None, 1], [None, None]]
