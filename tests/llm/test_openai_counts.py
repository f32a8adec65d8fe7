from __future__ import annotations

import math
from typing import Any

import pytest

from steep.core.calls import Usage
from steep.llm.openai_counts import read_usage
from steep.llm.prices import Prices


def read(usage: Any, *, with_text: bool = True) -> Usage | None:
    return read_usage({"usage": usage}, with_text=with_text)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "12",
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": 12},
        {"prompt_tokens": "12", "completion_tokens": "3"},
        {"prompt_tokens": 12, "completion_tokens": -3},
        {"prompt_tokens": 12.5, "completion_tokens": 3},
        {"prompt_tokens": math.nan, "completion_tokens": 3},
        {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": 2**63, "completion_tokens": 3},
        {"prompt_tokens": 12, "completion_tokens": 1e300},
        {"prompt_tokens": 0, "completion_tokens": 3},
        {"prompt_tokens": 12, "completion_tokens": 0},
    ],
)
def test_counts_that_cannot_be_true_are_unknown(usage: Any) -> None:
    assert read(usage) is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3}, Usage(12, 0, 3)),
        ({"prompt_tokens": 12.0, "completion_tokens": 3.0}, Usage(12, 0, 3)),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 8},
            },
            Usage(12, 8, 3),
        ),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 5_000_000},
            },
            Usage(12, 12, 3),
        ),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": -1},
            },
            Usage(12, 0, 3),
        ),
        (
            {"input_tokens": 12, "output_tokens": 3, "cache_read_input_tokens": 100},
            Usage(112, 100, 3),
        ),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 3,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(12, 0, 23, 20),
        ),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 23,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(12, 0, 23, 20),
        ),
    ],
)
def test_counts_of_many_servers(usage: Any, expected: Usage) -> None:
    assert read(usage) == expected


def test_an_answer_without_text_may_take_no_token() -> None:
    nothing = {"prompt_tokens": 12, "completion_tokens": 0}
    assert read(nothing, with_text=False) == Usage(12, 0, 0)


def test_a_cost_is_never_below_zero() -> None:
    prices = Prices(
        usd_per_million_input_tokens=3.0,
        usd_per_million_cached_tokens=0.3,
        usd_per_million_output_tokens=15.0,
    )
    assert prices.cost_usd(Usage(1_000_000, 9_000_000, 0)) == pytest.approx(0.3)
