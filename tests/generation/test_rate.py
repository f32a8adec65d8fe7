from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steep.ledger.throttling import BURST_S, RateLimit


@given(
    per_minute=st.floats(1, 1e6),
    sizes=st.lists(st.floats(0.1, 100), min_size=1, max_size=200),
)
def test_no_window_holds_more_than_its_rate(per_minute: float, sizes: list[float]) -> None:
    limit, now_s, started = RateLimit(per_minute), 0.0, []
    for size in sizes:
        now_s += limit.wait_s(now_s)
        assert limit.wait_s(now_s) <= 1e-6
        limit.reserve(size, now_s)
        started.append((now_s, size))
    largest = max(sizes)
    for first_s, _ in started[:20]:
        within = sum(size for at_s, size in started if first_s <= at_s < first_s + 60)
        assert within <= per_minute * (60 + BURST_S) / 60 + largest + 1e-3


def test_what_was_not_used_is_given_back_and_what_was_used_in_excess_is_owed() -> None:
    limit = RateLimit(60)
    limit.reserve(10, 0.0)
    assert limit.wait_s(0.0) == 10 - BURST_S
    limit.give_back(4)
    assert limit.wait_s(0.0) == 6 - BURST_S
    limit.give_back(-2)
    assert limit.wait_s(0.0) == 8 - BURST_S


def test_a_pause_does_not_save_up_more_than_a_burst() -> None:
    limit = RateLimit(60)
    limit.reserve(1, 0.0)
    assert limit.wait_s(1000.0) == 0
    for _ in range(3):
        limit.reserve(1, 1000.0)
    assert limit.wait_s(1000.0) == 3 - BURST_S


def test_no_limit_never_waits() -> None:
    limit = RateLimit(None)
    limit.reserve(1e9, 0.0)
    assert limit.wait_s(0.0) == 0
