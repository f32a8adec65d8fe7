"""Open book: gains over closed book, retrieval quality, and the grid of retrieval settings.

A cell of the grid is a model, a chunk size, a number of chunks, their order and a temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from steep.core.formatting import UNKNOWN, count, decimal, listing, p_value, percent, plural
from steep.evaluation.results import ModelComparison
from steep.evaluation.study_results import GridScore, GridVariant, HitSplit, OpenBookResult
from steep.report.blocks import (
    Block,
    Cell,
    Column,
    Figure,
    Fold,
    Model,
    PageSection,
    Part,
    Series,
    Strong,
    Table,
    points_cell,
    share_cell,
    table,
)
from steep.report.charts import WhiskerGroup, whisker_chart
from steep.report.comparisons import accuracy_axis, accuracy_whisker, common, comparison, n_detail
from steep.report.html import Html
from steep.report.results import IntervalEstimate, ResultTables, estimate
from steep.report.sections.closed_book import skipped_questions
from steep.report.sections.retrieval_share import share_part

METHODS = {"likelihood": "the likeliest option", "answers": "generated answers"}
ORDER = "closed book", "open book", "whole document"
MOST_CELLS = 12  # a larger grid is shown in short
TOO_LONG, NOTHING = "too long", "\N{EN DASH}"
Best = Mapping[str, GridVariant]
Cells = Sequence[GridScore]


def open_book(tables: ResultTables) -> PageSection | None:
    """Return the section; None if open book was not measured."""
    found = tables.open_book
    if found is None:
        return None
    method = METHODS.get(found.method, found.method)
    opening = (
        "The same questions with retrieved chunks of the documents in the prompt; models are "
        f"scored by {method}. Intervals are 95%, clustered by document."
    )
    if any(cell.chunk_characters is None for cell in found.cells):
        opening += " The whole document instead of chunks shows the effect of perfect retrieval."
    compared: list[Block] = [
        "No setting is reported as the best: without a validation split, the best of many would "
        "look better than it is."
    ]
    if found.compared:
        compared = comparison(found.compared, f"{method} after retrieved chunks")
    return PageSection(
        "open-book",
        "Open book",
        opening,
        [
            _chart(tables, found),
            share_part(found),
            _gain_table(found),
            *compared,
            _retrieval_table(found),
            *_grid(found),
            None if tables.closed_book() else skipped_questions(tables),
        ],
    )


# ---- closed book, open book, whole document ------------------------------------------------------


def _chart(tables: ResultTables, found: OpenBookResult) -> Figure | None:
    """Return one group per model with the conditions that were measured."""
    models = _conditions(tables, found)
    if not models:
        return None
    shown = [name for name in ORDER if any(name in known for known in models.values())]
    title = f"Accuracy of each model: {listing(shown)}"
    caption = f"{title}, with 95% intervals."
    if len({each.n for known in models.values() for each in known.values()}) > 1:
        caption += " Numbers of questions differ; gains are computed on common questions only."

    def draw(series: Series) -> Html:
        groups = [_group(name, series.get(name, 0), known) for name, known in models.items()]
        return whisker_chart(groups, accuracy_axis(found.chance), title)

    return Figure(caption, draw)


def _conditions(
    tables: ResultTables, found: OpenBookResult
) -> dict[str, dict[str, IntervalEstimate]]:
    """Return the accuracies of each model: closed book, best setting, whole document."""
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


def _overall(found: ModelComparison | None) -> dict[str, IntervalEstimate | None]:
    return {model.name: estimate(model) for model in found.models} if found else {}


def _group(name: str, color: int, known: Mapping[str, IntervalEstimate]) -> WhiskerGroup:
    n = common(each.n for each in known.values())
    rows = [
        accuracy_whisker(label if n else f"{label}, n = {each.n}", color, each)
        for label, each in known.items()
    ]
    return WhiskerGroup(name, n_detail(n), rows)


def _gain_table(found: OpenBookResult) -> Table | None:
    rows = [
        (Model(model), what, gain.n, points_cell(gain), p_value(gain.p))
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
    return Table(headings, rows, caption, texts=range(2)) if rows else None


# ---- retrieval -----------------------------------------------------------------------------------


def _retrieval_table(found: OpenBookResult) -> Part | None:
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
    return Part("Retrieval quality", [Table(headings, rows, caption, texts=range(2))])


def _limits(found: OpenBookResult) -> Iterator[str]:
    """Yield what retrieval cannot reach."""
    for each in found.retrieval:
        size = f"{count(each.chunk_characters)} characters"
        if each.answers_in_no_chunk:
            yield f"{count(each.answers_in_no_chunk)} answers are in no chunk of {size}."
        if each.blank:
            yield f"{count(each.blank)} chunks of {size} have no searchable word."


# ---- the grid ------------------------------------------------------------------------------------


def _grid(found: OpenBookResult) -> Iterator[Block]:
    """Yield all cells, or a short table per model with the rest folded."""
    cells, best = found.cells, found.best
    if len(cells) <= MOST_CELLS:
        yield Part("Retrieval settings", [_cell_table(cells, best), _reason_table(cells)])
        return
    reported = [c for c in cells if c.chunk_characters is None or _is_best(c, best)]
    yield Part("Retrieval settings", [_cell_table(reported, best)] if reported else [])
    tried = [cell for cell in cells if cell.chunk_characters is not None]
    searched = [cell for cell in tried if cell.split != "test"] or tried
    for model in dict.fromkeys(cell.model for cell in searched):
        yield _matrix(model, [cell for cell in searched if cell.model == model], best)
    yield _reason_table(cells)
    yield Fold(f"All {count(len(cells))} cells", [_cell_table(cells, best)])


def _was_chosen(cell: GridScore, best: Best) -> bool:
    return (variant := best.get(cell.model)) is not None and all(
        getattr(cell, field) == getattr(variant, field)
        for field in ("chunk_characters", "shown", "order", "temperature")
    )


def _is_best(cell: GridScore, best: Best) -> bool:
    """Return whether the cell is the one that is reported for its model."""
    return _was_chosen(cell, best) and cell.split == best[cell.model].split


def _cell_table(cells: Cells, best: Best) -> Table:
    """Return one row per cell; columns with the same value in all rows are left out."""
    hits = list(_hit_columns(cells))
    texts: list[Column[GridScore]] = [
        ("model", lambda cell: Model(cell.model, detail="reported" * _is_best(cell, best))),
        ("chunk size", _size),
        *_differing(cells, {"order": _order, "questions": lambda cell: cell.split}),
    ]
    columns = [
        *texts,
        ("chunks", _number_shown),
        *_differing(cells, {"temperature": _temperature}),
        ("n", lambda cell: cell.n),
        ("accuracy", lambda cell: share_cell(cell, _missing(cell))),
        *hits,
    ]
    caption = (
        "Accuracy with and without the document, or the answer, among the chunks: a model that is "
        "right without it knew the answer or guessed."
    )
    return table(cells, columns, caption if hits else None, texts=range(len(texts)))


def _differing(
    cells: Cells, columns: Mapping[str, Callable[[GridScore], str]]
) -> list[Column[GridScore]]:
    """Return the columns whose cells differ."""
    return [
        (heading, value)
        for heading, value in columns.items()
        if len({value(cell) for cell in cells}) > 1
    ]


def _temperature(cell: GridScore) -> str:
    return UNKNOWN if cell.temperature is None else f"{cell.temperature:g}"


def _order(cell: GridScore) -> str:
    return cell.order.replace("_", " ")


def _size(cell: GridScore) -> str:
    size = cell.chunk_characters
    return "whole document" if size is None else f"{count(size)} characters"


def _number_shown(cell: GridScore) -> str:
    return "all" if cell.chunk_characters is None else count(cell.shown)


def _missing(cell: GridScore) -> str:
    return TOO_LONG if cell.left_out else "none parsed"


def _hit_columns(cells: Cells) -> Iterator[Column[GridScore]]:
    """Yield accuracies by whether the target was retrieved, for targets that are known."""
    for name, target in (("document_found", "document"), ("answer_found", "answer")):
        if any(getattr(cell, name) for cell in cells):
            for side, outcome in (("hit", "retrieved"), ("miss", "missed")):
                heading = (f"{target} {outcome}", "accuracy")
                yield heading, partial(_hit_cell, name=name, side=side)


def _hit_cell(cell: GridScore, name: str, side: str) -> Cell:
    split: HitSplit | None = getattr(cell, name)
    return share_cell(getattr(split, side), "no questions", show_n=True) if split else NOTHING


def _reason_table(cells: Cells) -> Table | None:
    """Return why cells were not evaluated, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for cell in cells:
        if cell.left_out:
            name = f"{cell.model} {_number_shown(cell)} of {_size(cell)}"
            by_reason.setdefault(cell.left_out, []).append(name)
    rows = [
        (plural(len(names), "cell"), ", ".join(names), reason)
        for reason, names in by_reason.items()
    ]
    return Table(("not evaluated", "cells", "reason"), rows, texts=range(3)) if rows else None


def _matrix(model: str, cells: Cells, best: Best) -> Table:
    """Return the accuracies of a model by chunk size and number of chunks."""
    lines: dict[str, dict[int, GridScore]] = {}
    for cell in cells:
        lines.setdefault(_line(cell, cells), {})[cell.shown] = cell
    numbers = sorted({cell.shown for cell in cells})
    rows = [
        (line, *(_short(own[number], best) if number in own else "" for number in numbers))
        for line, own in lines.items()
    ]
    sizes = [count(n) for n in sorted({cell.n for cell in cells if cell.n})]
    asked = f"n = {' or '.join(sizes)}, {cells[0].split} questions. " if sizes else ""
    marked = "The chosen setting is in bold. " if model in best else ""
    caption = f"{asked}{marked}Intervals are in the table of all cells."
    return Table([model, *(plural(n, "chunk") for n in numbers)], rows, caption)


def _line(cell: GridScore, cells: Cells) -> str:
    named = {"order": _order, "temperature": lambda cell: f"temperature {_temperature(cell)}"}
    return ", ".join([_size(cell), *(str(value(cell)) for _, value in _differing(cells, named))])


def _short(cell: GridScore, best: Best) -> Cell:
    found = estimate(cell)
    if found is None:
        return _missing(cell)
    return Strong(percent(found.value)) if _was_chosen(cell, best) else percent(found.value)
