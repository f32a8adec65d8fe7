"""Numbers, costs and lists as text."""

from __future__ import annotations

import pytest

from steep.core.formatting import cost_of, dollars, plural


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
