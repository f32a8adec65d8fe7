"""Open book: retrieval quality, accuracy with retrieved chunks, and gains over closed book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steep.core.formatting import UNKNOWN, count, decimal, listing, p_value
from steep.evaluation.results import ModelComparison
from steep.evaluation.study_results import OpenBookResult
from steep.report.charts import WhiskerGroup, whisker_chart
from steep.report.comparisons import accuracy_axis, accuracy_whisker, comparison, key
from steep.report.components import (
    PageSection,
    figure,
    part,
    points_cell,
    prose,
    section,
    share_cell,
    table,
)
from steep.report.html import Html
from steep.report.sections.likelihood import skipped_questions
from steep.report.sections.open_book_grid import grid
from steep.report.view_models import IntervalEstimate, ReportData, estimate

METHODS = {"likelihood": "the likeliest option", "answers": "generated answers"}
ORDER = "closed book", "open book", "whole document"


def open_book(run: ReportData) -> PageSection | None:
    """Return the section; None if open book was not measured."""
    found = run.tables.open_book
    if found is None:
        return None
    method = METHODS.get(found.method, found.method)
    opening = (
        "The same questions with retrieved chunks of the documents in the prompt; models are "
        f"scored by {method}. Intervals are 95%, clustered by document."
    )
    if any(cell.chunk_characters is None for cell in found.cells):
        opening += " The whole document instead of chunks shows the effect of perfect retrieval."
    compared = (
        comparison(run, found.compared, f"{method} after retrieved chunks")
        if found.compared
        else [
            prose(
                "No setting is reported as the best: without a validation split, the best of many "
                "would look better than it is."
            )
        ]
    )
    return section(
        "open-book",
        "Open book",
        opening,
        _chart(run, found),
        _gain_table(run, found),
        *compared,
        _retrieval_table(found),
        *grid(run, found),
        None if run.tables.closed_book() else skipped_questions(run),
    )


# ---- closed book, open book, whole document ------------------------------------------------------


def _chart(run: ReportData, found: OpenBookResult) -> Html | None:
    """Return one group per model with the conditions that were measured."""
    models = _conditions(run, found)
    if not models:
        return None
    groups = [_group(run, name, known) for name, known in models.items()]
    shown = [name for name in ORDER if any(name in known for known in models.values())]
    title = f"Accuracy of each model: {listing(shown)}"
    caption = f"{title}, with 95% intervals."
    if len({each.n for known in models.values() for each in known.values()}) > 1:
        caption += " Numbers of questions differ; gains are computed on common questions only."
    return figure(whisker_chart(groups, accuracy_axis(found.chance), title), caption)


def _conditions(run: ReportData, found: OpenBookResult) -> dict[str, dict[str, IntervalEstimate]]:
    """Return the accuracies of each model: closed book, best setting, whole document."""
    tables = run.tables
    closed = {"likelihood": tables.likelihood, "answers": tables.answers}.get(found.method)
    whole = {cell.model: estimate(cell) for cell in found.cells if cell.chunk_characters is None}
    figures = (_overall(closed), _overall(found.compared), whole)
    models = {
        name: {
            condition: each
            for condition, by_model in zip(ORDER, figures, strict=True)
            if (each := by_model.get(name))
        }
        for name in dict.fromkeys(cell.model for cell in found.cells)
    }
    return {name: known for name, known in models.items() if known}


def _overall(table: ModelComparison | None) -> dict[str, IntervalEstimate | None]:
    return {model.name: estimate(model) for model in table.models} if table else {}


def _group(run: ReportData, name: str, known: Mapping[str, IntervalEstimate]) -> WhiskerGroup:
    sizes = {each.n for each in known.values()}
    series = run.series.get(name, 0)
    rows = [
        accuracy_whisker(label if len(sizes) == 1 else f"{label}, n = {each.n}", series, each)
        for label, each in known.items()
    ]
    return WhiskerGroup(name, f"n = {sizes.pop()}" if len(sizes) == 1 else "n differs", rows)


def _gain_table(run: ReportData, found: OpenBookResult) -> Html | None:
    rows = [
        (key(run, model), what, gain.n, points_cell(gain), p_value(gain.p))
        for what, gains in (
            ("open book over closed book", found.over_closed_book),
            ("whole document over open book", found.under_whole_document),
        )
        for model, gain in gains.items()
    ]
    headings = ("model", "gain", "n", ("difference", "points, 95% interval"), ("p", "clustered"))
    caption = (
        "Gains of each model on the same questions in both conditions. The p-values are not "
        "corrected for the number of models."
    )
    return table(headings, rows, caption, texts=range(2)) if rows else None


# ---- retrieval -----------------------------------------------------------------------------------


def _retrieval_table(found: OpenBookResult) -> Html | None:
    """Return recall and mean reciprocal rank of the right document and of the answer."""
    if not found.retrieval:
        return None
    rows = [
        (
            f"{count(each.chunk_characters)} characters",
            target,
            each.chunks or UNKNOWN,
            ranks.n,
            *map(share_cell, ranks.recall.values()),
            decimal(ranks.mrr.value, 3),
        )
        for each in found.retrieval
        for target, ranks in (("document", each.document), ("answer", each.answer))
        if ranks
    ]
    recalls = [f"recall@{k}" for k in found.retrieval[0].document.recall]
    caption = (
        "Recall@k: the share of questions with the right document, or the answer, among the first "
        "k chunks. MRR: mean reciprocal rank of the first right chunk."
    )
    headings = ("chunk size", "target", "chunks", "n", *recalls, "MRR")
    caption = " ".join([caption, *_limits(found)])
    return part("Retrieval quality", table(headings, rows, caption, texts=range(2)))


def _limits(found: OpenBookResult) -> Iterator[str]:
    """Yield what retrieval cannot reach."""
    for each in found.retrieval:
        size = f"{count(each.chunk_characters)} characters"
        if each.answers_in_no_chunk:
            yield f"{count(each.answers_in_no_chunk)} answers are in no chunk of {size}."
        if each.blank:
            yield f"{count(each.blank)} chunks of {size} have no searchable word."
