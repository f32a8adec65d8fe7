"""Numbers in digits of any script, with any separators, and without those of list items."""

# ruff: noqa: RUF001
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.numbers import located_numbers, number_places


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("12,000 or 12.000 or 12'000 or 12\u202f000", ["12000"] * 4),
        ("$1,234.50 is 1.234,5", ["1234.5", "1234.5"]),
        ("3.50 and 3,5", ["3.5", "3.5"]),
        ("4.5.1874, 1,2,3", ["4", "5", "1874", "1", "2", "3"]),
        ("the 1930s, the 2nd, agent 007", ["1930", "2", "7"]),
        ("１２ ١٩٣١ 12٬345", ["12", "1931", "12345"]),
        ("1. One\n - 2) Two\n**Question 3:** 4. Four in 5\nPassage 6\n", ["5"]),
        ("1994. A year\nIt was 7. Then", ["1994", "7"]),
        ("no number", []),
    ],
)
def test_numbers_have_one_form(text: str, values: list[str]) -> None:
    assert [each.value for each in located_numbers(text)] == values


@given(st.integers(0, 10**12), st.sampled_from(",.'\u2019\u00a0"))
def test_separators_do_not_matter(value: int, separator: str) -> None:
    (found,) = located_numbers(f"about {value:,} of them".replace(",", separator))
    assert found.value == str(value)


@given(st.text(st.sampled_from("0123 .,x\n-)*")))
def test_numbers_are_disjoint_and_inside_the_text(text: str) -> None:
    found = list(located_numbers(text))
    assert [each for number in found for each in number[1:]] == sorted(
        each for number in found for each in number[1:]
    )
    assert all(any(map(str.isdigit, text[start:end])) for _, start, end in found)


def test_the_places_of_numbers_include_english_words() -> None:
    text = "Twelve pumps in the nineteenth century, and 12 later."
    places = {value: text[start:end] for value, (start, end) in number_places(text).items()}
    assert places == {"12": "12", "19": "nineteenth"}
