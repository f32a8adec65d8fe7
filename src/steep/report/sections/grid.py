"""The grid of open-book ways: every cell with its accuracy; a large grid in short, the rest folded.

A cell is a model, a size of chunks, how many are shown, their order and a temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from steep.core.formatting import count, percent, plural
from steep.report.components import Column, fold, table, text_column
from steep.report.html import Child, Html, el
from steep.report.measures import estimate
from steep.report.sections.accuracies import accuracy_cell, key
from steep.report.view_models import ReportData

MOST_CELLS = 12  # a larger grid is shown in short
VARIANT = ("chunk_characters", "shown", "order", "temperature")
TOO_LONG, NOTHING = "too long", "\N{EN DASH}"
Cell = Mapping[str, Any]


def grid(run: ReportData, found: Mapping[str, Any]) -> list[Html | None]:
    """All cells, or a short table for each model with the rest to open."""
    cells, best = found["cells"], found["best"]
    heading = el("h3", "Every way of showing")
    if len(cells) <= MOST_CELLS:
        return [heading, _cell_table(run, cells, best), _reasons(cells)]
    reported = [cell for cell in cells if _reported(cell, best)]
    return [
        heading,
        _cell_table(run, reported, best) if reported else None,
        *_matrices(cells, best),
        _reasons(cells),
        fold(f"All {count(len(cells))} cells", _cell_table(run, cells, best)),
    ]


def _reported(cell: Cell, best: Mapping[str, Any]) -> bool:
    return cell["chunk_characters"] is None or _is_best(cell, best)


def _is_best(cell: Cell, best: Mapping[str, Any]) -> bool:
    """Whether it is the one that is scored."""
    variant = best.get(cell["model"])
    return variant is not None and all(cell[name] == variant[name] for name in (*VARIANT, "split"))


def _was_chosen(cell: Cell, best: Mapping[str, Any]) -> bool:
    variant = best.get(cell["model"])
    return variant is not None and all(cell[name] == variant[name] for name in VARIANT)


# ---- the table of cells --------------------------------------------------------------------------

Shown = tuple[Column, Callable[[Cell], Child]]


def _cell_table(run: ReportData, cells: Sequence[Cell], best: Mapping[str, Any]) -> Html:
    """A row a cell; columns that would say the same of all are left away."""
    shown = [
        *_variant_columns(cells),
        *([(text_column("questions"), _split)] if _differ(cells, "split") else ()),
        (Column("n"), lambda cell: count(cell["n"])),
        (Column("accuracy"), _accuracy),
        *_hit_columns(cells),
    ]
    columns = [text_column("model"), *(column for column, _ in shown)]
    rows: list[list[Child]] = [
        [
            el("span", key(run, cell["model"]), _mark(cell, best)),
            *(value(cell) for _, value in shown),
        ]
        for cell in cells
    ]
    caption = (
        "Accuracy where it was among the chunks shown, and where not: a model that is right "
        "without it knew, or guessed."
    )
    return table(columns, rows, caption if _hit_columns(cells) else None)


def _mark(cell: Cell, best: Mapping[str, Any]) -> Html | None:
    return el("span", "scored", class_="detail") if _is_best(cell, best) else None


def _variant_columns(cells: Sequence[Cell]) -> list[Shown]:
    found: list[Shown] = [(text_column("chunks of"), _size), (Column("shown"), _number_shown)]
    if _differ(cells, "order"):
        found.append((text_column("order"), lambda cell: cell["order"].replace("_", " ")))
    if _differ(cells, "temperature"):
        found.append((Column("temperature"), lambda cell: f"{cell['temperature']:g}"))
    return found


def _differ(cells: Sequence[Cell], name: str) -> bool:
    return len({cell[name] for cell in cells}) > 1


def _size(cell: Cell) -> str:
    size = cell["chunk_characters"]
    return "the whole document" if size is None else f"{count(size)} characters"


def _number_shown(cell: Cell) -> str:
    return "all" if cell["chunk_characters"] is None else count(cell["shown"])


def _split(cell: Cell) -> str:
    return str(cell["split"])


def _accuracy(cell: Cell) -> Child:
    without = TOO_LONG if cell["left_out"] else "none read"
    return accuracy_cell(estimate(cell, "accuracy"), show_n=False, without=without)


def _hit_columns(cells: Sequence[Cell]) -> list[Shown]:
    """Accuracy with and without what was looked for; the answer only where it is a known text."""
    found: list[Shown] = []
    for name, said in (("document_found", "the document"), ("answer_found", "the answer")):
        if any(cell.get(name) for cell in cells):
            found += [
                (Column(f"{said} shown", "accuracy"), _side(name, "hit")),
                (Column(f"{said} not shown", "accuracy"), _side(name, "miss")),
            ]
    return found


def _side(name: str, side: str) -> Callable[[Cell], Child]:
    def value(cell: Cell) -> Child:
        if not cell.get(name):  # nothing was looked for: the whole document, or not asked
            return NOTHING
        part = cell[name][side]
        return accuracy_cell(estimate(part, "accuracy"), show_n=True, without="no question")

    return value


def _reasons(cells: Sequence[Cell]) -> Html | None:
    """Why cells were not asked, each reason once."""
    by_reason: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell["left_out"]:
            by_reason.setdefault(cell["left_out"], []).append(cell)
    if not by_reason:
        return None
    rows: list[list[Child]] = [
        [plural(len(left_out), "cell"), ", ".join(map(_name, left_out)), reason]
        for reason, left_out in by_reason.items()
    ]
    columns = [text_column("not asked"), text_column("which"), text_column("why")]
    return table(columns, rows)


def _name(cell: Cell) -> str:
    return f"{cell['model']} {_number_shown(cell)} of {_size(cell)}"


# ---- a large grid in short -----------------------------------------------------------------------


def _matrices(cells: Sequence[Cell], best: Mapping[str, Any]) -> list[Html]:
    """For each model accuracies by size and number of chunks; the way that was chosen is marked."""
    tried = [cell for cell in cells if cell["chunk_characters"] is not None]
    searched = [cell for cell in tried if cell["split"] != "test"] or tried
    by_model = groupby(sorted(searched, key=_model), key=_model)
    rows_of = {name: list(own) for name, own in by_model}
    return [_matrix(name, rows_of[name], best) for name in dict.fromkeys(map(_model, searched))]


def _model(cell: Cell) -> str:
    return str(cell["model"])


def _matrix(name: str, cells: Sequence[Cell], best: Mapping[str, Any]) -> Html:
    numbers = sorted({cell["shown"] for cell in cells})
    lines: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        lines.setdefault(_line(cell, cells), {})[cell["shown"]] = cell
    rows: list[list[Child]] = [
        [line, *(_short(own[number], best) if number in own else "" for number in numbers)]
        for line, own in lines.items()
    ]
    columns = [text_column(name), *(Column(f"{number} shown") for number in numbers)]
    sizes = sorted({cell["n"] for cell in cells if cell["n"]})
    asked = (
        f"n = {' or '.join(map(count, sizes))}, {cells[0]['split']} questions. " if sizes else ""
    )
    marked = "In bold the way that was chosen. " if name in best else ""
    return table(columns, rows, f"{asked}{marked}Intervals are in the table of all cells.")


def _line(cell: Cell, cells: Sequence[Cell]) -> str:
    parts = [f"{count(cell['chunk_characters'])} characters"]
    if _differ(cells, "order"):
        parts.append(cell["order"].replace("_", " "))
    if _differ(cells, "temperature"):
        parts.append(f"temperature {cell['temperature']:g}")
    return ", ".join(parts)


def _short(cell: Cell, best: Mapping[str, Any]) -> Child:
    found = estimate(cell, "accuracy")
    if found is None:
        return TOO_LONG if cell["left_out"] else "none read"
    said = percent(found.value)
    return el("strong", said) if _was_chosen(cell, best) else said
