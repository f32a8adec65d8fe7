"""Methods without a section of their own: the models compared by each metric."""

from __future__ import annotations

from collections.abc import Iterator

from steep.evaluation.results import MetricsResult
from steep.report.blocks import Block, PageSection
from steep.report.comparisons import scores_part
from steep.report.results import ResultTables


def other_methods(tables: ResultTables) -> PageSection | None:
    """Return the section; None if no such method was used."""
    if not tables.others:
        return None
    parts = [each for found in tables.others.values() for each in metric_parts(found)]
    opening = "Grades are from 0 to 100%. Intervals are 95%, clustered by document."
    return PageSection("other-methods", "Other methods", opening, parts)


def metric_parts(found: MetricsResult) -> Iterator[Block]:
    """Yield the accuracies and differences by each metric."""
    for name, compared in found.metrics.items():
        yield scores_part(f"{found.title}, {name}", compared)
    if found.caveat:
        yield found.caveat
