"""JSON and JSON Lines: records, read one by one where the format allows it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from steep.documents.columns import ColumnNames, RecordFile, column_names, read_records
from steep.documents.document import Reading, Skipped
from steep.documents.encodings import read_lines, read_text
from steep.documents.quality import first_record, is_quality
from steep.documents.readers import SourceFile, read_quality_stories
from steep.documents.records import BadRecord, records_of_lines

EXPECTED = "an array of objects, an object that holds one, an object of columns, or one document"
SHOWN_KEYS = 5
SHOWN_CHARACTERS = 60
_BLANKS = " \t\r\n"

Records = Iterator[tuple[str, Mapping[str, Any]]]


def read_jsonl(path: Path, file: RecordFile) -> Reading:
    """Read one document per line, or the format of QuALITY."""
    skipped: list[Skipped] = []
    lines = read_lines(path, file.name, skipped)
    start: list[str] = []
    for line in lines:  # up to the first that is not blank
        start.append(line)
        if line.strip("\ufeff" + _BLANKS):
            break
    every = itertools.chain(start, lines)
    if is_quality(first_record("".join(start))):
        return _quality(every, file, skipped)
    return read_records(records_of_lines(every, file.name, skipped), file, skipped)


def read_quality(path: Path, file: RecordFile) -> Reading:
    """Read the articles of a QuALITY file of any suffix."""
    skipped: list[Skipped] = []
    return _quality(read_lines(path, file.name, skipped), file, skipped)


def read_json(path: Path, file: RecordFile) -> Reading:
    """Read a JSON file: objects in an array or under one key, columns, one document, or lines."""
    skipped: list[Skipped] = []
    text = read_text(path, file.name, skipped).strip(_BLANKS + "\ufeff")
    if not text:
        return Reading((), tuple(skipped), 1)
    if text.startswith("["):
        return read_records(_elements(text, file.name, skipped), file, skipped)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if first_record(text) is not None:  # JSON Lines under another name
            return read_jsonl(path, file)
        reason = f"expected JSON, found {text[:SHOWN_CHARACTERS]!r}: {error}"
        return Reading((), (*skipped, Skipped(file.name, reason)), 1)
    if is_quality(value):
        return _quality([text.replace("\n", " ")], file, skipped)
    try:
        records = _records_of(value, file)
    except BadRecord as error:
        return Reading((), (*skipped, Skipped(file.name, str(error))), 1)
    return read_records(records, file, skipped)


def _quality(lines: Iterable[str], file: RecordFile, skipped: list[Skipped]) -> Reading:
    text = "\n".join(line.rstrip("\n") for line in lines)
    reading = read_quality_stories(SourceFile(file.name, file.id, text))
    return Reading(reading.documents, (*skipped, *reading.skipped), 1)


def _elements(text: str, name: str, skipped: list[Skipped]) -> Records:
    """Yield the elements of an array one by one; what follows a mistake cannot be read."""
    decoder, place, number = json.JSONDecoder(), 1, 0
    while True:
        place = _after_blanks(text, place)
        if text.startswith("]", place) and number == 0:
            return
        number += 1
        source = f"{name}:{number}"
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            found = f"found {text[place : place + SHOWN_CHARACTERS]!r}: {error}"
            reason = f"expected a JSON object, {found}; what follows is not read"
            skipped.append(Skipped(source, reason))
            return
        yield from _element(value, source, skipped)
        place = _after_blanks(text, place)
        if not text.startswith(",", place):
            rest = text[place : place + SHOWN_CHARACTERS]
            if rest != "]":
                reason = f"expected the end of the array after {source}, found {rest!r}"
                skipped.append(Skipped(name, f"{reason}; what follows is not read"))
            return
        place += 1


def _after_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BLANKS:
        place += 1
    return place


def _element(value: Any, source: str, skipped: list[Skipped]) -> Records:
    """Yield a record; a bare text is a document, too."""
    if isinstance(value, Mapping):
        yield source, value
    elif isinstance(value, str):
        yield source, {"text": value}
    else:
        found = json.dumps(value)[:SHOWN_CHARACTERS]
        skipped.append(Skipped(source, f"expected a JSON object, found {found}"))


def _records_of(value: Any, file: RecordFile) -> Records:
    """Return the records in one JSON object.

    Raises:
        BadRecord: It is of a form that has none.
    """
    if not isinstance(value, dict):
        raise BadRecord(f"expected {EXPECTED}, found {json.dumps(value)[:SHOWN_CHARACTERS]}")
    names = _names(value, file)
    if names is not None and all(isinstance(value[key], str) for key in names.text):
        own = value if names.id else {"id": file.id, **value}
        return _numbered([own], file.name)
    lists = {key: each for key, each in value.items() if _holds_objects(each)}
    if len(lists) == 1:
        return _numbered(next(iter(lists.values())), file.name)
    if len(lists) > 1:
        found = ", ".join(lists)
        raise BadRecord(f"expected {EXPECTED}, found several arrays: {found}; save one as a file")
    values = [*value.values()]
    if values and all(isinstance(each, list) for each in values):
        if len({len(each) for each in values}) > 1:
            raise BadRecord("the columns of the object differ in length")
        rows = (dict(zip(value, row, strict=True)) for row in zip(*values, strict=True))
        return _numbered(rows, file.name)
    if values and all(isinstance(each, dict) for each in values):
        return _rows_by_name(value, names, file)
    return _numbered([value], file.name)


def _names(value: dict[str, Any], file: RecordFile) -> ColumnNames | None:
    try:
        return column_names(tuple(value), file.columns)
    except BadRecord:
        return None


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _numbered(rows: Iterable[Any], name: str) -> Records:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            row = {"": row}  # without a text, so that it is named
        yield f"{name}:{number}", row


def _rows_by_name(
    value: dict[str, dict[str, Any]], names: ColumnNames | None, file: RecordFile
) -> Records:
    """Read columns of values by index, as pandas writes them, or documents by id.

    Raises:
        BadRecord: They are neither.
    """
    if names is None:
        if any(_names(row, file) is None for row in value.values()):
            keys = ", ".join([*value][:SHOWN_KEYS])
            raise BadRecord(f"expected {EXPECTED}, found an object with {keys}")
        return _numbered(({"id": name, **row} for name, row in value.items()), file.name)
    indices = value[names.used[0]]
    columns = {name: value[name] for name in names.used}
    records = ({name: column.get(index) for name, column in columns.items()} for index in indices)
    return _numbered(records, file.name)
