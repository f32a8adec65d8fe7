"""The grid of retrieval settings: every cell with its accuracy, in short if the grid is large.

A cell is a model, a chunk size, a number of chunks, their order and a temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steep.core.formatting import UNKNOWN, count, percent, plural
from steep.evaluation.study_results import GridScore, GridVariant, HitSplit, OpenBookResult
from steep.report.comparisons import key
from steep.report.components import fold, part, share_cell, table
from steep.report.html import Child, Html, el
from steep.report.view_models import ReportData, estimate

MOST_CELLS = 12  # a larger grid is shown in short
TOO_LONG, NOTHING = "too long", "\N{EN DASH}"
Best = Mapping[str, GridVariant]
Cells = Sequence[GridScore]


def grid(run: ReportData, found: OpenBookResult) -> Iterator[Html]:
    """Yield all cells, or a short table per model with the rest folded."""
    cells, best = found.cells, found.best
    if len(cells) <= MOST_CELLS:
        yield part("Retrieval settings", _cell_table(run, cells, best), _reason_table(cells))
        return
    reported = [c for c in cells if c.chunk_characters is None or _is_best(c, best)]
    yield part("Retrieval settings", _cell_table(run, reported, best) if reported else None)
    tried = [cell for cell in cells if cell.chunk_characters is not None]
    searched = [cell for cell in tried if cell.split != "test"] or tried
    for model in dict.fromkeys(cell.model for cell in searched):
        yield _matrix(model, [cell for cell in searched if cell.model == model], best)
    if reasons := _reason_table(cells):
        yield reasons
    yield fold(f"All {count(len(cells))} cells", _cell_table(run, cells, best))


def _setting(variant: GridVariant) -> tuple[Any, ...]:
    return (variant.chunk_characters, variant.shown, variant.order, variant.temperature)


def _was_chosen(cell: GridScore, best: Best) -> bool:
    variant = best.get(cell.model)
    return variant is not None and _setting(cell) == _setting(variant)


def _is_best(cell: GridScore, best: Best) -> bool:
    """Return whether the cell is the one that is reported for its model."""
    return _was_chosen(cell, best) and cell.split == best[cell.model].split


# ---- the table of cells --------------------------------------------------------------------------

_Column = tuple[Sequence[str], Callable[[GridScore], Any]]  # a heading and the cell of a row


def _cell_table(run: ReportData, cells: Cells, best: Best) -> Html:
    """Return one row per cell; columns with the same value in all rows are left out."""
    hits = list(_hit_columns(cells))
    texts: list[_Column] = [("model", lambda cell: _model(run, cell, best)), ("chunk size", _size)]
    texts += _differing(cells, {"order": _order, "questions": lambda cell: cell.split})
    columns: list[_Column] = [
        *texts,
        ("chunks", _number_shown),
        *_differing(cells, {"temperature": _temperature}),
        ("n", lambda cell: cell.n),
        ("accuracy", lambda cell: share_cell(cell, _missing(cell))),
        *hits,
    ]
    rows = [[value(cell) for _, value in columns] for cell in cells]
    headings = [heading for heading, _ in columns]
    caption = (
        "Accuracy with and without the document, or the answer, among the chunks: a model that is "
        "right without it knew the answer or guessed."
    )
    return table(headings, rows, caption if hits else None, texts=range(len(texts)))


def _model(run: ReportData, cell: GridScore, best: Best) -> Html:
    reported = el("span", "reported", class_="detail") if _is_best(cell, best) else None
    return el("span", key(run, cell.model), reported)


def _differing(cells: Cells, columns: dict[str, Callable[[GridScore], Any]]) -> list[_Column]:
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


def _hit_columns(cells: Cells) -> Iterator[_Column]:
    """Yield accuracies by whether the target was retrieved, for targets that are known."""
    for name, target in (("document_found", "document"), ("answer_found", "answer")):
        if any(getattr(cell, name) for cell in cells):
            yield (f"{target} retrieved", "accuracy"), _side(name, lambda split: split.hit)
            yield (f"{target} missed", "accuracy"), _side(name, lambda split: split.miss)


def _side(name: str, side: Callable[[HitSplit], Any]) -> Callable[[GridScore], Child]:
    def cell(row: GridScore) -> Child:
        split = getattr(row, name)
        return share_cell(side(split), "no questions", show_n=True) if split else NOTHING

    return cell


def _reason_table(cells: Cells) -> Html | None:
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
    return table(("not evaluated", "cells", "reason"), rows, texts=range(3)) if rows else None


# ---- a large grid in short -----------------------------------------------------------------------


def _matrix(model: str, cells: Cells, best: Best) -> Html:
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
    return table([model, *(plural(n, "chunk") for n in numbers)], rows, caption)


def _line(cell: GridScore, cells: Cells) -> str:
    parts = [_size(cell), *(value(cell) for _, value in _differing(cells, {"order": _order}))]
    if _differing(cells, {"temperature": _temperature}):
        parts.append(f"temperature {_temperature(cell)}")
    return ", ".join(parts)


def _short(cell: GridScore, best: Best) -> Child:
    found = estimate(cell)
    if found is None:
        return _missing(cell)
    return el("strong", percent(found.value)) if _was_chosen(cell, best) else percent(found.value)
