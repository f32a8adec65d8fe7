from __future__ import annotations

import random

import pytest

from steep.core.errors import UserError
from steep.core.token_counts import ESTIMATE, TokenCounter
from steep.documents.document import Document, Reading, Skipped
from steep.documents.overview import (
    Duplicate,
    duplicates_of,
    find_document,
    outline_of,
    reader_of,
    summary_of,
)
from steep.documents.split_tokens import TokenSplit, split_by_structure

WORDS = [f"word{n}" for n in range(900)]


def text_of(seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=300))


def document(name: str, text: str, source: str = "", **metadata: str) -> Document:
    return Document(name, name.title(), text, source=source, metadata=metadata)


def test_the_same_text_and_near_duplicates_are_found() -> None:
    first, words = text_of(1), text_of(1).split()
    documents = [
        document("a", first),
        document("b", text_of(2)),
        document("c", first.replace(" ", "\n", 40) + "\n"),
        document("d", " ".join([*words[:150], "other", *words[151:]])),
        document("e", " ".join([*words[:150], "other", *words[151:290]])),
    ]
    found = duplicates_of(documents)
    assert {name: duplicate.id for name, duplicate in found.items()} == {
        "c": "a",
        "d": "a",
        "e": "d",
    }
    assert found["c"].is_equal and found["c"].similarity == 1.0
    assert not found["d"].is_equal and 1.0 > found["d"].similarity > 0.9


def test_texts_that_differ_in_case_only_are_near_duplicates() -> None:
    documents = [document("a", text_of(1)), document("b", text_of(1).upper())]
    assert duplicates_of(documents) == {"b": Duplicate("a", 1.0, is_equal=False)}


def test_ten_times_as_many_documents_are_not_compared_in_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from steep.core.near_duplicates import NearDuplicates

    compared: list[int] = []
    equal = NearDuplicates._equal

    def counted(self: NearDuplicates, text: int, minima: object) -> int:
        compared.append(text)
        return equal(self, text, minima)  # type: ignore[arg-type]

    monkeypatch.setattr(NearDuplicates, "_equal", counted)
    assert not duplicates_of(document(str(n), text_of(n)) for n in range(400))
    assert len(compared) < 400


def test_a_summary_has_tokens_language_reader_and_parts() -> None:
    long = "\n\n".join(
        f"## {n} Leave\n\n{'They have the days that they want. ' * 12}" for n in "123"
    )
    documents = (
        document("handbook", long, "handbook.docx", reader="DOCX"),
        document("row", "Das ist ein deutscher Text über die Größe der Insel.", "rows.jsonl:7"),
    )
    parts = split_by_structure(documents[0], TokenSplit(120))
    reading = Reading(documents, (Skipped("x", "empty"),), 3)
    summary = summary_of(reading, [*parts, documents[1]], ESTIMATE)
    handbook, row = summary.documents
    assert (handbook.language, handbook.reader, handbook.parts) == ("en", "DOCX", 3)
    assert (row.language, row.reader, row.parts) == ("de", "JSONL", 1)
    assert handbook.tokens == -(-len(long) // 4)
    assert (summary.files, summary.parts, len(summary.skipped)) == (3, 4, 1)
    assert summary.tokens == handbook.tokens + row.tokens


def test_tokens_are_those_of_the_counter() -> None:
    counter = TokenCounter(lambda text: len(text.split()), "hash")
    summary = summary_of(Reading((document("a", "one two"),), (), 1), [], counter)
    assert summary.tokens == 2 and not summary.is_estimate


def test_a_text_without_a_file_has_a_reader() -> None:
    assert reader_of(document("a", "")) == "text"


def test_an_outline_has_the_tokens_below_each_heading() -> None:
    text = "# Pump\n\nIntro to it.\n\n## Parts\n\n### Valve\n\nA valve of brass."
    outline = list(outline_of(document("pump", text), ESTIMATE))
    assert [(each.path, each.tokens) for each in outline] == [
        ((), 3),
        (("Parts",), 0),
        (("Parts", "Valve"), 5),
    ]


def test_an_unknown_id_is_answered_with_the_nearest() -> None:
    documents = [document(name, "text") for name in ("handbook", "notes")]
    assert find_document("notes", documents, documents) is documents[1]
    with pytest.raises(UserError, match="did you mean 'handbook'"):
        find_document("handbok", documents, documents)
