from __future__ import annotations

from dataclasses import replace

import pytest
from small_corpus import DOCUMENTS, FERRY, GLASS

from steep.core.errors import UserError
from steep.documents.document import Document
from steep.documents.split_tokens import TokenSplit, split_by_structure
from steep.retrieval.chunks import cut_documents, hash_of

PAGE = "# Ferry\n\nIt crosses.\n\n## Crew\n\n### Captain\n\nOdile Marsh.\n\n## Rope\n\nOf steel."


def test_a_chunk_is_a_piece_of_its_document_under_a_heading() -> None:
    chunks, blank = cut_documents(DOCUMENTS, 40)
    by_id = {document.id: document for document in DOCUMENTS}
    assert not blank
    assert {chunk.document_id for chunk in chunks} == by_id.keys()
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    for chunk in chunks:
        assert chunk.text == by_id[chunk.document_id].text[chunk.start : chunk.end]
    assert chunks[1].id == "ferry:37-64"
    assert chunks[1].shown == (
        "Title: The Quillon Ferry\nAuthor: Hedda Pell\nYear: 1961\n\nIts captain is Odile Marsh."
    )


def test_what_is_not_known_has_no_line() -> None:
    (chunk,) = cut_documents([GLASS], 1024).chunks
    assert chunk.heading == "Title: Glass of Velmora"


@pytest.mark.parametrize("overlap", [0, 20])
def test_chunks_of_parts_are_those_of_the_whole(overlap: int) -> None:
    text = PAGE.replace("Odile Marsh.", "Odile Marsh knows it. " * 40)
    whole = Document("page", "Ferry", text)
    parts = split_by_structure(whole, TokenSplit(80, overlap))
    assert len(parts) > 2
    assert cut_documents(parts, 60) == cut_documents([whole], 60)


def test_blank_documents_are_named() -> None:
    chunks, blank = cut_documents([FERRY, Document("void", "Void", " \n")], 1024)
    assert len(chunks) == 1
    assert blank == ("void",)


@pytest.mark.parametrize(
    ("documents", "found"),
    [((), "no document"), ((Document("void", "Void", " "),), "1 documents, all of them blank")],
)
def test_an_empty_corpus_is_refused(documents: tuple[Document, ...], found: str) -> None:
    with pytest.raises(UserError, match=found):
        cut_documents(documents, 1024)


def test_the_hash_sees_text_heading_and_order() -> None:
    chunks = cut_documents(DOCUMENTS, 40).chunks
    assert hash_of(chunks) == hash_of(cut_documents(DOCUMENTS, 40).chunks)
    retitled = cut_documents([replace(FERRY, title="Other"), *DOCUMENTS[1:]], 40).chunks
    assert len({hash_of(each) for each in (chunks, chunks[::-1], chunks[1:], retitled)}) == 4


def test_a_chunk_stands_under_the_titles_of_its_sections() -> None:
    page = Document("page", "Ferry", PAGE)
    titles = [(chunk.text, chunk.heading) for chunk in cut_documents([page], 24).chunks]
    assert titles == [
        ("# Ferry\n\nIt crosses.", "Title: Ferry"),
        ("## Crew\n\n### Captain", "Title: Ferry > Crew"),
        ("Odile Marsh.\n\n## Rope", "Title: Ferry > Crew > Captain"),
        ("Of steel.", "Title: Ferry > Rope"),
    ]
