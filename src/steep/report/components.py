"""The parts of a page: sections, figures, tables, cells, names and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from steep.core.formatting import (
    UNKNOWN,
    bounds,
    count,
    decimal,
    dollars,
    interval,
    listing,
    percent,
    points,
)
from steep.report.charts import bar_cell
from steep.report.html import Child, Html, el
from steep.report.view_models import estimate

SIZES = {name: f"a {name} model" for name in ("small", "large")}  # of imported texts without names
Row = TypeVar("Row")
Cell = Child | int  # a whole number is written with thousands separators


@dataclass(frozen=True, slots=True)
class PageSection:
    """A section of the page with its entry in the table of contents."""

    anchor: str
    title: str
    body: Html


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column of numbers: its heading, the cell of a row, and a second line of the heading."""

    heading: str
    cell: Callable[[Row], Cell]
    detail: str = ""
    numeric: bool = True

    @property
    def kind(self) -> str | None:
        """Return the class of its cells."""
        return "number" if self.numeric else None


def text_column(heading: str, cell: Callable[[Row], Cell]) -> Column[Row]:
    """Return a column of text."""
    return Column(heading, cell, numeric=False)


def section(anchor: str, title: str, lede: Child, *children: Child) -> PageSection:
    """Return a section with its heading and an opening paragraph."""
    opening = el("p", lede, class_="opening") if lede is not None else None
    return PageSection(anchor, title, el("section", el("h2", title), opening, *children, id=anchor))


def part(heading: str, *children: Child) -> Html:
    """Return a part of a section under its own heading."""
    return el("div", el("h3", heading), *children)


def prose(*children: Child) -> Html:
    """Return a paragraph."""
    return el("p", *children, class_="prose")


def figure(chart: Html, caption: Child) -> Html:
    """Return a chart with its numbered caption (the style sheet counts)."""
    return el("figure", chart, el("figcaption", caption))


def fold(summary: str, *children: Child) -> Html:
    """Return content that is folded until the reader opens it."""
    return el("details", el("summary", summary), *children)


def absent(text: str) -> Html:
    """Return a note that this run lacks a part."""
    return el("p", text, class_="absent")


def facts(pairs: Iterable[tuple[str, Child]], class_: str) -> Html:
    """Return a list of names and values."""
    items = [el("div", el("dt", name), el("dd", value)) for name, value in pairs]
    return el("dl", *items, class_=class_)


# ---- tables --------------------------------------------------------------------------------------


def table(rows: Iterable[Row], columns: Sequence[Column[Row]], caption: Child = None) -> Html:
    """Return a table that scrolls in its own box; its first column names the row."""
    head = [
        el(
            "th",
            column.heading,
            el("span", column.detail, class_="detail") if column.detail else None,
            scope="col",
            class_=column.kind,
        )
        for column in columns
    ]
    body = el("tbody", *(_row(row, columns) for row in rows))
    note = el("p", caption, class_="note") if caption is not None else None
    inner = el("table", el("thead", el("tr", *head)), body)
    return el("div", el("div", inner, class_="scroll"), note, class_="table")


def _row(row: Row, columns: Sequence[Column[Row]]) -> Html:
    first, *rest = columns
    return el(
        "tr",
        el("th", _content(first.cell(row)), scope="row", class_=first.kind),
        *(el("td", _content(column.cell(row)), class_=column.kind) for column in rest),
    )


def _content(cell: Cell) -> Child:
    return count(cell) if isinstance(cell, int) else cell


def simple_table(
    headings: Sequence[Sequence[str]],
    rows: Iterable[Sequence[Any]],
    caption: Child = None,
    texts: int = 1,
) -> Html:
    """Return a table of rows that are complete already.

    Args:
        headings: One per column; a pair is a heading with a second line.
        rows: The cells of each row.
        caption: The note below the table.
        texts: Number of columns of text, which stand before the columns of numbers.
    """
    columns = [
        _place(number, heading, numeric=number >= texts) for number, heading in enumerate(headings)
    ]
    return table(rows, columns, caption)


def _place(number: int, heading: Sequence[str], *, numeric: bool) -> Column[Sequence[Any]]:
    head, detail = (heading, "") if isinstance(heading, str) else heading
    return Column(head, lambda row: row[number], detail, numeric)


def count_table(
    heading: str,
    unit: str,
    counts: Sequence[tuple[str, float]],
    caption: Child = None,
    shown: Callable[[float], str] = count,
) -> Html:
    """Return a table of names and counts, each with a bar."""
    most = max((number for _, number in counts), default=0) or 1
    columns: list[Column[tuple[str, float]]] = [
        text_column(heading, lambda row: row[0]),
        text_column("", lambda row: bar_cell(row[1] / most)),
        Column(unit, lambda row: shown(row[1])),
    ]
    return table(counts, columns, caption)


# ---- cells ---------------------------------------------------------------------------------------


def stacked(main: str, below: str) -> Html:
    """Return a value with a detail below it."""
    return el("span", main, el("span", below, class_="detail"))


def share_cell(row: Any, without: str = UNKNOWN, *, show_n: bool = False) -> Child:
    """Return an accuracy, or another share, above its interval."""
    if (found := estimate(row)) is None:
        return without
    below = interval(found.low, found.high) + (f", n = {found.n}" if show_n else "")
    return stacked(percent(found.value), below)


def points_cell(row: Any, without: str = UNKNOWN) -> Child:
    """Return a difference in percentage points above its interval."""
    if (found := estimate(row)) is None:
        return without
    return stacked(points(found.value), interval(found.low, found.high, signed=True))


def value_cell(row: Any, decimals: int, without: str = UNKNOWN, *, signed: bool = False) -> Child:
    """Return a value in its own unit above its interval."""
    if (found := estimate(row)) is None:
        return without
    below = bounds(found.low, found.high, decimals, signed=signed)
    return stacked(decimal(found.value, decimals, signed=signed), below)


def number_or_unknown(value: float | None, decimals: int = 0) -> str:
    """Return a number; None is unknown."""
    return UNKNOWN if value is None else decimal(value, decimals)


def cost(cost_usd: float | None, *, own_machine: bool) -> str:
    """Return a cost; an unknown one is never zero."""
    if cost_usd is None:
        return UNKNOWN
    return f"{dollars(cost_usd)} (own machine)" if own_machine else dollars(cost_usd)


def model_names(names: Sequence[str]) -> str:
    """Return the models that wrote some texts: `the model 'gpt-4.1'`, or `a large model`."""
    return listing([SIZES.get(name, f"the model '{name}'") for name in names])
