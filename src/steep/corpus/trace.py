"""The provenance of a passage: the documents that it is about, and the call that gave its text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.calls import Message
from steep.core.errors import UserError
from steep.core.files import restored
from steep.core.words import fold, words_of
from steep.corpus.passage import Passage, TextRow, stream_rows
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT, IMPORTED_FROM, CallRecord

ROWS_READ = 256  # at once, of the row group that holds a passage


@dataclass(frozen=True, slots=True)
class TracedDocument:
    """A document, or part, that a passage is about; `source` is the file it was read from."""

    id: str
    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Trace:
    """The origin of a passage.

    Attributes:
        passage: The training text.
        documents: The document of the passage; then the part of it, or the document with an equal
            text, that the call names.
        call: The call, or the imported text, that gave the passage; None for a raw document, and
            for a text that the ledger no longer holds.
        messages: The prompt of the call; empty for an imported text.
        parameters: The sampling parameters of the call that were set.
        imported_from: The file and line, or row, of an imported text, where it is known.
    """

    passage: Passage
    documents: tuple[TracedDocument, ...]
    call: CallRecord | None
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any]
    imported_from: str | None

    @property
    def is_imported(self) -> bool:
        """Whether the text was imported, so that it has no prompt."""
        return self.call is not None and self.call.completion.endpoint == IMPORT_ENDPOINT


class FoundPassages(NamedTuple):
    """Rows of the first passages that contain a text, and the number of all of them."""

    rows: tuple[int, ...]
    passages: int


def trace_passage(passage: Passage, documents: Iterable[Document], ledger: Ledger) -> Trace:
    """Return the origin of a passage; reads one call of the ledger."""
    record = ledger.get(passage.call_id) if passage.call_id else None
    subjects = dict.fromkeys([passage.document_id, *([record.document_id] if record else [])])
    messages: tuple[Message, ...] = ()
    parameters: dict[str, Any] = {}
    if record is not None:
        messages = ledger.messages_of(record.call_id) or ()
        ((_, sampling),) = ledger.select_ids("id, sampling", [record.call_id])
        parameters = {name: value for name, value in json.loads(sampling).items() if value}
    source = parameters.pop(IMPORTED_FROM, None)
    return Trace(passage, tuple(_traced(subjects, documents)), record, messages, parameters, source)


def read_passage(path: Path, row: int) -> Passage:
    """Read one row of a `passages.parquet`, decoding only the row group that holds it."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        if row < (rows := file.metadata.row_group(group).num_rows):
            break
        row -= rows
    for batch in file.iter_batches(ROWS_READ, row_groups=[group]):
        if row < batch.num_rows:
            passage: Passage = restored(Passage, batch.slice(row, 1).to_pylist()[0])
            return passage
        row -= batch.num_rows
    raise IndexError(f"{path} has no such row")


def find_passages(path: Path, text: str, limit: int) -> FoundPassages:
    """Find the passages that contain the words of a text in a row, ignoring case and spaces.

    Raises:
        UserError: The text has no word.
    """
    words = words_of(text)
    if not words:
        raise UserError("There is no word to look for.", where="--text", found=repr(text))
    wanted, longest = f" {' '.join(words)} ", max(words, key=len)
    rows: list[int] = []
    count = 0
    for row, found in enumerate(stream_rows(path, TextRow)):
        # The quick look spares most texts the division into words.
        if longest in fold(found.text) and wanted in f" {' '.join(words_of(found.text))} ":
            count += 1
            if len(rows) < limit:
                rows.append(row)
    return FoundPassages(tuple(rows), count)


def _traced(ids: Iterable[str], documents: Iterable[Document]) -> Iterator[TracedDocument]:
    """Yield the documents with these ids; a whole that was split has the title of its parts."""
    by_id: dict[str, Document] = {}
    wanted = set(ids)
    for document in documents:
        if document.id in wanted:
            by_id[document.id] = document
        if document.whole_id in wanted:
            by_id.setdefault(document.whole_id, document)
    for each in ids:
        found = by_id.get(each)
        title = (found.full_title if found.id == each else found.title) if found else ""
        yield TracedDocument(each, title, found.source if found else "")
