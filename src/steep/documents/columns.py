"""Records become documents: which column is which field, and what is made up where one is missing.

Columns that `documents.columns` does not name are found by usual names; what was assumed is a note
of the file. An id that is missing is made of the file's name and a hash of the text, so that it
depends neither on the machine nor on the order of the records.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from steep.core.formatting import count, shorten
from steep.core.ids import stable_hash
from steep.documents.clean import clean_text, one_line
from steep.documents.config import ColumnsConfig
from steep.documents.document import Document, Reading, Skipped
from steep.documents.readers import author_names, first_line_title
from steep.documents.records import BadRecord, optional_text, optional_year, whole_number

FIELDS = ("id", "title", "text", "author", "year")
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "_id", "doc_id", "docid", "document_id", "uuid", "guid"),
    "title": ("title", "headline", "heading", "subject", "name"),
    "text": (
        "text", "content", "contents", "body", "full_text", "fulltext", "page_content",
        "raw_content", "article", "document", "markdown", "passage", "story", "transcript",
    ),
    "author": ("author", "authors", "creator", "byline"),
    "year": ("year", "date", "published", "pub_date", "publication_date", "published_date"),
}  # fmt: skip
HASH_DIGITS = 12
MADE_OF = "made of the file's name and a hash of the text"
TITLE_CHARACTERS = 60
SHOWN_NAMES = 120  # characters of the names that were found


class ColumnNames(NamedTuple):
    """The columns of one kind of record; empty texts where there is none."""

    id: str
    title: str
    text: tuple[str, ...]
    author: str
    year: str

    @property
    def used(self) -> list[str]:
        """Return the names of all columns that are read."""
        named = (self.id, self.title, *self.text, self.author, self.year)
        return [*dict.fromkeys(filter(None, named))]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """The file that records are read from.

    Attributes:
        name: For messages.
        id: What the ids begin with that are made up.
        columns: As in the configuration.
    """

    name: str
    id: str
    columns: ColumnsConfig


@dataclass(slots=True)
class _Notes:
    """What was assumed or left out, per kind: its first place, and how often."""

    first: dict[str, Skipped] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, source: str, reason: str) -> None:
        self.first.setdefault(kind, Skipped(source, reason, kept=True))
        self.counts[kind] += 1

    def all(self) -> list[Skipped]:
        return [self._counted(kind, note) for kind, note in self.first.items()]

    def _counted(self, kind: str, note: Skipped) -> Skipped:
        more = self.counts[kind] - 1
        reason = f"{note.reason} (and {count(more)} more like it)" if more else note.reason
        return Skipped(note.source, reason, kept=True)


def read_records(
    records: Iterable[tuple[str, Mapping[str, Any]]], file: RecordFile, skipped: list[Skipped]
) -> Reading:
    """Return the documents of records, each with its place (`file:line`).

    Args:
        records: Read one by one, so that a file need not fit into memory.
        file: Where they are from.
        skipped: Records that could not be read; the iterator may append to it.
    """
    documents: list[Document] = []
    notes = _Notes()
    assumed: dict[ColumnNames, None] = {}
    for source, record in records:
        try:
            names = column_names(tuple(record), file.columns)
            documents.append(_document(record, source, file, names, notes))
            assumed[names] = None
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
        except Exception as error:  # one odd record must not cost the others
            skipped.append(Skipped(source, reader_failed(error)))
    lost = [each for each in skipped if not each.kept]
    if len(lost) > 1 and not documents:  # a file of another kind: one reason, not one per record
        reason = f"none of its {count(len(lost))} records is a document; the first: "
        return Reading((), (Skipped(file.name, reason + lost[0].reason),), 1)
    said = [Skipped(file.name, each, kept=True) for each in _assumptions(assumed, file.columns)]
    return Reading(tuple(documents), (*said, *skipped, *notes.all()), 1)


def reader_failed(error: Exception) -> str:
    """Return the reason for something that a reader did not expect."""
    return f"the reader failed: {one_line(f'{type(error).__name__}: {error}')}"


@lru_cache(maxsize=1024)
def column_names(keys: tuple[str, ...], columns: ColumnsConfig) -> ColumnNames:
    """Return which key of a record is which field.

    Raises:
        BadRecord: There is no text, or a named column is missing that a document needs.
    """
    named = (columns.text,) if isinstance(columns.text, str) else columns.text
    text = named or tuple(filter(None, [_usual("text", keys)]))
    if missing := [each for each in text if each not in keys]:
        raise _no_column(missing[0], "text", keys)
    if not text:
        found = _shown(keys)
        raise BadRecord(
            f"expected the key 'text', found {found}; name the column of the text in "
            "documents.columns"
        )
    if columns.id is not None and columns.id not in keys:
        raise _no_column(columns.id, "id", keys)
    others = {
        name: getattr(columns, name) or _usual(name, keys) for name in FIELDS if name != "text"
    }
    return ColumnNames(text=text, **others)


def _usual(name: str, keys: tuple[str, ...]) -> str:
    """Return the key with the first of the usual names, in any case of its letters."""
    folded = {str(key).strip().casefold(): key for key in reversed(keys)}
    return next((folded[each] for each in USUAL_NAMES[name] if each in folded), "")


def _shown(keys: Iterable[object]) -> str:
    return shorten(", ".join(map(str, keys)), SHOWN_NAMES) or "no keys"


def _no_column(name: str, field_name: str, keys: tuple[str, ...]) -> BadRecord:
    return BadRecord(
        f"expected the column '{name}' (documents.columns.{field_name}), found {_shown(keys)}"
    )


def _assumptions(found: Iterable[ColumnNames], columns: ColumnsConfig) -> list[str]:
    """Return what is worth saying about the columns that were used."""
    guesses: dict[str, None] = {}
    made_up = False
    for names in found:
        for name in FIELDS:
            value = names.text[0] if name == "text" else getattr(names, name)
            if getattr(columns, name) is None and value and value != name:
                guesses[f"{name} from '{value}'"] = None
        made_up |= not names.id
    lines = [f"read {', '.join(guesses)}; documents.columns names others"] if guesses else []
    if made_up:
        lines.append(f"there is no column of ids; they are {MADE_OF}")
    return lines


def _document(
    record: Mapping[str, Any], source: str, file: RecordFile, names: ColumnNames, notes: _Notes
) -> Document:
    text = clean_text(_text(record, names.text))
    if not text:
        raise BadRecord("the text is empty")

    def optional(name: str, read: Any) -> Any:
        column = getattr(names, name)
        if not column:
            return None
        try:
            if column not in record:
                raise _no_column(column, name, tuple(record))
            return read({name: record[column]})
        except BadRecord as error:
            reason = f"the document is kept without its {name}: {error}"
            notes.add(name, source, reason)
            return None

    document_id = _id(record, names.id)
    if names.id and not document_id:
        notes.add("id", source, f"it has no id; one is {MADE_OF}")
    title = one_line(optional("title", _title) or first_line_title(text) or document_id)
    return Document(
        id=document_id or f"{file.id}-{stable_hash([text], HASH_DIGITS)}",
        title=title or shorten(one_line(text[: 4 * TITLE_CHARACTERS]), TITLE_CHARACTERS),
        text=text,
        author=optional("author", _author),
        year=optional("year", _year),
        source=source,
    )


def _text(record: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """Return the text of one column, or of several as paragraphs; a list is paragraphs, too."""
    parts = [_part(record[column], column) for column in columns]
    text = "\n\n".join(filter(None, parts))
    if not text.strip():
        raise BadRecord("the text is empty")
    return text


def _part(value: Any, column: str) -> str:
    value = whole_number(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n\n".join(value)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadRecord(f"expected a text as '{column}', found {value!r:.60}")
    return value


def _id(record: Mapping[str, Any], column: str) -> str:
    """Return the id of a record; empty where there is none."""
    value = whole_number(record.get(column)) if column else None
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRecord(f"expected a text as '{column}', found {value!r:.60}")
    return one_line(str(value))


def _title(record: Mapping[str, Any]) -> str | None:
    value = whole_number(record["title"])
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return optional_text({"title": value}, "title")


def _author(record: Mapping[str, Any]) -> str | None:
    value = record["author"]
    is_several = isinstance(value, (list, dict))
    return author_names(value) if is_several else optional_text(record, "author")


def _year(record: Mapping[str, Any]) -> int | None:
    value = record["year"]
    return value.year if isinstance(value, datetime.date) else optional_year(record)
