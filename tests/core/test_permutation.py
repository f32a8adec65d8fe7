from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.core.permutation import Permutation

seeds = st.integers(0, 2**63 - 1)


def entries(size: int, seed: int) -> list[int]:
    permutation = Permutation(size, seed)
    return [permutation[index] for index in range(len(permutation))]


@settings(max_examples=25)
@given(st.integers(1, 3000), seeds)
def test_every_number_comes_once(size: int, seed: int) -> None:
    assert sorted(entries(size, seed)) == list(range(size))


@settings(max_examples=25)
@given(st.integers(0, 3000) | st.sampled_from([1024, 1025, 4096, 4097]), seeds)
def test_the_array_holds_what_indexing_gives(size: int, seed: int) -> None:
    assert Permutation(size, seed).as_array().tolist() == entries(size, seed)


def test_a_long_array_holds_what_indexing_gives() -> None:
    array, permutation = Permutation(300_001, 5).as_array(), Permutation(300_001, 5)
    assert array.dtype == "int64"
    assert np.bincount(array).tolist() == [1] * 300_001
    assert all(array[i] == permutation[i] for i in range(0, 300_001, 997))


def test_order_is_the_same_on_every_machine() -> None:
    assert entries(10, 0) == [5, 6, 4, 1, 2, 0, 8, 7, 9, 3]
    assert [Permutation(10**12, 7)[i] for i in range(3)] == [
        810416657699,
        990853868839,
        947290073752,
    ]


@given(st.integers(1, 10**15), seeds, st.integers(1, 40))
def test_the_first_entries_need_no_others(size: int, seed: int, count: int) -> None:
    first = [Permutation(size, seed)[i] for i in range(min(count, size))]
    assert len(set(first)) == len(first)
    assert all(0 <= entry < size for entry in first)


def test_no_entry_is_favoured() -> None:
    firsts = Counter(Permutation(5, seed)[0] for seed in range(2000))
    assert all(320 < firsts[entry] < 480 for entry in range(5))


@pytest.mark.parametrize(("size", "index"), [(5, 5), (5, -1), (0, 0)])
def test_what_is_outside_has_no_entry(size: int, index: int) -> None:
    with pytest.raises(IndexError, match=f"{index} is outside a permutation of {size}"):
        Permutation(size, 1)[index]
