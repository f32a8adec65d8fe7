"""The encoding of a file: UTF-8, UTF-16 or UTF-32, or a legacy one that its bytes make likely.

What was assumed is a note; a file whose encoding cannot be told is refused, with the command that
converts it.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from steep.core.formatting import count, plural
from steep.documents.document import Skipped
from steep.documents.legacy_encodings import is_latin, likely_encoding
from steep.documents.records import not_utf8, other_encoding

CHUNK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 16  # of lines with bytes that are not ASCII, for the detection
SOUND_PER_BAD = 4  # characters beyond ASCII per bad byte, from which a file is damaged UTF-8
LEAST_BYTES_PER_UNDEFINED = 100  # bad bytes per byte that a legacy encoding does not define
UTF8 = "utf-8-sig"
_REPLACED = "\N{REPLACEMENT CHARACTER}"


class Undecodable(Exception):
    """A file whose encoding cannot be told; the message says why, and what to do."""


class NotUTF8(Undecodable):
    """A file that is neither UTF-8 nor in a likely legacy encoding."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """How the bytes of a file become text.

    Attributes:
        encoding: A codec of Python.
        errors: Of the codec: strict or replace.
        note: What was assumed; empty for sound UTF-8.
    """

    encoding: str
    errors: str = "strict"
    note: str = ""

    @property
    def by_lines(self) -> bool:
        """Return whether the byte of a line end is nothing else in this encoding."""
        return not self.encoding.startswith(("utf-16", "utf-32"))


@dataclass(slots=True)
class _Scan:
    """What a pass over the bytes of a file found.

    Attributes:
        bad: Bytes that are not UTF-8.
        sound: Characters beyond ASCII that are.
        sample: The first lines that are not ASCII.
        line, place: The first bad line, and the place of its first byte in the file.
    """

    bad: int = 0
    sound: int = 0
    sample: bytearray = field(default_factory=bytearray)
    line: bytes = b""
    place: int = 0

    def add(self, line: bytes, place: int) -> None:
        if len(self.sample) < SAMPLE_BYTES:
            self.sample += line[:SAMPLE_BYTES]
        text = line.decode("utf-8", "replace")
        beyond = len(text) - len(text.encode("ascii", "ignore"))
        replaced = text.count(_REPLACED) - line.count(_REPLACED.encode())
        self.sound += beyond - replaced
        self.bad += replaced
        if replaced and not self.line:
            self.line, self.place = line, place


def file_decoding(path: Path, name: str) -> DecodedText:
    """Return how to decode a file, after one pass over its bytes.

    Args:
        path: The file on disk.
        name: The name that messages show.

    Raises:
        Undecodable: Its encoding cannot be told.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(CHUNK_BYTES)
        if encoding := other_encoding(start):
            return _unicode_decoding(start, encoding, name)
        file.seek(0)
        if _is_utf8(file):
            return DecodedText(UTF8)
        file.seek(0)
        scan = _scan(file)
        encoding = likely_encoding(bytes(scan.sample))
        file.seek(0)
        replaced = 0 if encoding is None else _undefined(file, encoding)
    bad = scan.line[_first_bad(scan.line)]
    place = scan.place + _first_bad(scan.line)
    if scan.sound >= SOUND_PER_BAD * scan.bad:
        damage = f"{plural(scan.bad, 'byte')} not UTF-8 and replaced by U+FFFD"
        return DecodedText(UTF8, "replace", f"{damage}; the first: 0x{bad:02x} at {count(place)}")
    # No Latin text has a sequence of bytes that is a letter in UTF-8: it would be of both.
    is_mixed = encoding is not None and is_latin(encoding) and scan.sound > 0
    if encoding is None or is_mixed or replaced * LEAST_BYTES_PER_UNDEFINED > scan.bad:
        raise NotUTF8(not_utf8(bad, place, name))
    undefined = f", with {plural(replaced, 'character')} replaced by U+FFFD" if replaced else ""
    hint = "if that is wrong: iconv -f ENCODING -t UTF-8 IN > OUT"
    return DecodedText(
        encoding, "replace", f"read as {encoding}, which is likely{undefined}; {hint}"
    )


def read_text(path: Path, name: str, skipped: list[Skipped]) -> str:
    """Return the text of a file; what was assumed about its encoding is appended to `skipped`.

    Raises:
        Undecodable: Its encoding cannot be told.
        OSError: It cannot be read.
    """
    decoding = file_decoding(path, name)
    _say(decoding, name, skipped)
    try:
        return path.read_bytes().decode(decoding.encoding, decoding.errors)
    except UnicodeDecodeError as error:  # UTF-16 or UTF-32 with damage
        raise Undecodable(f"not {decoding.encoding}: {error.reason} at {error.start}") from error


def read_lines(path: Path, name: str, skipped: list[Skipped]) -> Iterator[str]:
    """Yield the lines of a file, ended by line feeds only; one that cannot be decoded is blank.

    Raises:
        Undecodable: Its encoding cannot be told.
        OSError: It cannot be read.
    """
    try:
        decoding = file_decoding(path, name)
    except NotUTF8:  # the lines that are
        decoding = DecodedText(UTF8)
    if decoding.encoding != UTF8:  # else each bad line is named
        _say(decoding, name, skipped)
    if not decoding.by_lines:
        yield from _wide_lines(path, decoding, name, skipped)
        return
    encoding = decoding.encoding if decoding.encoding != UTF8 else "utf-8"
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode(encoding)
            except UnicodeDecodeError as error:
                reason = not_utf8(line[error.start], error.start, name)
                skipped.append(Skipped(f"{name}:{number}", reason))
                yield ""


def open_text(path: Path, decoding: DecodedText, newline: str = "") -> TextIO:
    """Open a file for reading as text."""
    return io.TextIOWrapper(path.open("rb"), decoding.encoding, decoding.errors, newline=newline)


def _wide_lines(
    path: Path, decoding: DecodedText, name: str, skipped: list[Skipped]
) -> Iterator[str]:
    try:
        with open_text(path, decoding, newline="\n") as text:
            yield from text
    except UnicodeDecodeError as error:
        skipped.append(Skipped(name, f"{error}; what follows is not read"))


def _say(decoding: DecodedText, name: str, skipped: list[Skipped]) -> None:
    if decoding.note:
        skipped.append(Skipped(name, decoding.note, kept=True))


def _unicode_decoding(start: bytes, encoding: str, name: str) -> DecodedText:
    """Return UTF-16 or UTF-32, unless the bytes are not even that."""
    marked = encoding in ("UTF-16", "UTF-32")
    text = start[: len(start) // 4 * 4].decode(encoding, "replace")
    if _REPLACED in text.removesuffix(_REPLACED) or text.count("\0") > len(text) // 100:
        raise Undecodable("neither UTF-8 nor UTF-16: no file of text")
    note = f"read as {encoding}" + (
        "" if marked else ", which is likely: it has no byte order mark"
    )
    return DecodedText(encoding.lower(), note=note)


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(CHUNK_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _scan(file: BinaryIO) -> _Scan:
    scan, place = _Scan(), 0
    for line in file:
        if not line.isascii():
            scan.add(line, place)
        place += len(line)
    return scan


def _undefined(file: BinaryIO, encoding: str) -> int:
    """Return how many characters of a file an encoding does not define."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
    found = sum(decoder.decode(chunk).count(_REPLACED) for chunk in chunks)
    return found + decoder.decode(b"", final=True).count(_REPLACED)


def _first_bad(line: bytes) -> int:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
