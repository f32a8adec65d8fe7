"""General text that is about nothing of the corpus: for replay, and to see what was forgotten."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from steep.documents.document import Skipped
from steep.documents.records import BadRecord, not_utf8, records_of_lines, required_text

KINDS = "a .txt, .md or .jsonl file (each line with a text), or 'builtin'"


class NoText(Exception):
    """There is no text here; the message says why."""


def builtin_texts() -> Path:
    """The file of short invented texts that comes with the package."""
    return Path(str(resources.files("steep") / "demo" / "replay.md"))


def stream_general_texts(path: Path, skipped: list[Skipped]) -> Iterator[str]:
    """One text at a time: `text` fields of JSON Lines, or paragraphs of a plain file.

    Args:
        path: The file.
        skipped: Bad lines are appended to it.

    Raises:
        NoText: It cannot be read, or there is no text in it.
    """
    found = False
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            is_jsonl = path.suffix == ".jsonl"
            texts = (
                _jsonl_texts(file, path.name, skipped)
                if is_jsonl
                else _paragraphs(map(_utf8, file))
            )
            for text in filter(None, map(str.strip, texts)):
                found = True
                yield text
    except (OSError, UnicodeDecodeError) as error:
        raise NoText(str(error)) from error
    if not found:
        raise NoText("no text")


def _utf8(line: str) -> str:
    """The line again, which is an error if bytes of it were not UTF-8."""
    return line if line.isascii() else line.encode(errors="surrogateescape").decode()


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    for is_text, group in itertools.groupby(lines, lambda line: bool(line.strip("\n"))):
        if is_text:
            yield "".join(group)


def _jsonl_texts(lines: Iterable[str], name: str, skipped: list[Skipped]) -> Iterator[str]:
    def good(lines: Iterable[str]) -> Iterator[str]:
        for number, line in enumerate(lines, start=1):
            try:
                yield _utf8(line)
            except UnicodeDecodeError as error:
                skipped.append(Skipped(f"{name}:{number}", not_utf8(error.object, error)))
                yield ""

    for source, record in records_of_lines(good(lines), name, skipped):
        try:
            yield required_text(record, "text")
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
