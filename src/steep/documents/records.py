"""JSON Lines that somebody else wrote: each mistake is named with its line, none is fatal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.documents.document import Skipped


class BadRecord(Exception):
    """One record cannot be used; the message says what was expected and found."""


def json_records(
    text: str, name: str, skipped: list[Skipped]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (`file:line`, object) of each good line; append the bad ones to `skipped`."""
    yield from records_of_lines(text.removeprefix("\ufeff").split("\n"), name, skipped)


def records_of_lines(
    lines: Iterable[str], name: str, skipped: list[Skipped]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The same of lines that come one by one, so that a file need not fit into memory."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        source = f"{name}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            skipped.append(Skipped(source, f"expected a JSON object, found {line[:60]!r}: {error}"))
            continue
        if isinstance(record, Mapping):
            yield source, record
        else:
            skipped.append(Skipped(source, f"expected a JSON object, found {line[:60]!r}"))


def required_text(record: Mapping[str, Any], key: str) -> str:
    """A required field as text (a number is taken as its digits).

    Raises:
        BadRecord: It is missing, empty or of another kind.
    """
    if key not in record:
        found = ", ".join(map(str, record)) or "no keys"
        raise BadRecord(f"expected the key '{key}', found {found:.120}")
    value = record[key]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadRecord(f"expected a text as '{key}', found {value!r:.60}")
    return value


def optional_year(record: Mapping[str, Any]) -> int | None:
    """The year, if it is there.

    Raises:
        BadRecord: It is there and is no whole number.
    """
    value = record.get("year")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not str(value).strip().lstrip("-").isdecimal():
        raise BadRecord(f"expected a whole number as 'year', found {value!r:.60}")
    return int(value)


def utf8_text(path: Path, what: str, hint: str) -> str:
    """The text of a file that the user named; `what` it holds is said in errors.

    Raises:
        UserError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The {what} are not UTF-8.", where=path, found=error) from error
    except OSError as error:
        raise UserError(
            f"Cannot read the {what}: {error.strerror}.", where=path, hint=hint
        ) from error
