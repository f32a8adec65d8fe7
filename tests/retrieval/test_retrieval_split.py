from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.errors import UserError
from steep.retrieval.chunks import split_text

TEXTS = st.lists(
    st.sampled_from(["a", "bee", "\n\n", "\n", " ", "\t", "a-very-long-word", "ß", "😀", "\r\n"]),
    max_size=80,
).map("".join)


def pieces(text: str, chunk_size: int) -> list[str]:
    return [text[start:end] for start, end in split_text(text, chunk_size)]


# Written down from what langchain-text-splitters 1.1.3 gives.
GOLDEN: list[tuple[str, int, list[str]]] = [
    ("", 10, []),
    (" \n\n \n", 3, []),
    ("short", 10, ["short"]),
    ("  short  ", 10, ["short"]),
    ("one\n\ntwo\n\nthree", 10, ["one\n\ntwo", "three"]),
    ("one\n\ntwo\n\nthree", 8, ["one\n\ntwo", "three"]),
    ("one\n\ntwo\n\nthree", 7, ["one", "two", "three"]),
    ("a b c d e f", 5, ["a b c", "d e", "f"]),
    ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
    ("ab abcdefghij cd", 4, ["ab", "abc", "defg", "hij", "cd"]),
    ("a\n\n\n\nb", 2, ["a", "b"]),
    ("line one\nline two\n\nnext", 12, ["line one", "line two", "next"]),
    ("ab c", 2, ["ab", "c"]),
    ("ab c", 1, ["a", "b", "c"]),  # that package keeps the blank
]


@pytest.mark.parametrize(("text", "chunk_size", "expected"), GOLDEN)
def test_golden_cases(text: str, chunk_size: int, expected: list[str]) -> None:
    assert pieces(text, chunk_size) == expected


@given(text=TEXTS, chunk_size=st.integers(1, 40))
def test_nothing_but_white_space_is_lost_and_no_chunk_is_too_long(
    text: str, chunk_size: int
) -> None:
    spans = split_text(text, chunk_size)
    ends = [0, *(place for span in spans for place in span), len(text)]
    assert ends == sorted(ends)
    between = zip(ends[::2], ends[1::2], strict=True)
    assert not "".join(text[start:end] for start, end in between).strip()
    chunks = [text[start:end] for start, end in spans]
    assert all(chunk == chunk.strip() and 0 < len(chunk) <= chunk_size for chunk in chunks)


@given(text=TEXTS, chunk_size=st.integers(2, 40))
def test_equal_to_langchain(text: str, chunk_size: int) -> None:
    splitters = pytest.importorskip("langchain_text_splitters")
    splitter = splitters.RecursiveCharacterTextSplitter(chunk_size=chunk_size, chunk_overlap=0)
    assert pieces(text, chunk_size) == splitter.split_text(text)


def test_a_megabyte_without_any_separator() -> None:
    text = "x" * 1_000_000
    assert len(pieces(text, 1024)) == 977


def test_words_stay_whole_where_they_fit() -> None:
    words = random.Random(0).choices(["salt", "eel", "glass", "ferry"], k=2_000)
    chunks = pieces(" ".join(words), 256)
    assert [word for chunk in chunks for word in re.split(r"\s+", chunk)] == words


@pytest.mark.parametrize("chunk_size", [0, -5])
def test_a_chunk_size_under_one_is_refused(chunk_size: int) -> None:
    with pytest.raises(UserError, match=rf"(?s)at least 1 character.*found: +{chunk_size}"):
        split_text("text", chunk_size)
