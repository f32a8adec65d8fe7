"""What the numbers mean: the notes without which they would mislead."""

from __future__ import annotations

from steep.report.caveats import measured_notes
from steep.report.components import PageSection, section
from steep.report.conclusions import notes
from steep.report.html import el
from steep.report.view_models import ReportData


def meaning(run: ReportData) -> PageSection:
    """The notes."""
    items = [
        el("div", el("h3", note.heading), el("p", note.text), class_="note-item")
        for note in [*notes(run), *measured_notes(run)]
    ]
    return section("meaning", "What the numbers mean", None, el("div", *items, class_="notes"))
