"""The markup of a section: blocks become headings, tables, figures and folds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from steep.core.formatting import count
from steep.report.blocks import (
    Block,
    Bullets,
    Cell,
    Figure,
    Fold,
    Heading,
    Model,
    PageSection,
    Part,
    Series,
    Stacked,
    Strong,
    Table,
    sort_value,
)
from steep.report.charts import series_class
from steep.report.html import Html, el


def draw_section(found: PageSection, series: Series) -> Html:
    """Return the markup of a section; `series` numbers the models by their colors."""
    drawing = _Drawing(found.anchor, series)
    opening = el("p", found.opening, class_="opening") if found.opening else None
    blocks = drawing.blocks(found.blocks)
    return el("section", el("h2", found.title), opening, *blocks, id=found.anchor)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The blocks of a section; headings that occur again are numbered in their anchors."""

    anchor: str
    series: Series
    headings: Counter[str] = field(default_factory=Counter)

    def blocks(self, blocks: Iterable[Block]) -> Iterator[Html | None]:
        for block in blocks:
            match block:
                case str():
                    yield el("p", block, class_="prose")
                case Table():
                    yield _table(block, self.series)
                case Figure():
                    caption = el("figcaption", block.caption)
                    yield el("figure", block.draw(self.series), caption)
                case Bullets():
                    yield el("ul", *(el("li", each) for each in block.items), class_="said")
                case Part():
                    yield el("div", self._heading(block.heading), *self.blocks(block.blocks))
                case Fold():
                    yield el("details", el("summary", block.summary), *self.blocks(block.blocks))
                case _:
                    yield block

    def _heading(self, heading: str) -> Html:
        name = re.sub(r"\W+", "-", f"{self.anchor} {heading}".lower()).strip("-")
        self.headings[name] += 1
        anchor = name if self.headings[name] == 1 else f"{name}-{self.headings[name]}"
        return el("h3", heading, id=anchor)


# ---- tables --------------------------------------------------------------------------------------


def _table(found: Table, series: Series) -> Html:
    """Return a table that scrolls in its own box; a sortable one has the numbers of its cells."""
    kinds = [None if index in found.texts else "number" for index in range(len(found.headings))]
    head = [_heading(each, kind) for each, kind in zip(found.headings, kinds, strict=True)]
    rows = []
    for row in found.rows:
        first, *others = row
        cells = [el("th", _cell(first, series), scope="row", class_=kinds[0])]
        for cell, kind in zip(others, kinds[1:], strict=True):
            value = sort_value(cell) if kind and found.can_be_sorted else None
            shown = None if value is None else f"{value:.15g}"
            cells.append(el("td", _cell(cell, series), class_=kind, data_value=shown))
        rows.append(el("tr", *cells))
    # A name and a number would stand far apart over the whole width.
    classes = {"sortable": found.can_be_sorted, "narrow": kinds == [None, "number"]}
    class_ = " ".join(name for name, holds in classes.items() if holds) or None
    inner = el("table", el("thead", el("tr", *head)), el("tbody", *rows), class_=class_)
    note = el("p", found.caption, class_="note") if found.caption else None
    return el("div", el("div", inner, class_="scroll"), note, class_="table")


def _heading(heading: Heading, kind: str | None) -> Html:
    first, second = (heading, "") if isinstance(heading, str) else heading
    if not first:
        return el("td", class_=kind)
    return el("th", first, _detail(second), scope="col", class_=kind)


def _cell(cell: Cell, series: Series) -> Html | str:
    match cell:
        case int():
            return count(cell)
        case Stacked():
            return el("span", cell.main, _detail(cell.detail))
        case Strong():
            return el("strong", cell.text)
        case Model():
            swatch = el("i", class_=f"swatch {series_class(series.get(cell.name, 0))}")
            key = el("span", swatch, cell.name, class_="key")
            more = cell.suffix or cell.detail
            return el("span", key, cell.suffix, _detail(cell.detail)) if more else key
    return cell


def _detail(text: str) -> Html | None:
    return el("span", text, class_="detail") if text else None
