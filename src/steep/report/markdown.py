"""Sections of the page as Markdown: text and tables, without charts and without quotations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from steep.report.blocks import Block, Bullets, Cell, PageSection, Part, Strong, Table
from steep.report.html import Html
from steep.report.plain import cell_text, heading_text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def section_lines(section: PageSection, level: int) -> Iterator[str]:
    """Return the lines of a section under a heading of this level.

    Details, parts about the questions, and what quotes documents, texts or questions are left out.
    """
    yield f"{'#' * level} {escaped(section.title)}"
    if section.opening:
        yield from ("", escaped(section.opening))
    yield from _lines(section.blocks, level + 1)


def _lines(blocks: Iterable[Block], level: int) -> Iterator[str]:
    for block in blocks:
        match block:
            case str():
                yield from ("", escaped(block))
            case Bullets():
                yield from ("", *(f"- {escaped(each)}" for each in block.items))
            case Table() if not block.quotes:
                yield from ("", *table_lines(block))
            case Part() if not (block.is_detail or block.about_questions):
                if inner := list(_lines(block.blocks, level + 1)):
                    yield from ("", f"{'#' * level} {escaped(block.heading)}", *inner)


def table_lines(found: Table) -> Iterator[str]:
    """Return the lines of a table and of its caption; columns of drawings are left out."""
    drawn = {
        index for row in found.rows for index, cell in enumerate(row) if isinstance(cell, Html)
    }
    kept = [index for index in range(len(found.headings)) if index not in drawn]
    yield _row([escaped(heading_text(found.headings[index])) for index in kept])
    yield f"|{'|'.join('---' if index in found.texts else '---:' for index in kept)}|"
    for row in found.rows:
        yield _row([_cell(row[index]) for index in kept])
    if found.caption:
        yield from ("", escaped(found.caption))


def _cell(cell: Cell) -> str:
    return f"**{escaped(cell.text)}**" if isinstance(cell, Strong) else escaped(cell_text(cell))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
