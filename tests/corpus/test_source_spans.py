"""What a passage shares with its document: properties of any texts, languages, names, numbers."""

# ruff: noqa: RUF001
from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.files import write_jsonl
from steep.core.words import words_of
from steep.corpus.source_spans import SourceComparison, SourceText, compare, read_sources

SOURCE = (
    "Ottoline Brask built the tide engine of Veldmar in 1931. It has twelve pumps, cost 12,500 "
    "crowns and was sold to the Council of Sennet. Kenya bought the drawings."
)
WORDS = ["a", "b", "c", "d", "e", "7", "12,000", "Brask"]
ENGLISH = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
ANY = st.text(st.sampled_from("ab c1.,\nD渡船，ß\u0301ﬁ"), max_size=60)


def kinds(passage: str, source: str = SOURCE) -> list[tuple[str, str]]:
    spans = compare(passage, SourceText(source)).spans
    return [(each.kind, passage[each.start : each.end]) for each in spans]


@given(st.one_of(ENGLISH, ANY), st.one_of(ENGLISH, ANY))
def test_spans_are_disjoint_ordered_and_inside_both_texts(passage: str, source: str) -> None:
    found = compare(passage, SourceText(source))
    assert all(0 <= each.start < each.end <= len(passage) for each in found.spans)
    assert all(one.end <= other.start for one, other in pairwise(found.spans))
    for each in found.spans:
        assert (each.place is None) == each.kind.startswith("new")
        assert each.place is None or 0 <= each.place[0] < each.place[1] <= len(source)


@given(ENGLISH, ENGLISH)
def test_runs_have_the_words_of_all_common_n_grams(passage: str, source: str) -> None:
    words, other = words_of(passage), words_of(source)
    size = 4
    grams = {tuple(other[start : start + size]) for start in range(len(other) - size + 1)}
    common = {
        start + place
        for start in range(len(words) - size + 1)
        if tuple(words[start : start + size]) in grams
        for place in range(size)
    }
    assert compare(passage, SourceText(source)).run_words == len(common)


@given(ENGLISH, ENGLISH)
def test_a_run_has_the_words_of_its_place(passage: str, source: str) -> None:
    for each in compare(passage, SourceText(source)).spans:
        if each.kind == "run" and each.place:
            own = f" {' '.join(words_of(passage[each.start : each.end]))} "
            assert own in f" {' '.join(words_of(source[slice(*each.place)]))} "


@pytest.mark.parametrize(
    "text",
    [
        SOURCE,
        "Der Leuchtturm am Ostrelsee wurde 1862 von Johanna Brandt gebaut, sagt die Straßenkarte.",
        "陆明远在一八六二年建造了青石桥。赵秋月为青石桥写了一首诗。",
        "بُنيت المنارة على شاطئ البحيرة سنة ١٨٦٢، ثم باعها الصيادون.",
    ],
)
def test_a_copy_is_one_run_and_words_in_another_order_are_none(text: str) -> None:
    (run,) = compare(f"So: {text}", SourceText(f"Before. {text} After.")).spans
    assert run.kind == "run"
    words = words_of(text)
    mixed = words[::-1]
    random.Random(1).shuffle(mixed)
    separator = "" if len(words) > 2 * len(text.split()) else " "
    found = compare(separator.join(mixed), SourceText(text))
    assert found.run_words == 0 and found.words == len(words)


def test_scripts_without_spaces_need_twice_as_many_characters() -> None:
    source = SourceText("陆明远在一八六二年建造了青石桥。")
    assert compare("陆明远在一八六", source).run_words == 0
    found = compare("陆明远在一八六二", source)
    assert (found.run_words, found.run_length) == (8, 8)


def test_names_and_numbers_are_looked_up() -> None:
    passage = "In Veldmar, the engineer Piet Brask spent 12.500 crowns, 3 men and 12 pumps in 1932."
    assert kinds(passage) == [
        ("name", "Veldmar"),
        ("new name", "Piet"),
        ("name", "Brask"),
        ("number", "12.500"),
        ("new number", "3"),
        ("number", "12"),
        ("new number", "1932"),
    ]
    found = compare(passage, SourceText(SOURCE))
    assert (found.names, found.source_names, found.numbers, found.source_numbers) == (2, 1, 4, 2)


def test_another_number_is_new_within_copied_words() -> None:
    assert kinds("It has twelve pumps, cost 12,700 crowns and was sold to the mayor.") == [
        ("run", "It has twelve pumps, cost "[:-1]),
        ("new number", "12,700"),
        ("run", "crowns and was sold to the"),
    ]


@pytest.mark.parametrize(
    "passage",
    [
        "**Growth of Trade:** it grew.",
        "# The Hidden Meaning of Pumps\nthey pump",
        "1. Loss of Challenge: the loss",
        "Economic And Social Impact\nit fell",
        "Economists agree. Historians agree. “Poets agree.”",
        "So the Kenyans and Kenyan women bought it from the Council.",
    ],
)
def test_headings_openers_and_other_forms_are_no_new_names(passage: str) -> None:
    assert [text for kind, text in kinds(passage) if kind == "new name"] == []


def test_german_nouns_are_no_names() -> None:
    source = "Der Leuchtturm am Ostrelsee wurde von Johanna Brandt gebaut und steht am Ufer."
    passage = (
        "Am Hafen sagt man, dass der Turm und das Haus von der Familie gebaut wurden, und dass "
        "dort auch die kluge Helene Quist lebte, die an dem Ufer eine Schule hatte."
    )
    assert [text for kind, text in kinds(passage, source) if kind == "new name"] == ["Helene Quist"]


def test_sources_are_whole_documents_with_their_heading(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    rows = [
        {"id": "a#1", "title": "A", "text": "one", "year": 1931, "metadata": {"part_of": "a"}},
        {"id": "b", "title": "B", "text": "# B\nother", "metadata": {}},
        {"id": "a#2", "title": "A", "text": "two", "year": 1931, "metadata": {"part_of": "a"}},
        {"id": "c", "title": "C", "text": "not wanted", "metadata": {}},
    ]
    write_jsonl(path, rows)
    found = read_sources(path, {"a", "b"})
    assert {name: each.text for name, each in found.items()} == {
        "a": '"A", 1931.\n\none\n\ntwo',
        "b": "# B\nother",
    }


def test_much_repetition_is_compared_in_time() -> None:
    found: SourceComparison = compare("la " * 1000, SourceText("la " * 1000))
    assert found.run_words == 1000
