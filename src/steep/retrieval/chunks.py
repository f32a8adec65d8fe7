"""Chunks of documents: what is searched for, and shown before a question.

A chunk is exactly `document.text[start:end]`. What is embedded, ranked and shown stands under the
title, author and year of its document, as in the paper (appendix F): a passage from the middle of a
story seldom says which story it is. These lines do not count towards the chunk size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.documents.document import Document
from steep.retrieval.split import split_text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    `document_id` is the whole document's, as in questions; `start` and `end` are places in the text
    of the document, or of the part, that the id begins with.
    """

    id: str
    document_id: str
    start: int
    end: int
    text: str
    heading: str

    @property
    def shown(self) -> str:
        """The text under the heading: what is searched, and what a reader gets."""
        return f"{self.heading}\n\n{self.text}"


class Chunking(NamedTuple):
    """All chunks, in the order of documents and places; `blank` had no text to cut."""

    chunks: tuple[Chunk, ...]
    blank: tuple[str, ...]


def cut_documents(documents: Sequence[Document], chunk_size: int) -> Chunking:
    """Cut all documents into chunks of at most `chunk_size` characters.

    Raises:
        UserError: There is nothing to cut, or `chunk_size` is less than 1.
    """
    chunks = [chunk for document in documents for chunk in _cut(document, chunk_size)]
    if not chunks:
        raise UserError(
            "There is no text to search.",
            expected="at least one document with a text",
            found=f"{len(documents)} documents, all of them blank" if documents else "no document",
        )
    filled = {chunk.document_id for chunk in chunks}
    blank = dict.fromkeys(each.whole_id for each in documents if each.whole_id not in filled)
    return Chunking(tuple(chunks), tuple(blank))


def heading_of(document: Document) -> str:
    """Lines with the title, and with author and year where they are known."""
    lines = [f"Title: {document.title}"]
    if document.author_name:
        lines.append(f"Author: {document.author_name}")
    if document.year:
        lines.append(f"Year: {document.year}")
    return "\n".join(lines)


def hash_of(chunks: Sequence[Chunk]) -> str:
    """A hash of all that a search can find, and of its order."""
    return stable_hash([[chunk.id, chunk.shown] for chunk in chunks])


def _cut(document: Document, chunk_size: int) -> list[Chunk]:
    heading = heading_of(document)
    return [
        Chunk(
            id=f"{document.id}:{start}-{end}",
            document_id=document.whole_id,
            start=start,
            end=end,
            text=document.text[start:end],
            heading=heading,
        )
        for start, end in split_text(document.text, chunk_size)
    ]
