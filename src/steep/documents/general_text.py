"""General text, unrelated to the corpus: for replay, and to measure forgetting."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from importlib import resources
from io import TextIOWrapper
from pathlib import Path

from steep.core.errors import UserError
from steep.documents.document import Skipped
from steep.documents.records import BadRecord, records_of_lines, required_text, utf8_lines

log = logging.getLogger("steep")

KINDS = "a .txt, .md or .jsonl file (each line with a text), or 'builtin'"


class NoText(Exception):
    """A file without text; the message says why."""


def builtin_texts() -> Path:
    """Return the file of short invented texts that is part of the package."""
    return Path(str(resources.files("steep") / "demo" / "replay.md"))


def stream_general_texts(path: Path, skipped: list[Skipped]) -> Iterator[str]:
    """Stream texts: the `text` fields of JSON Lines, or the paragraphs of a plain file.

    Bad lines are appended to `skipped`.

    Raises:
        NoText: It cannot be read, or there is no text in it.
    """
    found = False
    try:
        with path.open("rb") as file, TextIOWrapper(file, encoding="utf-8-sig") as decoded:
            texts = (
                _jsonl_texts(utf8_lines(file, path.name, skipped), path.name, skipped)
                if path.suffix == ".jsonl"
                else _paragraphs(decoded)
            )
            for text in filter(None, map(str.strip, texts)):
                found = True
                yield text
    except (OSError, UnicodeDecodeError) as error:
        raise NoText(str(error)) from error
    if not found:
        raise NoText("no text")


def general_texts(path: Path, stage: str, key: str, kind: str, hint: str) -> Iterator[str]:
    """Stream texts, and log the lines that were skipped; `key` and `kind` are named in errors.

    Raises:
        UserError: The file cannot be read, or has no text.
    """
    skipped: list[Skipped] = []
    problem: NoText | None = None
    try:
        yield from stream_general_texts(path, skipped)
    except NoText as error:
        problem = error
    if skipped:
        first = f"{skipped[0].source}: {skipped[0].reason}"
        log.warning("%s: skipped %d lines of %s; the first, %s", stage, len(skipped), path, first)
    if problem is not None:
        raise UserError(
            f"There is no {kind}.", where=f"{key}: {path}", expected=KINDS, found=problem, hint=hint
        ) from problem


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    for is_text, group in itertools.groupby(lines, lambda line: bool(line.strip("\n"))):
        if is_text:
            yield "".join(group)


def _jsonl_texts(lines: Iterable[str], name: str, skipped: list[Skipped]) -> Iterator[str]:
    for source, record in records_of_lines(lines, name, skipped):
        try:
            yield required_text(record, "text")
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
