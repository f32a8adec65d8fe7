"""The parts that sections are built of: section, figure, table, key figures, fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steep.core.formatting import UNKNOWN, bounds, decimal, dollars, listing
from steep.report.html import Child, Html, el
from steep.report.view_models import Estimate

SIZES = {name: f"a {name} model" for name in ("small", "large")}  # of imported texts: no names


@dataclass(frozen=True, slots=True)
class PageSection:
    """A part of the page, and its entry in the list of contents."""

    anchor: str
    title: str
    body: Html


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `detail` is a second line of its heading."""

    heading: str
    detail: str = ""
    numeric: bool = True


def text_column(heading: str) -> Column:
    """A column of words."""
    return Column(heading, numeric=False)


def section(anchor: str, title: str, lede: Child, *children: Child) -> PageSection:
    """A section with its heading and an opening paragraph."""
    opening = el("p", lede, class_="opening") if lede is not None else None
    body = el("section", el("h2", title), opening, *children, id=anchor)
    return PageSection(anchor, title, body)


def figure(picture: Html, caption: Child) -> Html:
    """A picture with its numbered caption (the style sheet counts)."""
    return el("figure", picture, el("figcaption", caption))


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Child]], caption: Child = None
) -> Html:
    """A table that scrolls in its own box where the page is too narrow; column 1 names the row."""
    head = [
        el(
            "th",
            column.heading,
            el("span", column.detail, class_="detail") if column.detail else None,
            scope="col",
            class_="number" if column.numeric else None,
        )
        for column in columns
    ]
    body = [_row(columns, row) for row in rows]
    inner = el("table", el("thead", el("tr", *head)), el("tbody", *body))
    note = el("p", caption, class_="note") if caption is not None else None
    return el("div", el("div", inner, class_="scroll"), note, class_="table")


def _row(columns: Sequence[Column], cells: Sequence[Child]) -> Html:
    kinds = ["number" if column.numeric else None for column in columns]
    first = el("th", cells[0], scope="row", class_=kinds[0])
    rest = [el("td", cell, class_=kind) for cell, kind in zip(cells[1:], kinds[1:], strict=True)]
    return el("tr", first, *rest)


def stacked(main: str, below: str) -> Html:
    """A figure with its interval or detail under it."""
    return el("span", main, el("span", below, class_="detail"))


def figure_cell(
    estimate: Estimate | None, decimals: int, without: str, *, signed: bool = False
) -> Child:
    """A figure in its own unit over its interval."""
    if estimate is None:
        return without
    below = bounds(estimate.low, estimate.high, decimals, signed=signed)
    return stacked(decimal(estimate.value, decimals, signed=signed), below)


def facts(pairs: Sequence[tuple[str, Child]], class_: str) -> Html:
    """Names and values."""
    return el(
        "dl",
        *[el("div", el("dt", name), el("dd", value)) for name, value in pairs],
        class_=class_,
    )


def fold(summary: str, *children: Child) -> Html:
    """Something to open."""
    return el("details", el("summary", summary), *children)


def absent(text: str) -> Html:
    """A part that this run does not have, said plainly."""
    return el("p", text, class_="absent")


def model_names(names: Sequence[str]) -> str:
    """Return the models that wrote some texts: `the model 'gpt-4.1'`, or `a large model`."""
    return listing([SIZES.get(name, f"the model '{name}'") for name in names])


def cost(cost_usd: float | None, *, own_machine: bool) -> str:
    """Return a cost; an unknown one is never zero."""
    if cost_usd is None:
        return UNKNOWN
    return f"{dollars(cost_usd)} (own machine)" if own_machine else dollars(cost_usd)
