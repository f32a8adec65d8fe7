"""Methods without a section of their own: the models compared by each metric."""

from __future__ import annotations

from collections.abc import Iterator

from steep.evaluation.results import MetricsResult
from steep.report.comparisons import accuracy_table, comparison
from steep.report.components import PageSection, part, prose, section
from steep.report.html import Html
from steep.report.view_models import ReportData


def other_methods(run: ReportData) -> PageSection | None:
    """Return the section; None if no such method was used."""
    if not run.tables.others:
        return None
    parts = [each for found in run.tables.others.values() for each in _parts(run, found)]
    lede = "Grades from 0 to 100%. Intervals are 95%, clustered by document."
    return section("other-methods", "Other methods", lede, *parts)


def _parts(run: ReportData, found: MetricsResult) -> Iterator[Html]:
    for name, compared in found.metrics.items():
        yield part(f"{found.title}, {name}", accuracy_table(run, compared))
        yield from comparison(run, compared, name)
    if found.caveat:
        yield prose(found.caveat)
