"""Cells and headings of tables as plain text, for the terminal and for Markdown."""

from __future__ import annotations

from steep.core.formatting import count
from steep.report.blocks import Cell, Heading, Model, Stacked, Strong


def heading_text(heading: Heading) -> str:
    """Return a heading in one line."""
    if isinstance(heading, str):
        return heading
    detail = heading[1].replace(" = ", "\u00a0=\u00a0")  # is not broken there
    return f"{heading[0]} ({detail})" if detail else heading[0]


def cell_text(cell: Cell) -> str:
    """Return a cell in one line; empty for a drawing."""
    match cell:
        case str():
            return cell
        case int():
            return count(cell)
        case Strong():
            return f"*{cell.text}*"
        case Model():
            return f"{cell.name}{cell.suffix}" + (f" ({cell.detail})" if cell.detail else "")
        case Stacked():
            bracketed = cell.detail.startswith("[")
            return f"{cell.main} {cell.detail if bracketed else f'({cell.detail})'}"
    return ""
