"""Pieces of Markdown that all formats write."""

from __future__ import annotations

import re
from collections.abc import Sequence

DEEPEST_HEADING = 6
_LOOKS_LIKE_HEADING = re.compile(r"^(#{1,6}\s)", re.MULTILINE)
_FENCE = re.compile(r"^\s*(`{3,})", re.MULTILINE)


def heading(level: int, text: str) -> str:
    """Return a heading on one line; levels below 1 and above 6 are moved to these."""
    return f"{'#' * max(1, min(level, DEEPEST_HEADING))} {' '.join(text.split())}"


def paragraph(text: str) -> str:
    """Return a text that no reader takes for a heading."""
    return _LOOKS_LIKE_HEADING.sub(r"\\\1", text)


def fenced(code: str, language: str = "") -> str:
    """Return code between fences longer than any within it."""
    longest = max((len(each) for each in _FENCE.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code.strip(chr(10))}\n{fence}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a table whose first row is the header; empty rows are left out."""
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    if not filled:
        return ""
    columns = max(map(len, filled))
    lines = [_row([*row, *[""] * (columns - len(row))]) for row in filled]
    return "\n".join([lines[0], "|" + " --- |" * columns, *lines[1:]])


def _row(cells: Sequence[str]) -> str:
    texts = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |"


def indented(block: str, first: str, rest: str) -> str:
    """Return a block with `first` before its first line and `rest` before the others."""
    lines = block.split("\n")
    return "\n".join([first + lines[0], *(rest + line if line else "" for line in lines[1:])])
