"""Summaries of the documents that were read: lengths, languages, parts and duplicates."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steep.core.errors import UserError
from steep.core.token_counts import TokenCounter
from steep.documents.archives import uncompressed_name
from steep.documents.document import Document, Reading, Skipped
from steep.documents.language import document_language
from steep.documents.structure import sections_of

SIMILARITY = 0.7  # of near-duplicates; the default of corpus.near_duplicates
SHOWN_IDS = 5

_RECORD = re.compile(r":\d+$")  # the line or row of a file


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An earlier document with the same or a similar text.

    Attributes:
        id: Of the earlier document.
        similarity: The Jaccard similarity of the sets of 5-word sequences.
        is_equal: Whether the texts differ in white space at most.
    """

    id: str
    similarity: float
    is_equal: bool


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A whole document as it was read.

    Attributes:
        id: Of the document.
        title: Of the document.
        source: The file, or `file:line`, that it was read from.
        reader: The format that it was read as, e.g. `PDF`.
        tokens: Of its text.
        language: As an ISO 639-1 code; None if it is not clear.
        parts: Number of parts that it is split into.
        duplicate_of: The earlier document with the same text, or the most similar one; if any.
    """

    id: str
    title: str
    source: str
    reader: str
    tokens: int
    language: str | None
    parts: int
    duplicate_of: Duplicate | None


@dataclass(frozen=True, slots=True)
class SectionSummary:
    """A section of a document: its titles from the highest on, and the tokens of its own text."""

    path: tuple[str, ...]
    level: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ReadingSummary:
    """All documents that were read, and the files and records that were skipped.

    `is_estimate` is true if tokens are not those of a tokenizer.
    """

    documents: tuple[DocumentSummary, ...]
    skipped: tuple[Skipped, ...]
    files: int
    is_estimate: bool

    @property
    def left_out(self) -> int:
        """The number of files and records that were skipped, without notes."""
        return sum(not each.kept for each in self.skipped)

    @property
    def notes(self) -> int:
        """The number of notes on documents that are kept."""
        return len(self.skipped) - self.left_out

    @property
    def tokens(self) -> int:
        """The tokens of all documents."""
        return sum(document.tokens for document in self.documents)

    @property
    def parts(self) -> int:
        """The number of parts of all documents."""
        return sum(document.parts for document in self.documents)


def summary_of(
    reading: Reading, parts: Iterable[Document], counter: TokenCounter
) -> ReadingSummary:
    """Return the summary of a reading.

    Args:
        reading: The whole documents.
        parts: The same documents, split.
        counter: Counts tokens.
    """
    numbers = Counter(part.whole_id for part in parts)
    duplicates = duplicates_of(reading.documents)
    documents = tuple(
        DocumentSummary(
            document.id,
            document.title,
            document.source,
            reader_of(document),
            counter.count(document.text),
            document_language(document.text),
            numbers[document.id],
            duplicates.get(document.id),
        )
        for document in reading.documents
    )
    return ReadingSummary(documents, reading.skipped, reading.files, counter.tokenizer is None)


def duplicates_of(documents: Iterable[Document]) -> Mapping[str, Duplicate]:
    """Return, by id, the earlier document with an equal text, or else the most similar one.

    Equal texts may differ in white space. The work grows with the length of all texts, not with
    the number of pairs.
    """
    from steep.core.near_duplicates import NearDuplicates, sketch_of

    index, compared = NearDuplicates(SIMILARITY), list[str]()
    first: dict[bytes, str] = {}
    found: dict[str, Duplicate] = {}
    for document in documents:
        text = " ".join(document.text.split())
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if (same := first.setdefault(key, document.id)) != document.id:
            found[document.id] = Duplicate(same, 1.0, is_equal=True)
            continue
        similar = index.add_and_compare(sketch_of(text, SIMILARITY))
        if similar is not None:
            found[document.id] = Duplicate(
                compared[similar.number], similar.similarity, is_equal=False
            )
        compared.append(document.id)
    return found


def reader_of(document: Document) -> str:
    """Return the reader of a document: as its metadata says, else the suffix of its file."""
    suffix = Path(uncompressed_name(_RECORD.sub("", document.source))).suffix
    return document.metadata.get("reader") or suffix.removeprefix(".").upper() or "text"


def outline_of(document: Document, counter: TokenCounter) -> Iterator[SectionSummary]:
    """Yield the sections of a document; the text before the first heading has no titles."""
    for section in sections_of(document.text, document.title):
        text = document.text[section.body : section.end].strip()
        yield SectionSummary(section.path, section.level, counter.count(text) if text else 0)


def find_document(name: str, documents: Sequence[Document], parts: Sequence[Document]) -> Document:
    """Return the document, or part, with this id.

    Raises:
        UserError: There is none.
    """
    known = {each.id: each for each in (*parts, *documents)}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    ids = list(known)
    more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
    raise UserError(
        "There is no document with this id.",
        where="--show",
        expected=", ".join(ids[:SHOWN_IDS]) + more,
        found=name,
        hint=f"did you mean '{near[0]}'?" if near else "steep documents --all lists the ids",
    )
