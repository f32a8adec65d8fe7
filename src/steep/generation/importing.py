"""Import texts that were generated elsewhere into the ledger, at no cost.

The file is JSON Lines, plain or gzipped, with the fields document_id, recipe, model, sample, text.
Bad rows never stop the good ones: they are counted, and the first of them are named. Importing the
same file again, also after an interruption, adds only what is missing.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.ledger.ledger import Ledger, chunks
from steep.ledger.records import ImportedText

ROWS_PER_TRANSACTION = 1000
PROBLEMS_NAMED = 10
SHOWN_IDS = 5
LARGEST = 2**63 - 1  # that the ledger holds
_SURROGATE = re.compile("[\ud800-\udfff]")
FIELDS: dict[str, type] = {
    "document_id": str,
    "recipe": str,
    "model": str,
    "sample": int,
    "text": str,
}


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """The outcomes of the rows of a file. `rows` is the sum of the other numbers.

    Attributes:
        problems: The first malformed rows and unknown documents, as `file:line: reason`.
    """

    rows: int
    imported: int
    already_there: int
    malformed: int
    unknown_document: int
    problems: tuple[str, ...]

    def __post_init__(self) -> None:
        parts = self.imported + self.already_there + self.malformed + self.unknown_document
        if self.rows != parts:
            raise RuntimeError(f"counts do not add up: {self}")


class ImportRow(NamedTuple):
    """A row to be imported: where it stands, and what reads it or raises `BadRow`."""

    source: str
    parse: Callable[[], ImportedText]


class BadRow(Exception):
    """A row that cannot be imported: malformed, or about an unknown document."""

    def __init__(self, reason: str, *, unknown_document: bool = False) -> None:
        super().__init__(reason)
        self.unknown_document = unknown_document


def import_generations(path: Path, document_ids: Collection[str], ledger: Ledger) -> ImportCounts:
    """Read the file and record its texts on the documents with these ids.

    Raises:
        UserError: The file is missing, cannot be read or ends in the middle of its compression (the
            transactions before that stay recorded), or not one row of it could be used.
    """
    found = (
        ImportRow(f"{path}:{number}", partial(_parse, line))
        for number, line in _numbered_lines(path)
    )
    return record_rows(
        path, found, document_ids, ledger, "document_id, recipe, model, sample, text"
    )


def record_rows(
    path: Path,
    found: Iterable[ImportRow],
    document_ids: Collection[str],
    ledger: Ledger,
    expected: str,
) -> ImportCounts:
    """Record the texts of rows on the documents with these ids, and count the others.

    Raises:
        UserError: Not one row could be used.
    """
    known = frozenset(document_ids)
    rows = imported = unknown_document = malformed = 0
    problems: list[str] = []
    for some in chunks(found, ROWS_PER_TRANSACTION):
        good: list[ImportedText] = []
        for source, parse in some:
            try:
                good.append(replace(checked(parse(), known), source=source))
            except BadRow as bad:
                malformed += not bad.unknown_document
                unknown_document += bad.unknown_document
                if len(problems) < PROBLEMS_NAMED:
                    problems.append(f"{source}: {bad}")
        rows += len(some)
        imported += ledger.record_imported(good)
    already_there = rows - imported - malformed - unknown_document
    if rows == malformed + unknown_document:
        raise UserError(
            "Not one row could be used." if rows else "There is no row in this file.",
            where=path,
            expected="document_id (one of this project's: "
            f"{some_of(sorted(known), SHOWN_IDS)}), "
            f"{expected.partition(', ')[2]}",
            found="\n            ".join(problems) or None,
        )
    return ImportCounts(rows, imported, already_there, malformed, unknown_document, tuple(problems))


def _parse(line: bytes) -> ImportedText:
    try:
        row = json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:  # includes bytes that are no UTF-8
        raise BadRow(f"no valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise BadRow(f"expected an object, found {type(row).__name__}")
    return ImportedText(**{name: field_of(row, name, kind) for name, kind in FIELDS.items()})


def checked(text: ImportedText, known: Container[str]) -> ImportedText:
    """Return a text that can be imported.

    Raises:
        BadRow: It has no recipe, that of the raw documents, or is about an unknown document.
    """
    if not text.recipe.strip():
        raise BadRow("'recipe' is empty")
    if text.recipe == RAW_RECIPE:
        raise BadRow(f"'recipe' must not be '{RAW_RECIPE}', which stands for the raw documents")
    if text.document_id not in known:
        raise BadRow(f"unknown document '{text.document_id}'", unknown_document=True)
    return text


def field_of(row: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a field of a row.

    Raises:
        BadRow: It is missing, or of another type.
    """
    if name not in row:
        raise BadRow(f"no '{name}'")
    value = row[name]
    if kind is int and isinstance(value, float) and value.is_integer():  # as pandas writes it
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadRow(f"'{name}' must be {kind.__name__}, found {value!r:.60}")
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise BadRow(f"'{name}' must be of at most 63 bits, found {value}")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise BadRow(f"'{name}' holds half a character (a lone surrogate)")
    return value


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers, without blank ones."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError as error:
        raise UserError("There is no such file of generations.", where=path) from error
    except (EOFError, zlib.error, OSError) as error:
        raise UserError(
            "The file of generations cannot be read to its end.",
            where=path,
            found=error,
            hint="import a whole copy; rows that are already there are not imported twice",
        ) from error
