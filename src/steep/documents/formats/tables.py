"""Tables in the lines of a PDF page: runs of lines whose fragments stand in the same columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from steep.documents.formats.layout import Row

LEAST_ROWS = 3
MOST_COLUMNS = 12
NEAR = 2.2  # distance of a row from the one before, in heights of a line, within a table

LABEL = re.compile(
    r"(?:[-*\u2022\u2023\u2043\u25aa\u25ab\u25cf\u25cb\u25e6\u2013\u2014\uf0b7\u00b7\u25a0\u2756]"
    r"|\(?\d{1,3}[.)]|\[\d{1,3}\]|\(?[a-zA-Z][.)]|\(?[ivx]{1,5}[.)]|\d+(?:\.\d+)+\.?)"
)
LEADERS = re.compile(r"(?:\s?[.\u2026\u00b7]){4,}\s*([\divxlc]*)\s*$")


@dataclass(frozen=True, slots=True)
class PdfTable:
    """Rows of cells, and the lines that they were."""

    cells: tuple[tuple[str, ...], ...]
    rows: tuple[Row, ...]


def find_tables(rows: Sequence[Row]) -> list[Row | PdfTable]:
    """Return lines as they are, and tables in place of their lines."""
    found: list[Row | PdfTable] = []
    index = 0
    while index < len(rows):
        table = _table_at(rows, index) if _is_tabular(rows[index]) else None
        found.append(table or rows[index])
        index += len(table.rows) if table else 1
    return found


def _is_tabular(row: Row) -> bool:
    """Return whether a line may be a row: several cells, and no list item, contents or code."""
    labeled = LABEL.fullmatch(row.cells[0].text)
    cells = len(row.cells) - bool(labeled)
    return cells > 1 and not row.main.mono and not LEADERS.search(row.text)


def _table_at(rows: Sequence[Row], start: int) -> PdfTable | None:
    """Return the longest table that begins at a line, if it is one."""
    bounds: list[tuple[float, float]] = []
    taken: list[Row] = []
    tabular = 0
    for row in rows[start:]:
        if taken and row.top - taken[-1].bottom > NEAR * (row.bottom - row.top):
            break
        merged = _merged(bounds, row)
        several = _is_tabular(row)
        if several and (not bounds or len(merged) >= max(2, len(bounds) - 1)):
            bounds = merged
            tabular += 1
        elif not (taken and len(row.cells) == 1 and _within(bounds, row)):
            break
        taken.append(row)
    while taken and not _is_tabular(taken[-1]) and _ends_apart(taken):
        taken.pop()
    if tabular < LEAST_ROWS or not 2 <= len(bounds) <= MOST_COLUMNS or 2 * tabular < len(taken):
        return None
    return PdfTable(_grid(taken, bounds), tuple(taken))


def _ends_apart(taken: Sequence[Row]) -> bool:
    """Return whether the last line, of one cell, stands in the first column, as text after it."""
    return taken[-1].left <= min(row.left for row in taken[:-1]) + 1 if len(taken) > 1 else False


def _merged(bounds: Sequence[tuple[float, float]], row: Row) -> list[tuple[float, float]]:
    """Return the columns after a row: intervals of x, joined where they overlap."""
    merged: list[tuple[float, float]] = []
    for left, right in sorted([*bounds, *((cell.left, cell.right) for cell in row.cells)]):
        if merged and left < merged[-1][1]:
            merged[-1] = merged[-1][0], max(right, merged[-1][1])
        else:
            merged.append((left, right))
    return merged


def _within(bounds: Sequence[tuple[float, float]], row: Row) -> bool:
    touched = [left for left, right in bounds if left < row.right and row.left < right]
    return len(touched) <= 1


def _grid(
    rows: Sequence[Row], bounds: Sequence[tuple[float, float]]
) -> tuple[tuple[str, ...], ...]:
    """Return the cells; a line of one cell continues the row above it."""
    grid: list[list[str]] = []
    for row in rows:
        line = [""] * len(bounds)
        for cell in row.cells:
            column = next(
                (
                    at
                    for at, (left, right) in enumerate(bounds)
                    if cell.left < right and left < cell.right
                ),
                len(bounds) - 1,
            )
            line[column] = f"{line[column]} {cell.text}".strip()
        if grid and not _is_tabular(row):
            grid[-1] = [
                f"{above} {text}".strip() for above, text in zip(grid[-1], line, strict=True)
            ]
        else:
            grid.append(line)
    return tuple(map(tuple, grid))
