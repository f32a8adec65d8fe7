from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.generation.allot import Made, next_counts, share, whole_calls

DOCUMENTS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.tuples(st.integers(1, 10_000), st.integers(0, 500)),
    min_size=1,
    max_size=12,
)


@given(DOCUMENTS, st.floats(0, 5000))
def test_shares_fill_documents_to_one_level(
    documents: dict[str, tuple[int, int]], amount: float
) -> None:
    weights = {name: float(weight) for name, (weight, _) in documents.items()}
    capacities = {name: float(capacity) for name, (_, capacity) in documents.items()}
    shares = share(amount, weights, capacities)
    assert sum(shares.values()) == pytest.approx(min(amount, sum(capacities.values())))
    assert all(0 <= shares[name] <= capacities[name] + 1e-6 for name in shares)
    levels = [shares[n] / weights[n] for n in shares if shares[n] < capacities[n] - 1e-6]
    assert max(levels, default=0) == pytest.approx(min(levels, default=0))
    for name in shares:  # who is full would have got at least its capacity at that level
        if levels and shares[name] >= capacities[name] - 1e-6:
            assert capacities[name] <= levels[0] * weights[name] + 1e-6


@given(DOCUMENTS, st.integers(0, 5000))
def test_whole_calls_are_all_shared_out(documents: dict[str, tuple[int, int]], calls: int) -> None:
    weights = {name: float(weight) for name, (weight, _) in documents.items()}
    capacities = {name: capacity for name, (_, capacity) in documents.items()}
    counts = whole_calls(calls, weights, capacities)
    assert sum(counts.values()) == min(calls, sum(capacities.values()))
    assert all(0 <= counts[name] <= capacities[name] for name in counts)
    exact = share(calls, weights, {n: float(c) for n, c in capacities.items()})
    assert all(abs(counts[name] - exact[name]) <= 1 + 1e-6 for name in counts)


@given(DOCUMENTS, st.floats(10, 1e6), st.floats(1, 500), st.floats(0.2, 5))
def test_rounds_meet_the_goal_or_use_up_the_plan(
    documents: dict[str, tuple[int, int]], amount: float, mean: float, wrong: float
) -> None:
    weights = {name: float(weight) for name, (weight, _) in documents.items()}
    capacities = {name: capacity for name, (_, capacity) in documents.items()}
    counts: dict[str, int] = {}
    for _ in range(12):
        made = {name: Made(counts.get(name, 0), mean * counts.get(name, 0)) for name in weights}
        more = next_counts(amount, weights, capacities, counts, made, mean * wrong)
        if more is None:
            break
        assert all(more[name] >= counts.get(name, 0) for name in more)
        counts = more
    else:
        pytest.fail("it never ends")
    units = mean * sum(counts.values())
    used_up = counts == capacities or not any(capacities.values())
    assert used_up or units >= 0.99 * amount
    # Only the sample is made on a guess: it, or the one call that a round has at least, may exceed.
    sample = max(0.05 * amount / wrong, mean)
    assert units <= max(amount + mean, sample + 2 * mean)


@pytest.mark.parametrize("later", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("amount", [20_000, 500_000, 30_000_000])
def test_a_goal_is_met_though_later_texts_are_longer_or_shorter(
    amount: float, later: float
) -> None:
    weights = {f"d{number}": 5000.0 + 40 * number for number in range(100)}
    capacities = dict.fromkeys(weights, 10_000)
    counts: dict[str, int] = {}
    rounds = 0
    while rounds < 20:
        units = {
            name: 80.0 * (min(count, 30) + later * max(0, count - 30))
            for name, count in counts.items()
        }
        made = {name: Made(counts.get(name, 0), units.get(name, 0.0)) for name in weights}
        more = next_counts(amount, weights, capacities, counts, made, 1000.0)
        if more is None:
            break
        counts = more
        rounds += 1
    assert sum(units.values()) == pytest.approx(amount, rel=0.01)
    assert rounds <= 9


def test_long_documents_get_more_and_what_short_ones_cannot_use_goes_to_the_others() -> None:
    weights = {"short": 100.0, "middle": 200.0, "long": 700.0}
    capacities = {"short": 3, "middle": 1000, "long": 1000}
    counts = whole_calls(93, weights, capacities)
    assert counts == {"short": 3, "middle": 20, "long": 70}
