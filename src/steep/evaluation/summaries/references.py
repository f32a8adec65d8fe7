"""What human readers wrote about the documents: the yardstick of the summarization study.

A model's claims are counted against those of the human summaries of the same document (section 4.3
of the paper), so a document without a human summary cannot be scored. The file is JSON Lines with
`document_id` (or `id`) and `summaries`, a list of texts; other keys are left alone, so one file may
hold the documents and the summaries. What cannot be used comes back with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.errors import UserError
from steep.documents.clean import clean_text, one_line
from steep.documents.document import Document, Skipped
from steep.documents.records import BadRecord, json_records, required_text, utf8_text

SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True)
class Reference:
    """The human summaries of one whole document, at least one."""

    document_id: str
    summaries: tuple[str, ...]


class References(NamedTuple):
    """What a file holds, in its order, and what of it could not be used: `file:line` and why."""

    references: tuple[Reference, ...]
    skipped: tuple[Skipped, ...]


def read_references(path: Path, documents: Sequence[Document]) -> References:
    """Read the human summaries of these documents (or of the wholes of which they are parts).

    Raises:
        UserError: The file cannot be read, or holds no summary of any of the documents.
    """
    skipped: list[Skipped] = []
    known = {document.whole_id for document in documents}
    hint = "name a JSONL file with the keys document_id and summaries"
    rows = _rows(utf8_text(path, "human summaries", hint), path.name, skipped)
    references = tuple(_on_known_documents(rows, known, skipped))
    if not references:
        raise _nothing_to_compare(path, skipped)
    return References(references, tuple(skipped))


def _rows(text: str, name: str, skipped: list[Skipped]) -> Iterator[tuple[str, Reference]]:
    for source, record in json_records(text, name, skipped):
        try:
            key = "document_id" if "document_id" in record else "id"
            document_id = one_line(required_text(record, key))
            yield source, Reference(document_id, _summaries(record))
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))


def _summaries(record: Mapping[str, Any]) -> tuple[str, ...]:
    values = record.get("summaries")
    if not isinstance(values, list) or not values:
        raise BadRecord(f"expected a list of texts as 'summaries', found {values!r:.60}")
    return tuple(clean_text(required_text({"summaries": each}, "summaries")) for each in values)


def _on_known_documents(
    rows: Iterable[tuple[str, Reference]], known: set[str], skipped: list[Skipped]
) -> Iterator[Reference]:
    seen: set[str] = set()
    for source, reference in rows:
        name = reference.document_id
        if name not in known:
            skipped.append(Skipped(source, f"its document '{name}' is not in the corpus"))
        elif name in seen:
            skipped.append(Skipped(source, f"an earlier line has summaries of '{name}'"))
        else:
            yield reference
        seen.add(name)


def _nothing_to_compare(path: Path, skipped: Sequence[Skipped]) -> UserError:
    shown = [f"{row.source}: {row.reason}" for row in skipped[:SHOWN_REASONS]]
    more = len(skipped) - len(shown)
    return UserError(
        "There is no human summary of these documents here.",
        where=path,
        expected='{"document_id", "summaries": ["...", ...]} on each line',
        found="; ".join(shown + ([f"and {more} more"] if more else [])) or "an empty file",
    )
