"""Words of a page become lines in reading order: fragments, columns, lines.

A fragment is a run of words on one line without a wide gap. Where fragments stand beside one
another over several lines and both sides look like text, there is a gutter between two columns;
whatever crosses it, such as a title, parts the page into bands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from steep.documents.formats.pdfium import PdfRule, PdfWord

WIDE_GAP = 1.3  # in font sizes; a wider one ends a fragment
RULE_GAP = 0.5  # points between a word and a rule
SAME_LINE = 0.5  # overlap of two boxes on one line, in heights of the lower one
LEAST_ROWS = 4  # with text on both sides, to believe in a gutter
LEAST_CHARACTERS = 15  # of a line in a column; cells of tables are shorter
EVEN = 0.75  # width of lines of one column, in the widest; share of characters in such lines
LEAST_FILLED = 0.55  # share of a column's width that a line fills

_UNSPACED = re.compile("[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Words that belong together on one line."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float
    bold: bool
    mono: bool

    @property
    def middle(self) -> float:
        """Return the height of its middle."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Row:
    """Fragments on one line, from left to right."""

    cells: tuple[Fragment, ...]

    @property
    def top(self) -> float:
        """Return its upper edge."""
        return min(cell.top for cell in self.cells)

    @property
    def bottom(self) -> float:
        """Return its lower edge."""
        return max(cell.bottom for cell in self.cells)

    @property
    def left(self) -> float:
        """Return its left edge."""
        return self.cells[0].left

    @property
    def right(self) -> float:
        """Return its right edge."""
        return self.cells[-1].right

    @property
    def text(self) -> str:
        """Return the texts of its cells."""
        return joined(cell.text for cell in self.cells)

    @property
    def main(self) -> Fragment:
        """Return its longest cell, whose font is that of the line."""
        return max(self.cells, key=lambda cell: len(cell.text))


def joined(texts: Iterable[str]) -> str:
    """Join words with blanks, but for Chinese and Japanese, which have none."""
    line = ""
    for text in texts:
        unspaced = line and _UNSPACED.match(line[-1]) and _UNSPACED.match(text)
        line += text if unspaced or not line else f" {text}"
    return line


def fragments(words: Sequence[PdfWord], rules: Sequence[PdfRule] = ()) -> list[Fragment]:
    """Join words that follow one another on one line without a wide gap or a rule between them."""
    groups: list[list[PdfWord]] = []
    for word in words:
        before = groups[-1][-1] if groups else None
        if before and _continues(before, word) and not _ruled(before, word, rules):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [_fragment(group) for group in groups]


def _ruled(before: PdfWord, word: PdfWord, rules: Sequence[PdfRule]) -> bool:
    """Return whether a rule stands between two words of a line, other than code."""
    if before.mono or word.mono:  # often framed
        return False
    middle = (word.top + word.bottom) / 2
    return any(
        before.right + RULE_GAP <= rule.x <= word.left - RULE_GAP
        and rule.top <= middle <= rule.bottom
        for rule in rules
    )


def _continues(before: PdfWord, word: PdfWord) -> bool:
    overlap = min(before.bottom, word.bottom) - max(before.top, word.top)
    lower = min(before.bottom - before.top, word.bottom - word.top)
    gap = word.left - before.right
    size = max(before.size, word.size)
    return overlap >= SAME_LINE * lower and -0.5 * size <= gap <= WIDE_GAP * size


def _fragment(words: list[PdfWord]) -> Fragment:
    main = max(words, key=lambda word: len(word.text))
    letters = sum(len(word.text) for word in words)
    return Fragment(
        text=joined(word.text for word in words),
        left=min(word.left for word in words),
        right=max(word.right for word in words),
        top=min(word.top for word in words if word.size >= main.size),
        bottom=max(word.bottom for word in words if word.size >= main.size),
        size=main.size,
        bold=sum(len(word.text) for word in words if word.bold) > 0.8 * letters,
        mono=sum(len(word.text) for word in words if word.mono) > 0.8 * letters,
    )


def rows_of(found: Iterable[Fragment]) -> list[Row]:
    """Group fragments into lines, from top to bottom."""
    lines: list[list[Fragment]] = []
    for fragment in sorted(found, key=lambda each: (each.middle, each.left)):
        if lines and _on_line(lines[-1], fragment):
            lines[-1].append(fragment)
        else:
            lines.append([fragment])
    return [Row(tuple(sorted(line, key=lambda each: each.left))) for line in lines]


def _on_line(line: list[Fragment], fragment: Fragment) -> bool:
    first = max(line, key=lambda each: each.size)
    overlap = min(first.bottom, fragment.bottom) - max(first.top, fragment.top)
    return overlap >= SAME_LINE * min(first.bottom - first.top, fragment.bottom - fragment.top)


def columns(found: Sequence[Fragment]) -> list[list[Row]]:
    """Return the lines of a page by regions, in the order in which they are read."""
    rows = rows_of(found)
    gutter = _gutter(rows)
    if gutter is None:
        return [rows] if rows else []
    regions: list[list[Row]] = []
    band: list[Fragment] = []
    for row in rows:
        if any(cell.left < gutter < cell.right for cell in row.cells):
            regions += _sides(band, gutter)
            band = []
            if regions and regions[-1] and _crosses(regions[-1], gutter):
                regions[-1].append(row)
            else:
                regions.append([row])
        else:
            band += row.cells
    return regions + _sides(band, gutter)


def _crosses(rows: list[Row], gutter: float) -> bool:
    return any(cell.left < gutter < cell.right for row in rows for cell in row.cells)


def _sides(band: list[Fragment], gutter: float) -> list[list[Row]]:
    """Return the regions left and right of a gutter; each may have columns of its own."""
    left = [each for each in band if each.right <= gutter]
    right = [each for each in band if each.left >= gutter]
    if not left or not right:
        return columns(band) if len(band) > 2 * LEAST_ROWS else [rows_of(band)] if band else []
    return columns(left) + columns(right)


def _gutter(rows: Sequence[Row]) -> float | None:
    """Return where the page is best parted into columns of text, if it has any."""
    candidates: dict[int, list[float]] = {}
    for row in rows:
        for before, after in pairwise(row.cells):
            candidates.setdefault(round((before.right + after.left) / 2 / 8), []).append(
                (max(before.right, after.left - 40) + after.left) / 2
            )
    ranked = sorted(candidates.values(), key=len, reverse=True)[:6]
    for places in ranked:
        gutter = median(places)
        if _parts_text(rows, gutter):
            return gutter
    return None


def _parts_text(rows: Sequence[Row], gutter: float) -> bool:
    """Return whether both sides of a gutter look like columns of text."""
    both = [
        row
        for row in rows
        if row.cells[0].right <= gutter <= row.cells[-1].left
        and not any(cell.left < gutter < cell.right for cell in row.cells)
    ]
    if len(both) < LEAST_ROWS:
        return False
    return all(
        _is_text([cell for row in both for cell in row.cells if (cell.right <= gutter) == left])
        for left in (True, False)
    )


def _is_text(cells: Sequence[Fragment]) -> bool:
    """Return whether most characters stand in long lines that fill their column.

    Where a side has several columns itself, its lines must be about as wide as one another, which
    cells of a table are not.
    """
    side = max(cell.right for cell in cells) - min(cell.left for cell in cells)
    widest = max(cell.right - cell.left for cell in cells)
    if widest >= LEAST_FILLED * side:
        return _share_of_lines(cells, LEAST_FILLED * side) >= 0.5
    return _share_of_lines(cells, EVEN * widest) >= EVEN


def _share_of_lines(cells: Sequence[Fragment], width: float) -> float:
    """Return the share of characters in long lines of at least a width; 0 if these are few."""
    lines = [
        len(cell.text)
        for cell in cells
        if cell.right - cell.left >= width
        and len(cell.text) >= (LEAST_CHARACTERS if not _UNSPACED.search(cell.text) else 6)
    ]
    return sum(lines) / sum(len(cell.text) for cell in cells) if len(lines) >= LEAST_ROWS else 0.0
