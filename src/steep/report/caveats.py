"""Notes on what is measured beside choices by likelihood, where figures alone would mislead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steep.report.conclusions import Note, interval_note
from steep.report.measures import compared
from steep.report.view_models import ReportData


def measured_notes(run: ReportData) -> list[Note]:
    """One note a table that needs it, and how sure accuracies are where no other note says it."""
    found = [note(table) for name, note in NOTES.items() if (table := run.measured.get(name))]
    return found if run.scores else [*_intervals(run), *found]


def _intervals(run: ReportData) -> list[Note]:
    """Of the first table of grades that there is."""
    short, open_book = run.measured.get("short_answers"), run.measured.get("open_book")
    tables = (
        run.measured.get("answers"),
        short["exact_match"] if short else None,
        open_book["compared"] if open_book else None,
    )
    return [interval_note(compared(table)) for table in tables if table][:1]


def _answers(table: Mapping[str, Any]) -> Note:
    return Note(
        "Knowing is not writing",
        "A written answer counts only in the form that was asked for. A small model may know more "
        "than it can put so, and the other way round a model that learned the form looks better "
        "without knowing more: see how many questions could be read.",
    )


def _open_book(table: Mapping[str, Any]) -> Note:
    chosen = any(way["split"] == "test" for way in table["best"].values())
    how = (
        " The way of showing was chosen on the questions about other documents than those it is "
        "scored on."
        if chosen
        else ""
    )
    return Note(
        "Open book asks something else",
        "With the text in the prompt a model has to read, not to remember. What training taught it "
        "is the closed-book figure; open book says what retrieval adds to it." + how,
    )


def _summaries(table: Mapping[str, Any]) -> Note:
    return Note(
        "A judge is a model too",
        "All counts of claims rest on its verdicts. How often it agrees with labels stands before "
        "them, but on other, shorter texts than yours: it tells whether to believe the judge at "
        "all, not how large its error is here.",
    )


def _general_text(table: Mapping[str, Any]) -> Note:
    return Note(
        "A loss is no ability",
        "The loss on general text can move where no task does, so a small rise is a sign to look "
        "closer and need not be felt. Other kinds of text may have suffered more, or less.",
    )


NOTES: dict[str, Callable[[Mapping[str, Any]], Note]] = {
    "answers": _answers,
    "open_book": _open_book,
    "summaries": _summaries,
    "general_text": _general_text,
}
