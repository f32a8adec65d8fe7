"""Bounds that hold for any tokenizer of bytes, and expectations between them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.calls import MESSAGE_TOKENS, Call, Message, Sampling
from steep.core.ranges import Range
from steep.generation.forecast import PromptSize, answer_tokens, hosted_cache, prompt_tokens
from steep.ledger.budget import reservation
from steep.llm.prices import Prices

PRICES = Prices(usd_per_million_input_tokens=10.0, usd_per_million_output_tokens=40.0)


def call_of(*parts: str, max_tokens: int = 100, schema: str | None = None) -> Call:
    messages = (Message("system", ("Be brief.",)), Message("user", parts))
    return Call(
        "r", "pairs", "d", (), 0, "m", messages, Sampling(1.0, 1.0, max_tokens, 0.0, schema)
    )


@given(st.lists(st.text(), max_size=3))
def test_no_tokenizer_of_bytes_makes_more_of_a_prompt(parts: list[str]) -> None:
    call = call_of(*parts)
    worst = sum(len(message.content.encode()) for message in call.messages)
    assert call.prompt_bound == worst + 2 * MESSAGE_TOKENS


def test_a_schema_may_be_written_into_the_prompt() -> None:
    schema = '{"type":"object"}'
    assert call_of("x", schema=schema).prompt_bound == call_of("x").prompt_bound + len(schema)


def test_a_reservation_is_the_whole_bound_uncached() -> None:
    call = call_of("x" * 1000, max_tokens=500)
    prompt = 1000 + 9 + 2 * MESSAGE_TOKENS
    cheaper = replace(PRICES, usd_per_million_cached_tokens=0.1)
    for prices in (PRICES, cheaper):
        most = reservation(call, prices)
        assert most.tokens == prompt + 500
        assert most.cost_usd == pytest.approx((prompt * 10 + 500 * 40) / 1e6)
    assert reservation(call, Prices()) == (prompt + 500, None)


SIZES = st.builds(
    PromptSize, st.floats(1, 1e6), st.floats(0, 1), st.floats(1, 1e6)
)  # characters, prefix, bound
RATIOS = st.tuples(*[st.floats(0.05, 1.0)] * 3).map(lambda three: Range(*sorted(three)))


@given(SIZES, st.none() | RATIOS)
def test_what_is_expected_lies_between(size: PromptSize, ratio: Range | None) -> None:
    found = prompt_tokens(size, ratio)
    assert 0 < found.low <= found.expected <= found.high


def test_prompts_are_calibrated_by_what_was_measured() -> None:
    size = PromptSize(characters=1000, prefix_characters=900, bound_tokens=1040)
    assert prompt_tokens(size, None) == Range(1000 / 6, 250, 1040)
    found = prompt_tokens(size, Range(0.2, 0.3, 0.4))
    assert (found.low, found.expected, found.high) == pytest.approx((180, 300, 440))
    assert prompt_tokens(size, Range(0.2, 0.3, 2.0)).high == 1040  # the bound holds, nevertheless


def test_answers_are_as_long_as_measured_and_never_longer_than_allowed() -> None:
    assert answer_tokens(1000, None) == Range(100, 350, 1000)
    assert answer_tokens(1000, Range(50, 200, 400)) == Range(50, 200, 1000)
    assert answer_tokens(100, Range(50, 200, 400)) == Range(50, 100, 100)


@pytest.mark.parametrize(
    ("prefix", "cached"), [(0, 0), (1023.9, 0), (1024, 1024), (1151, 1024), (1152, 1152)]
)
def test_hosted_providers_cache_long_prefixes_in_steps(prefix: float, cached: float) -> None:
    assert hosted_cache(prefix) == cached


def test_ranges_add_up_by_their_ends() -> None:
    assert Range(1, 2, 3) + Range.exactly(10) == Range(11, 12, 13)
    assert Range.around(5, 3, 1) == Range(1, 3, 5)
    assert Range.around(4, 3, 5) == Range(3, 3, 5)
    assert [Range(1, 2, 3)[case] for case in ("low", "expected", "high")] == [1, 2, 3]
