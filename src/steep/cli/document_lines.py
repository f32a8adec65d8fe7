"""The lines that `steep documents` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from steep.core.formatting import count, percent, plural, shorten
from steep.core.tables import fitted, table, wrapped

if TYPE_CHECKING:
    from steep.documents.document import Document, Skipped
    from steep.documents.overview import DocumentSummary, ReadingSummary, SectionSummary

LISTED = 20  # documents
LISTED_OUTLINES = 3
LISTED_DUPLICATES = LISTED_REASONS = 10
LONGEST_TITLE = 26  # columns of a terminal
UNCLEAR = "?"
HEAD = ("document", "title", "tokens", "language", "reader", "parts")


def of_summary(summary: ReadingSummary, every: bool) -> Iterator[str]:
    """Yield the documents, their totals, those that are alike, and what was skipped."""
    from steep.documents.document import reason_lines

    documents = summary.documents[: None if every else LISTED]
    yield from table([HEAD, *map(_row, documents)], texts=(0, 1, 3, 4))
    yield from _more(len(summary.documents) - len(documents), "document", "--all")
    yield ""
    yield from wrapped(_totals(summary))
    duplicates = [each for each in summary.documents if each.duplicate_of]
    for each in duplicates[: None if every else LISTED_DUPLICATES]:
        yield from wrapped(_duplicate(each))
    if not every:
        yield from _more(len(duplicates) - LISTED_DUPLICATES, "document like another", "--all")
    reasons = reason_lines(summary.skipped)
    for line in reasons[:LISTED_REASONS]:
        yield from wrapped(line)
    yield from _more(len(reasons) - LISTED_REASONS, "reason", "--skipped")


def of_skipped(skipped: Sequence[Skipped]) -> Iterator[str]:
    """Yield each file or record that was skipped, with the reason, and each note on a document."""
    for each in skipped:
        yield f"{each.label}: {each.reason}"
    if not skipped:
        yield "nothing was skipped"


def of_outlines(
    documents: Sequence[Document], outlines: Mapping[str, Sequence[SectionSummary]], every: bool
) -> Iterator[str]:
    """Yield the headings of each document, indented by their level, with the tokens below each."""
    shown = documents[: None if every else LISTED_OUTLINES]
    for document in shown:
        yield f"{document.id}: {document.full_title}"
        rows = [
            (f"{'  ' * max(1, len(section.path))}{_last(section)}", count(section.tokens))
            for section in outlines[document.id]
        ]
        width = max(len(name) for name, _ in rows) if rows else 0
        yield from (f"{name:<{min(width, 66)}}  {tokens:>10}" for name, tokens in rows)
    yield from _more(len(documents) - len(shown), "document", "--all")


def _last(section: SectionSummary) -> str:
    return shorten(section.path[-1], 50) if section.path else "(before the first heading)"


def _row(document: DocumentSummary) -> tuple[str, ...]:
    return (
        document.id,
        fitted(document.title, LONGEST_TITLE),
        count(document.tokens),
        document.language or UNCLEAR,
        document.reader,
        count(document.parts),
    )


def _totals(summary: ReadingSummary) -> str:
    about = "about " if summary.is_estimate else ""
    parts, notes = plural(summary.parts, "part"), plural(summary.notes, "note")
    duplicates = [each.duplicate_of for each in summary.documents if each.duplicate_of]
    same = sum(each.is_equal for each in duplicates)
    near = len(duplicates) - same
    is_split = summary.parts > len(summary.documents)
    return (
        f"{plural(len(summary.documents), 'document')} from {plural(summary.files, 'file')}, "
        f"{about}{plural(summary.tokens, 'token')}, "
        f"{f'split into {parts}' if is_split else 'not split'}; "
        f"{count(same)} with the text of another, {plural(near, 'near-duplicate')}, "
        f"{count(summary.left_out)} skipped{f', {notes}' if summary.notes else ''}"
    )


def _duplicate(document: DocumentSummary) -> str:
    assert document.duplicate_of is not None
    if document.duplicate_of.is_equal:
        return f"same text: {document.id} and {document.duplicate_of.id}"
    alike = percent(document.duplicate_of.similarity, 0)
    return f"near-duplicate: {document.id} is {alike} like {document.duplicate_of.id}"


def _more(number: int, noun: str, option: str) -> Iterator[str]:
    first, _, rest = noun.partition(" ")
    if number > 0:
        yield f"and {plural(number, f'more {first}')}{rest and f' {rest}'} ({option})"
