"""One notion of a word in every script."""

# ruff: noqa: RUF001
from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.words import count_words, fold, join_hyphenated, located_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("C, C++, C# and .NET; the end.", ["c", "c++", "c#", "and", ".net", "the", "end"]),
        ("AT&T, Brandt & Osk; a...b co-op", ["at&t", "brandt", "&", "osk", "a", "b", "co", "op"]),
        ("Öl in 東京タワー。", ["öl", "in", "東", "京", "タ", "ワ", "ー"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("배는 느리다", ["배는", "느리다"]),
        ("Straße ＡＢＣ ﬁn", ["strasse", "abc", "fin"]),
        ("\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd", ["\u05e9\u05dc\u05d5\u05dd"]),
        ("Hask\u2122 zero\u200bwidth soft\u00adhyphen", ["hask", "zerowidth", "softhyphen"]),
    ],
)
def test_words_are_those_that_a_reader_sees(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(st.sampled_from("aZ9_ .#&+(-'\n"), max_size=30))
def test_words_of_ascii_are_those_of_the_general_pattern(text: str) -> None:
    assert [*words_of(text), "é"] == words_of(f"{text} \né")


def test_composed_and_decomposed_letters_are_the_same() -> None:
    text = "L'été à Vélmora, où naît Éloïse"
    assert words_of(unicodedata.normalize("NFD", text)) == words_of(text)
    assert fold("\u0130zmir") == fold("izmir")


def test_a_word_that_a_line_end_cut_is_joined_again() -> None:
    assert join_hyphenated("The light-\nhouse of 1860-\n1870, Quill-\n  on.") == (
        "The lighthouse of 1860-\n1870, Quillon."
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("The tide, it - turned.", 5),
        ("“Café” is a word…", 4),
        ("渡船很慢。渡船很旧。", 8),
        ("บ้าน", 3),
        ("བོད་ཡིག་བོད་ཡིག", 8),
        ("Das Boot 船 fuhr", 4),
    ],
)
def test_words_are_counted_by_blanks_or_by_characters(text: str, count: int) -> None:
    assert count_words(text) == count


@given(st.text(st.sampled_from("aZ9_ .#&+(-'\n渡船，（ß™ﬁé\u0301\u200b\u00adم٣ّ"), max_size=30))
def test_words_are_located_where_they_stand(text: str) -> None:
    found = located_words(text)
    assert [each.word for each in found] == words_of(text)
    assert all(
        each.word in words_of(text[each.start : each.end]) for each in found if text.isascii()
    )
    assert all(0 <= each.start < each.end <= len(text) for each in found)


def test_a_ligature_has_the_place_of_its_run() -> None:
    text = "the ﬁne-tuned model"
    assert [text[start:end] for _, start, end in located_words(text)] == [
        "the", "ﬁne-tuned", "ﬁne-tuned", "model",
    ]  # fmt: skip
