"""JSON Lines from outside: each mistake is reported with its line, and none is fatal."""

from __future__ import annotations

import codecs
import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.documents.clean import one_line
from steep.documents.document import Skipped

ENCODING_BYTES = 1000  # in which zeros show UTF-16 without a mark

_YEAR = re.compile(r"-?\d{1,4}")
_YEAR_IN_TEXT = re.compile(r"(?<!\d)\d{4}(?!\d)")


class BadRecord(Exception):
    """A record that cannot be used; the message says what was expected and found."""


def json_records(
    text: str, name: str, skipped: list[Skipped]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (`file:line`, object) of each good line; append the bad ones to `skipped`."""
    yield from records_of_lines(text.split("\n"), name, skipped)


def records_of_lines(
    lines: Iterable[str], name: str, skipped: list[Skipped]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the same of lines that come one by one, so that a file need not fit into memory."""
    for number, marked in enumerate(lines, start=1):
        line = marked.removeprefix("\ufeff") if number == 1 else marked
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
    """Return a required field as text (a number is taken as its digits, 7.0 as 7).

    Raises:
        BadRecord: It is missing, empty or of another kind.
    """
    if key not in record:
        found = ", ".join(map(str, record)) or "no keys"
        raise BadRecord(f"expected the key '{key}', found {found:.120}")
    value = whole_number(record[key])
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadRecord(f"expected a text as '{key}', found {value!r:.60}")
    return value


def whole_number(value: Any) -> Any:
    """Return 7 for 7.0 and None for NaN, since pandas turns columns with gaps into floats."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def optional_text(record: Mapping[str, Any], key: str) -> str | None:
    """Return a field as text on one line, or None where it is missing or empty.

    Raises:
        BadRecord: It is there and is no text.
    """
    value = whole_number(record.get(key))
    if value is not None and not isinstance(value, str):
        raise BadRecord(f"expected a text as '{key}', found {value!r:.60}")
    return one_line(value or "") or None


def optional_year(record: Mapping[str, Any]) -> int | None:
    """Return the year, if it is there: a whole number, or the only one of four digits in a text.

    Raises:
        BadRecord: It is there and says no year.
    """
    value = whole_number(record.get("year"))
    if value is None or value == "":
        return None
    text = "" if isinstance(value, bool) else str(value).strip()
    years = [text] if _YEAR.fullmatch(text) else sorted(set(_YEAR_IN_TEXT.findall(text)))
    if len(years) != 1:
        raise BadRecord(f"expected a whole number as 'year', found {value!r:.60}")
    return int(years[0])


def utf8_lines(lines: Iterable[bytes], name: str, skipped: list[Skipped]) -> Iterator[str]:
    """Decode line by line: one that is not UTF-8 is left blank and appended to `skipped`."""
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            skipped.append(
                Skipped(f"{name}:{number}", not_utf8(line[error.start], error.start, name))
            )
            yield ""


def not_utf8(byte: int, place: int, name: str) -> str:
    """Return which byte of a file is not UTF-8, and a command that converts the file."""
    found = f"not UTF-8: byte 0x{byte:02x} at {place}"
    return f"{found}; save it as UTF-8, e.g. {recoding('WINDOWS-1252', name)}"


def recoding(encoding: str, name: str) -> str:
    """Return a command that writes a file in UTF-8 beside itself."""
    file = Path(name)
    quoted = shlex.quote(file.name), shlex.quote(f"{file.stem}-utf8{file.suffix}")
    return f"iconv -f {encoding} -t UTF-8 {quoted[0]} > {quoted[1]}"


def other_encoding(data: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if the first bytes show it."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    start = data[:ENCODING_BYTES]
    for place, encoding in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        if len(start) > 1 and start[place::2].count(0) * 2 > len(start[place::2]):
            return encoding
    return None


def utf8_text(path: Path, what: str, hint: str) -> str:
    """Return the text of a file that the user named; `what` it holds is said in errors.

    Raises:
        UserError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"The {what} are not UTF-8.",
            where=path,
            found=error,
            hint=recoding(other_encoding(error.object) or "WINDOWS-1252", path.name),
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot read the {what}: {error.strerror}.", where=path, hint=hint
        ) from error
