"""Chunks of documents, which are searched and shown before a question.

A chunk is exactly `document.text[start:end]`. It is embedded, ranked and shown under the title,
author and year of its document, as in the paper (appendix F), with the titles of the sections that
it stands in. These lines do not count towards the chunk size. Documents that are split for the
generator are cut whole, so that chunks do not depend on its parts.

A text is cut at its paragraphs; where these are too long, at lines, then words, then characters.
The cuts are those of LangChain's RecursiveCharacterTextSplitter with its default separators,
without overlap, lengths in characters, which the paper used. A separator stays at the head of what
follows it, neighbors are joined as long as they fit, and a chunk has no white space at its ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.documents.document import TITLE_SEPARATOR, Document
from steep.documents.split import whole_documents
from steep.documents.structure import path_of, sections_of

SEPARATORS = ("\n\n", "\n", " ")  # where none of them is left, a text is cut at any character


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    `document_id` is that of the whole document, as in questions; `start` and `end` are places in
    its text.
    """

    id: str
    document_id: str
    start: int
    end: int
    text: str
    heading: str

    @property
    def shown(self) -> str:
        """Return the text under the heading, as it is searched and shown."""
        return f"{self.heading}\n\n{self.text}"


class Chunking(NamedTuple):
    """All chunks, in the order of documents and places; `blank` are documents without text."""

    chunks: tuple[Chunk, ...]
    blank: tuple[str, ...]


def cut_documents(documents: Sequence[Document], chunk_size: int) -> Chunking:
    """Cut all documents into chunks of at most `chunk_size` characters.

    Raises:
        UserError: The documents have no text, or `chunk_size` is less than 1.
    """
    wholes = whole_documents(documents)
    chunks = [chunk for document in wholes.values() for chunk in _cut(document, chunk_size)]
    if not chunks:
        raise UserError(
            "There is no text to search.",
            expected="at least one document with a text",
            found=f"{len(documents)} documents, all of them blank" if documents else "no document",
        )
    filled = {chunk.document_id for chunk in chunks}
    return Chunking(tuple(chunks), tuple(each for each in wholes if each not in filled))


def heading_of(document: Document, titles: Sequence[str] = ()) -> str:
    """Return lines with the full title, and with author and year where they are known.

    Args:
        document: The document, or a part of it.
        titles: Of sections within its text, the highest first.
    """
    lines = [f"Title: {TITLE_SEPARATOR.join([document.full_title, *titles])}"]
    if document.author_name:
        lines.append(f"Author: {document.author_name}")
    if document.year:
        lines.append(f"Year: {document.year}")
    return "\n".join(lines)


def hash_of(chunks: Sequence[Chunk]) -> str:
    """Return a hash of all chunks, in their order."""
    return stable_hash([[chunk.id, chunk.shown] for chunk in chunks])


def _cut(document: Document, chunk_size: int) -> list[Chunk]:
    sections = sections_of(document.text, document.title)
    return [
        Chunk(
            id=f"{document.id}:{start}-{end}",
            document_id=document.id,
            start=start,
            end=end,
            text=document.text[start:end],
            heading=heading_of(document, path_of(sections, start, end)),
        )
        for start, end in split_text(document.text, chunk_size)
    ]


class TextSpan(NamedTuple):
    """A piece of a text: `text[start:end]`."""

    start: int
    end: int


def split_text(text: str, chunk_size: int) -> list[TextSpan]:
    """Cut into chunks of at most `chunk_size` characters; a blank text has none.

    Raises:
        UserError: `chunk_size` is less than 1.
    """
    if chunk_size < 1:
        raise UserError(
            "Chunks cannot be empty.",
            expected="a chunk size of at least 1 character (paper: 256, 512 or 1024)",
            found=chunk_size,
        )
    return list(_split(text, TextSpan(0, len(text)), chunk_size, SEPARATORS))


def _split(
    text: str, whole: TextSpan, chunk_size: int, separators: Sequence[str]
) -> Iterator[TextSpan]:
    left = [each for each in separators if text.find(each, *whole) >= 0]
    if not left:
        yield from _cut_anywhere(text, whole, chunk_size)
        return
    waiting: list[TextSpan] = []  # neighbors that may share a chunk
    for piece in _pieces(text, whole, left[0]):
        if piece.end - piece.start < chunk_size:
            waiting.append(piece)
            continue
        yield from _joined(text, waiting, chunk_size)
        waiting = []
        yield from _split(text, piece, chunk_size, left[1:])
    yield from _joined(text, waiting, chunk_size)


def _cut_anywhere(text: str, whole: TextSpan, chunk_size: int) -> Iterator[TextSpan]:
    for start in range(whole.start, whole.end, chunk_size):
        yield from _stripped(text, TextSpan(start, min(start + chunk_size, whole.end)))


def _pieces(text: str, whole: TextSpan, separator: str) -> Iterator[TextSpan]:
    """Yield the pieces between separators, each with the separator before it."""
    cuts = [whole.start]
    cut = text.find(separator, whole.start, whole.end)
    while cut >= 0:
        cuts.append(cut)
        cut = text.find(separator, cut + len(separator), whole.end)
    cuts.append(whole.end)
    yield from (TextSpan(start, end) for start, end in pairwise(cuts) if start < end)


def _joined(text: str, pieces: Sequence[TextSpan], chunk_size: int) -> Iterator[TextSpan]:
    """Join neighbors as long as they fit, without the white space around them."""
    if not pieces:
        return
    start, end = pieces[0]
    for piece in pieces[1:]:
        if piece.end - start > chunk_size:
            yield from _stripped(text, TextSpan(start, end))
            start = piece.start
        end = piece.end
    yield from _stripped(text, TextSpan(start, end))


def _stripped(text: str, span: TextSpan) -> Iterator[TextSpan]:
    """Yield the span without white space at its ends, unless it is empty then."""
    inside = text[span.start : span.end]
    start = span.start + len(inside) - len(inside.lstrip())
    end = span.start + len(inside.rstrip())
    if start < end:
        yield TextSpan(start, end)
