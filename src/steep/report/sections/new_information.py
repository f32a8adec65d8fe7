"""What each further answer of a recipe brought that no earlier answer had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steep.core.formatting import count, decimal, percent
from steep.report.blocks import Part, Table
from steep.report.run_data import Generation, InformationWindow

SHOWN_WINDOWS = 8  # per recipe; the first and the last are among them
Row = tuple[str, str, int, str, str]


def new_information(found: Generation) -> Part | None:
    """Return the table; None before a recipe has two windows of answers."""
    rows = [
        row
        for recipe, windows in found.new_information.items()
        if len(windows) > 1
        for row in _rows(recipe, windows)
    ]
    if not rows:
        return None
    note = "4-grams of words that no earlier answer of the recipe has; in the order of the answers."
    if found.exhausted:
        note += f" Ended by generate.stop_when: {', '.join(found.exhausted)}."
    headings = ("recipe", "answers", "words", "new 4-grams per word", "of the first")
    return Part("New information", [Table(headings, rows, note, texts=range(2))])


def _rows(recipe: str, windows: Sequence[InformationWindow]) -> Iterator[Row]:
    last = len(windows) - 1
    shown = {round(last * step / (SHOWN_WINDOWS - 1)) for step in range(SHOWN_WINDOWS)}
    rates = [each.new / each.words if each.words else 0.0 for each in windows]
    before = 0
    for number, each in enumerate(windows):
        if number in shown:
            answers = f"{count(before + 1)} to {count(before + each.calls)}"
            of_first = percent(rates[number] / rates[0], 0) if rates[0] else "none"
            yield recipe, answers, each.words, decimal(rates[number], 3), of_first
        before += each.calls
