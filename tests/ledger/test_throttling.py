"""Adaptive concurrency, alone and with a simulated endpoint, and rates per minute."""

from __future__ import annotations

import heapq
import random
from collections import deque
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.ledger.throttling import BURST_S, FIRST_LIMIT, MOST_REFUSED, Concurrency, RateLimit

SLOTS, SERVER_S = 64, 0.5


def test_it_doubles_with_every_round_until_the_first_cut() -> None:
    limit = Concurrency(64)
    rounds = []
    while limit.limit < 64:
        rounds.append(limit.limit)
        for _ in range(limit.limit):
            limit.succeeded(0.0)
    assert rounds == [FIRST_LIMIT, 16, 32]


def test_a_volley_of_refusals_cuts_once_and_what_was_sent_before_says_nothing_more() -> None:
    limit = Concurrency(64)
    for _ in range(56):
        limit.succeeded(0.0)
    for _ in range(64):
        limit.overloaded(sent_s=1.0, now_s=2.0)
    assert limit.cuts == 1
    assert 32 <= limit.limit <= 48
    for _ in range(MOST_REFUSED):
        limit.overloaded(sent_s=2.5, now_s=3.0)
    assert limit.cuts == 2


def test_single_refusals_among_many_answers_cut_nothing() -> None:
    limit = Concurrency(64)
    for number in range(2000):
        limit.succeeded(number)
        if number % 20 == 0:
            limit.overloaded(number, number + 0.5)
    assert (limit.limit, limit.cuts) == (64, 0)


@given(
    most=st.integers(1, 200),
    events=st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300),
)
def test_it_stays_between_one_and_most(most: int, events: list[tuple[bool, float]]) -> None:
    limit, now_s = Concurrency(most), 0.0
    for succeeded, passed_s in events:
        sent_s, now_s = now_s, now_s + passed_s
        if succeeded:
            limit.succeeded(sent_s)
        else:
            limit.overloaded(sent_s, now_s)
        assert 1 <= limit.limit <= most


class Went(NamedTuple):
    """What came of a simulation; `late_refused` is the share of refusals in its second half."""

    answers_per_s: float
    late_refused: float


def simulate(seed: int, refused: float = 0.0, room: int | None = None, span_s: float = 40) -> Went:
    """Keep an endpoint busy that refuses by chance, or whatever exceeds its room.

    A refused call comes again after a pause of half a second to one, which doubles, as it does
    in an endpoint worker.
    """
    rng, limit = random.Random(seed), Concurrency(SLOTS)
    waiting = deque([0] * SLOTS)  # how often each was refused
    events: list[tuple[float, int, str, int, float]] = []
    now_s = under_way = at_work = answers = 0.0
    late = {"answer": 0, "refusal": 0}
    for number in range(1_000_000):
        while waiting and under_way < limit.limit:
            times = waiting.popleft()
            under_way += 1
            is_refused = rng.random() < refused or (room is not None and at_work >= room)
            at_work += not is_refused
            took_s = 0.02 if is_refused else SERVER_S * rng.uniform(0.8, 1.2)
            kind = "refusal" if is_refused else "answer"
            heapq.heappush(events, (now_s + took_s, len(events) + number, kind, times, now_s))
        now_s, _, kind, times, sent_s = heapq.heappop(events)
        if now_s > span_s:
            break
        if kind == "pause":
            waiting.append(times)
            continue
        under_way -= 1
        late[kind] += now_s > span_s / 2
        if kind == "answer":
            at_work -= 1
            answers += 1
            limit.succeeded(sent_s)
            waiting.append(0)
        else:
            limit.overloaded(sent_s, now_s)
            again_s = now_s + 2**times * rng.uniform(0.5, 1.0)
            heapq.heappush(events, (again_s, number, "pause", times + 1, now_s))
    return Went(answers / span_s, late["refusal"] / sum(late.values()))


@pytest.mark.parametrize(("refused", "kept"), [(0.005, 0.95), (0.02, 0.9), (0.05, 0.75)])
def test_refusals_that_have_nothing_to_do_with_the_load_cost_little(
    refused: float, kept: float
) -> None:
    most = SLOTS / SERVER_S
    rates = [simulate(seed, refused).answers_per_s / most for seed in range(5)]
    assert min(rates) >= kept, rates


@pytest.mark.parametrize("room", [2, 4, 16, 40])
def test_on_a_real_limit_refusals_become_few_and_the_room_is_used(room: int) -> None:
    went = [simulate(seed, room=room, span_s=max(40, 320 / room)) for seed in range(3)]
    assert max(each.late_refused for each in went) <= 0.1, went
    assert min(each.answers_per_s for each in went) >= 0.85 * room / SERVER_S, went


def test_a_real_limit_is_found_among_refusals_by_chance() -> None:
    went = simulate(1, refused=0.02, room=16)
    assert went.late_refused <= 0.12
    assert went.answers_per_s >= 0.85 * 16 / SERVER_S


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
