"""Tables and prose that fit a terminal: 80 columns where its width is unknown."""

from __future__ import annotations

import re
import shutil
import textwrap
import unicodedata
from collections.abc import Container, Iterator, Sequence
from itertools import zip_longest

GAP = "  "
# Columns of folded names: at least, and when the terminal is too narrow.
NARROW_NAME, WIDE_NAME = 10, 24
WIDE_TEXT = 30  # columns of folded text in other columns
BRACKET = re.compile(r" (?=[(\[])")  # an interval may stand below its value
Row = Sequence[str]


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a Chinese character."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def fitted(text: str, columns: int) -> str:
    """Return a text cut to fit into columns of a terminal, with an ellipsis."""
    if display_width(text) <= columns:
        return text
    cut = text[: columns - 1]
    while display_width(cut) >= columns:
        cut = cut[:-1]
    return f"{cut.rstrip()}…"


def terminal_columns() -> int:
    """Return the width of the terminal in characters, 80 when it is unknown."""
    return shutil.get_terminal_size((80, 24)).columns


def wrapped(line: str, columns: int | None = None, hang: int = 2) -> list[str]:
    """Wrap a line at spaces so that it fits.

    Args:
        line: One line; spaces at its start indent what follows, too.
        columns: The width; by default that of the terminal.
        hang: How many more spaces stand before all but the first line.
    """
    columns = columns or terminal_columns()
    if len(line) <= columns:
        return [line]
    text = line.lstrip(" ")
    indent = " " * (len(line) - len(text))
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent + " " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def wrap_text(text: str, hang: int = 2) -> str:
    """Wrap every line of a text to the width of the terminal."""
    return "\n".join(piece for line in text.split("\n") for piece in wrapped(line, hang=hang))


def table(
    rows: Sequence[Row],
    columns: int | None = None,
    rule: bool = False,
    texts: Container[int] = range(1),
) -> list[str]:
    """Return the lines of a table, no wider than the terminal.

    What is too wide is made narrower in this order: headings are broken at spaces, then cells
    before a bracket, names and texts, then the columns are divided over several tables, each with
    the first column.

    Args:
        rows: The headings first.
        columns: The width; by default that of the terminal.
        rule: Whether a line is drawn below the headings.
        texts: The columns that are aligned to the left; the first one is a text.
    """
    columns = columns or terminal_columns()
    left = [index in texts for index in range(len(rows[0]))]
    for cells in (_whole(rows), _with_broken_heads(_whole(rows)), _broken(rows, columns, left)):
        if _width(cells) <= columns:
            return list(_lines(cells, left, rule))
    lines: list[str] = []
    for taken in _parts(cells, columns):
        part = [[row[each] for each in taken] for row in cells]
        lines += [*([""] if lines else []), *_lines(part, [left[each] for each in taken], rule)]
    return lines


_Cells = list[list[list[str]]]  # the lines of each cell, by row


def _whole(rows: Sequence[Row]) -> _Cells:
    return [[[cell] for cell in row] for row in rows]


def _with_broken_heads(cells: _Cells) -> _Cells:
    """Wrap headings at spaces, to the width of the cells below them."""
    head, *body = cells
    widths = _widths([[cell[0].split() or [""] for cell in head], *body])
    broken = [
        textwrap.wrap(cell[0], width or 1) or [""] for cell, width in zip(head, widths, strict=True)
    ]
    return [broken, *body]


def _broken(rows: Sequence[Row], columns: int, left: Sequence[bool]) -> _Cells:
    """Wrap all cells; the first column to the width that the others leave, if sufficient."""
    head, *body = rows
    broken = [
        [
            textwrap.wrap(cell, WIDE_TEXT) or [""] if is_text else BRACKET.split(cell)
            for cell, is_text in zip(row, left, strict=True)
        ]
        for row in body
    ]
    cells = _with_broken_heads([[[cell] for cell in head], *broken])
    first, *others = _widths(cells)
    room = columns - sum(others) - len(GAP) * len(others)
    first = min(first, room if room >= NARROW_NAME else WIDE_NAME)
    names = [textwrap.wrap(row[0], first) or [""] for row in rows]
    return [[name, *row[1:]] for name, row in zip(names, cells, strict=True)]


def _widths(cells: _Cells) -> list[int]:
    return [
        max(display_width(line) for cell in column for line in cell)
        for column in zip(*cells, strict=True)
    ]


def _width(cells: _Cells) -> int:
    widths = _widths(cells)
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _parts(cells: _Cells, columns: int) -> Iterator[list[int]]:
    """Divide the columns: as many as fit, the first one before each part."""
    first, *widths = _widths(cells)
    taken: list[int] = []
    room = columns - first
    for column, width in enumerate(widths, start=1):
        if taken and width + len(GAP) > room:
            yield [0, *taken]
            taken, room = [], columns - first
        taken.append(column)
        room -= width + len(GAP)
    yield [0, *taken]


def _lines(cells: _Cells, left: Sequence[bool], rule: bool) -> Iterator[str]:
    widths = _widths(cells)
    for number, row in enumerate(cells):
        for line in zip_longest(*row, fillvalue=""):
            padded = [
                _padded(text, width, is_text)
                for text, width, is_text in zip(line, widths, left, strict=True)
            ]
            yield GAP.join(padded).rstrip()
        if rule and number == 0:
            yield "-" * _width(cells)


def _padded(text: str, width: int, is_text: bool) -> str:
    blanks = " " * (width - display_width(text))
    return text + blanks if is_text else blanks + text
