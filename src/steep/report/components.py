"""The parts of a page: sections, figures, tables, cells, names and values."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class PageSection:
    """A section of the page with its entry in the table of contents."""

    anchor: str
    title: str
    body: Html


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


def table(
    headings: Sequence[Sequence[str]],
    rows: Iterable[Sequence[Any]],
    caption: Child = None,
    texts: Container[int] = range(1),
) -> Html:
    """Return a table that scrolls in its own box; its first column names the row.

    Args:
        headings: One per column; a pair is a heading with a second line.
        rows: The cells of each row; whole numbers are written with thousands separators.
        caption: The note below the table.
        texts: The indices of the columns of text; all others are numbers.
    """
    kinds = [None if index in texts else "number" for index in range(len(headings))]
    head = [_heading(each, kind) for each, kind in zip(headings, kinds, strict=True)]
    body = el("tbody", *(_row(row, kinds) for row in rows))
    note = el("p", caption, class_="note") if caption is not None else None
    inner = el("table", el("thead", el("tr", *head)), body)
    return el("div", el("div", inner, class_="scroll"), note, class_="table")


def _heading(heading: Sequence[str], kind: str | None) -> Html:
    first, second = (heading, "") if isinstance(heading, str) else heading
    detail = el("span", second, class_="detail") if second else None
    return el("th", first, detail, scope="col", class_=kind)


def _row(row: Sequence[Any], kinds: Sequence[str | None]) -> Html:
    cells = [count(cell) if isinstance(cell, int) else cell for cell in row]
    first = el("th", cells[0], scope="row", class_=kinds[0])
    rest = zip(cells[1:], kinds[1:], strict=True)
    return el("tr", first, *(el("td", cell, class_=kind) for cell, kind in rest))


def count_table(
    heading: str,
    unit: str,
    counts: Sequence[tuple[str, float]],
    caption: Child = None,
    shown: Callable[[float], str] = count,
) -> Html:
    """Return a table of names and counts, each with a bar."""
    most = max((number for _, number in counts), default=0) or 1
    rows = [(name, bar_cell(number / most), shown(number)) for name, number in counts]
    return table((heading, "", unit), rows, caption, texts=range(2))


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
