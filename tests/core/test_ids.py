from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steep.core.ids import canonical_json, derive_seed, stable_hash, stable_hash_of_list

leaves = st.none() | st.booleans() | st.integers() | st.text("aé\u2028")
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text("ab"), leaves, max_size=3)


@given(st.dictionaries(st.text("abcd", max_size=3), values, min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert list(turned) != list(value)
    assert stable_hash(turned) == stable_hash(value)


@given(values, values)
def test_only_equal_values_have_equal_hashes(one: object, other: object) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (stable_hash(one) == stable_hash(other)) is same


def test_hashes_and_seeds_are_the_same_on_every_machine() -> None:
    assert stable_hash({"title": "naïve", "year": 1887}, 8) == "e303e131"
    assert derive_seed(0, "quillon", 2) == 7251294031862393314


def test_a_short_hash_is_the_start_of_the_long_one() -> None:
    assert stable_hash([1]).startswith(stable_hash([1], 8))
    assert len(stable_hash([1])) == 32


@given(st.lists(st.integers() | st.text()))
def test_a_seed_is_that_of_the_hash_of_its_parts(parts: list[str | int]) -> None:
    assert derive_seed(*parts) == int(stable_hash(list(parts), 16), 16) >> 1


def test_seeds_fit_a_signed_integer_and_tell_parts_apart() -> None:
    parts: list[tuple[str | int, ...]] = [(1, "1"), ("1", 1), ("11",), (11,), (1, 1), ()]
    seeds = {derive_seed(*each) for each in parts}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


@given(st.lists(values))
def test_a_list_has_one_hash_whole_or_item_by_item(items: list[object]) -> None:
    assert stable_hash_of_list(iter(items), 16) == stable_hash(items, 16)
