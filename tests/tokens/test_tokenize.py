from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.tokens import tokenize
from steep.tokens.tokenize import BATCHES_AHEAD, batched, in_order


@given(st.lists(st.text(max_size=9)), st.integers(1, 20), st.integers(1, 4))
def test_batches_are_full_and_no_fuller(texts: list[str], characters: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenize, "BATCH_CHARACTERS", characters)
        patch.setattr(tokenize, "BATCH_TEXTS", most)
        batches = list(batched(texts, len))
    assert [text for batch in batches for text in batch] == texts
    for batch in batches:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(map(len, batch)) <= characters
    for batch, following in itertools.pairwise(batches):
        assert len(batch) == most or sum(map(len, batch)) + len(following[0]) > characters


def test_results_keep_the_order_whoever_is_first() -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(30)
        else:
            second_done.set()
        return item * 10

    assert list(in_order(work, range(9), threads=2)) == [item * 10 for item in range(9)]


def test_only_a_few_items_are_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), threads=3)
    for done in range(1, 20):
        next(results)
        assert len(taken) <= done + 3 + BATCHES_AHEAD
    results.close()
    assert len(taken) < 30, "who stops early has not read everything"


def test_an_error_in_the_work_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 // item, [1, 0, 1], threads=2))
