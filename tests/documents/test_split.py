from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.documents.document import Document
from steep.documents.split import split_document

SENTENCE = "The keeper wrote the name of Mr. Osk in his book at noon. "


def story(paragraphs: int, sentences: int) -> Document:
    text = "\n\n".join((SENTENCE * sentences).strip() for _ in range(paragraphs))
    return Document("salt", "The Salt Road", text, author="Lorn, Hedda", metadata={"shelf": "3"})


def words(document: Document) -> int:
    return len(document.text.split())


def test_a_short_document_stays_itself() -> None:
    document = story(2, 2)
    assert split_document(document, words(document)) == (document,)


def test_parts_end_at_paragraphs_and_are_about_equal() -> None:
    document = story(paragraphs=40, sentences=3)
    parts = split_document(document, 300)
    assert "\n\n".join(part.text for part in parts) == document.text
    assert max(map(words, parts)) <= 300
    assert min(map(words, parts)) > 0.6 * max(map(words, parts))


def test_parts_are_numbered_and_name_their_whole() -> None:
    parts = split_document(story(40, 3), 300)
    assert [part.id for part in parts[:2]] == ["salt#01", "salt#02"]
    assert {part.whole_id for part in parts} == {"salt"}
    assert {(part.title, part.author, part.metadata["shelf"]) for part in parts} == {
        ("The Salt Road", "Lorn, Hedda", "3")
    }


def test_a_giant_paragraph_is_cut_between_sentences_and_not_after_mr() -> None:
    parts = split_document(story(paragraphs=1, sentences=100), 200)
    assert len(parts) > 5
    assert all(part.text.endswith("at noon.") for part in parts)


def test_a_giant_sentence_is_cut_between_words() -> None:
    parts = split_document(Document("a", "A", "word " * 1_001), 100)
    assert sum(map(words, parts)) == 1_001
    assert max(map(words, parts)) <= 100
    assert min(map(words, parts)) > 60


def test_a_heading_stays_with_its_section() -> None:
    sections = [f"## Section {n}\n\n{SENTENCE * 5}".strip() for n in range(12)]
    parts = split_document(Document("a", "A", "\n\n".join(sections)), 130)
    assert all(part.text.endswith("noon.") for part in parts)


TEXTS = st.lists(
    st.sampled_from(["salt", "eel.", "Old", '"glass!"', "\n\n", "\n", "## Head\n\n", " ", "1."]),
    max_size=300,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, max_words=st.integers(1, 60))
def test_no_word_is_lost_and_no_part_is_too_long(text: str, max_words: int) -> None:
    document = Document("a", "A", text)
    parts = split_document(document, max_words)
    assert [word for part in parts for word in part.text.split()] == text.split()
    assert all(words(part) <= max_words for part in parts)
    assert len({part.id for part in parts}) == len(parts)
    if len(parts) > 1:
        assert all(part.text for part in parts)


@pytest.mark.parametrize("extra", range(1, 120, 7))
def test_there_is_never_a_tiny_rest(extra: int) -> None:
    parts = split_document(Document("a", "A", ("w " * 99 + "end.\n\n") * 5 + "w " * extra), 100)
    assert min(map(words, parts)) >= 40
