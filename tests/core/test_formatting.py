"""Numbers, costs and lists as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.formatting import (
    cost_of,
    count,
    decimal,
    dollars,
    duration,
    file_size,
    gib,
    leading_number,
    percent,
    plural,
    points,
)


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0, "$0.00"), (1234.5, "$1,234.50"), (0.25, "$0.2500"), (0.0012, "$0.0012")],
)
def test_small_amounts_have_more_digits(usd: float, shown: str) -> None:
    assert dollars(usd) == shown


def test_what_nobody_knows_is_never_shown_as_zero() -> None:
    assert cost_of(0.5, 0) == "$0.5000"
    assert cost_of(0.5, 1) == "at least $0.5000; the price of 1 call is unknown"
    assert cost_of(0.0, 1200) == "unknown: the price of 1,200 calls is unknown"


def test_plurals() -> None:
    assert [plural(number, "batch") for number in (0, 1, 2000)] == [
        "0 batches",
        "1 batch",
        "2,000 batches",
    ]
    assert plural(2, "story", "stories") == "2 stories"


@given(st.floats(-1e9, 1e9), st.floats(0, 1e12))
def test_a_number_is_found_again_in_every_form(value: float, size: float) -> None:
    """Tables on the page are sorted by what they show."""
    for shown, number, error in (
        (count(value), value, 0.5),
        (decimal(value, 3, signed=True), value, 0.0005),
        (percent(value), 100 * value, 0.05),
        (points(value), 100 * value, 0.05),
        (dollars(size), size, 0.005),
        (duration(size / 1e6), size / 1e6, 60),
        (file_size(size), size, 0.05 * size + 1),
        (gib(size), size, 0.05 * size + 2**20),
    ):
        found = leading_number(shown)
        assert found == pytest.approx(number, abs=error * 1.01, rel=1e-9), shown


def test_the_first_number_counts_and_a_word_is_none() -> None:
    found = {
        text: leading_number(text)
        for text in (
            "<0.001",
            "3.100 \u2192 2.200",
            "2 h 05 min",
            "3e-4",
            "(1,000)",
            "at least $2.50",
        )
    }
    assert [*found.values()] == [0.001, 3.1, 7500, 3e-4, 1000, 2.5]
    for text in ("unknown: the price of 3 calls is unknown", "none", "", "never", "[1, 2]"):
        assert leading_number(text) is None
