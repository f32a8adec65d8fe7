from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steep.generation.aimd import FIRST_LIMIT, Concurrency


def test_it_doubles_with_every_round_until_the_first_objection() -> None:
    limit = Concurrency(64)
    rounds = []
    while limit.limit < 64:
        rounds.append(limit.limit)
        for _ in range(limit.limit):
            limit.succeeded()
    assert rounds == [FIRST_LIMIT, 16, 32]


def test_a_volley_of_objections_cuts_once_and_then_it_grows_by_one_a_round() -> None:
    limit = Concurrency(64)
    for _ in range(56):
        limit.succeeded()
    for _ in range(64):
        limit.overloaded(sent_s=1.0, now_s=2.0)
    assert (limit.limit, limit.cuts) == (38, 1)
    for _ in range(39):
        limit.succeeded()
    assert limit.limit == 39
    limit.overloaded(sent_s=2.5, now_s=3.0)
    assert (limit.limit, limit.cuts) == (23, 2)


@given(
    most=st.integers(1, 200),
    events=st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300),
)
def test_it_stays_between_one_and_most(most: int, events: list[tuple[bool, float]]) -> None:
    limit, now_s = Concurrency(most), 0.0
    for succeeded, passed_s in events:
        sent_s, now_s = now_s, now_s + passed_s
        if succeeded:
            limit.succeeded()
        else:
            limit.overloaded(sent_s, now_s)
        assert 1 <= limit.limit <= most
