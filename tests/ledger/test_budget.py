from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.calls import Usage
from steep.ledger.budget import Budget, Reservation, total, used


def came_back(budget: Budget, most: Reservation, usage: Usage, cost_usd: float) -> None:
    budget.release(most)
    budget.spend(used(usage, cost_usd))


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1), st.booleans()),
        max_size=200,
    )
)
def test_what_is_spent_stays_below_the_limit_as_long_as_reservations_are_upper_bounds(
    events: list[tuple[int, int, float, bool]],
) -> None:
    budget = Budget(500, 10.0, spent_tokens=100, spent_usd=1.0)
    flying: list[tuple[Reservation, Usage, float]] = []
    for prompt, completion, share, ingest in events:
        most = Reservation(prompt + completion, 0.05 * completion)
        if budget.reserve(most):
            flying.append((most, Usage(prompt, 0, int(completion * share)), 0.05 * completion))
        if ingest and flying:
            came_back(budget, *flying.pop(0))
        assert budget.spent_tokens + budget.reserved_tokens <= 500
        assert budget.spent_usd + budget.reserved_usd <= 10.0 + 1e-9
    while flying:
        came_back(budget, *flying.pop())
    assert budget.reserved_tokens == 0
    assert budget.reserved_usd == pytest.approx(0, abs=1e-9)


def test_a_limit_in_dollars_needs_a_price() -> None:
    with pytest.raises(ValueError, match="needs a price"):
        Budget(max_cost_usd=1.0).reserve(Reservation(10, None))
    assert Budget(max_tokens=10).reserve(Reservation(10, None))


def test_no_limit_takes_everything() -> None:
    budget = Budget()
    assert all(budget.reserve(Reservation(10**9, None)) for _ in range(10))


def test_a_sum_with_an_unknown_price_has_none() -> None:
    assert total([]) == Reservation(0, 0.0)
    assert total([Reservation(1, 0.5), Reservation(2, 0.25)]) == Reservation(3, 0.75)
    assert total([Reservation(1, 0.5), Reservation(2, None)]) == Reservation(3, None)
