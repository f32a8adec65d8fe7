"""CSV, TSV and Parquet: rows as records, read one by one."""

from __future__ import annotations

import csv
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from steep.documents.columns import RecordFile, column_names, read_records
from steep.documents.document import Reading, Skipped
from steep.documents.encodings import file_decoding, open_text
from steep.documents.records import BadRecord

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_CHARACTERS = 1 << 16
SAMPLE_ROWS = 100
LONGEST_FIELD = (1 << 31) - 1  # characters; that of Python's csv is 131,072
ROWS_IN_BATCH = 256
_NAMED_DELIMITER = re.compile(r"\ufeff?sep=(.)\r?\n")  # as Excel writes it
_limit_lock = threading.Lock()

Records = Iterator[tuple[str, Mapping[str, Any]]]


def read_csv(path: Path, file: RecordFile) -> Reading:
    """Read one document per row of a table with a header; its delimiter is found."""
    decoding = file_decoding(path, file.name)
    skipped = [Skipped(file.name, decoding.note, kept=True)] if decoding.note else []
    try:
        with _long_fields(), open_text(path, decoding) as text:
            return read_records(_csv_rows(text, file, skipped), file, skipped)
    except BadRecord as error:  # of its header
        return Reading((), (Skipped(file.name, str(error)),), 1)


def read_parquet(path: Path, file: RecordFile) -> Reading:
    """Read one document per row; only the columns of a document are read."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    skipped: list[Skipped] = []
    try:
        with parquet.ParquetFile(path) as table:
            names = column_names(tuple(table.schema_arrow.names), file.columns)
            return read_records(_parquet_rows(table, names.used, file, skipped), file, skipped)
    except BadRecord as error:
        reason = str(error)
    except (pa.ArrowException, OSError) as error:
        reason = f"cannot be read as Parquet: {error}"
    return Reading((), (Skipped(file.name, reason),), 1)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let csv, whose limit is one of the process, read long fields."""
    with _limit_lock:
        before = csv.field_size_limit(LONGEST_FIELD)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _csv_rows(text: TextIO, file: RecordFile, skipped: list[Skipped]) -> Records:
    sample = text.read(SAMPLE_CHARACTERS)
    text.seek(0)
    named = _NAMED_DELIMITER.match(sample)
    if named:
        text.readline()
    before = 1 if named else 0
    options = _dialect(sample[named.end() :] if named else sample, named[1] if named else None)
    rows = _numbered_rows(text, options, file.name, skipped, before)
    header = next((each for each in rows if any(map(str.strip, each[1]))), None)
    if header is None:
        return
    names = _distinct(header[1])
    column_names(tuple(names), file.columns)
    for line, row in rows:
        source = f"{file.name}:{line}"
        if len(row) > len(names) and any(map(str.strip, row[len(names) :])):
            found = f"expected {len(names)} fields, found {len(row)}"
            skipped.append(Skipped(source, found))
        elif row:
            padded = [*row, *[""] * (len(names) - len(row))]
            yield source, dict(zip(names, padded, strict=False))


def _distinct(header: list[str]) -> list[str]:
    """Return the names of the columns; an empty one, or one again, gets its number."""
    names: list[str] = []
    for number, name in enumerate(map(str.strip, header), start=1):
        names.append(name if name and name not in names else f"{name or 'column'} {number}")
    return names


def _numbered_rows(
    text: TextIO, options: dict[str, Any], name: str, skipped: list[Skipped], before: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the number of their first line; a bad one is appended to `skipped`."""
    reader = csv.reader(text, strict=True, **options)
    while True:
        line = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = before + reader.line_num
            lines = "" if last == line else f" (lines {line} to {last})"
            skipped.append(Skipped(f"{name}:{line}", f"no row of CSV: {error}{lines}"))
        except UnicodeDecodeError as error:
            skipped.append(Skipped(f"{name}:{line}", f"{error}; what follows is not read"))
            return
        else:
            yield line, row


def _dialect(sample: str, delimiter: str | None) -> dict[str, Any]:
    """Return the delimiter that splits most rows into equally many fields, and how quotes are."""
    escaped = sample.count('\\"') > sample.count('""')
    quoting: dict[str, Any] = {"doublequote": not escaped, "escapechar": "\\" if escaped else None}
    if delimiter is None:
        delimiter = max(DELIMITERS, key=lambda each: _fitting_rows(sample, each, quoting))
    return {"delimiter": delimiter, **quoting}


def _fitting_rows(sample: str, delimiter: str, quoting: dict[str, Any]) -> tuple[int, int]:
    """Return how many rows have as many fields as the header, if several, and that number."""
    lines = sample.splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=delimiter, **quoting)
    lengths = [len(row) for _, row in zip(range(SAMPLE_ROWS), reader, strict=False) if row]
    if not lengths or lengths[0] < 2:
        return 0, 0
    return Counter(lengths)[lengths[0]], lengths[0]


def _parquet_rows(
    table: Any, columns: list[str], file: RecordFile, skipped: list[Skipped]
) -> Records:
    import pyarrow as pa

    number = 0
    try:
        for batch in table.iter_batches(batch_size=ROWS_IN_BATCH, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"{file.name}:{number}", row
    except (pa.ArrowException, OSError) as error:
        reason = f"cannot be read as Parquet: {error}; what follows is not read"
        skipped.append(Skipped(f"{file.name}:{number + 1}", reason))
