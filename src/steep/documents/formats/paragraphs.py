"""Lines of a PDF become Markdown blocks: headings, paragraphs, lists, code and tables.

Headings are found by the outline of the file, by size and by bold type; words hyphenated at a line
end are joined; running heads, running feet and page numbers are found by repetition.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median, median_high
from typing import TypeAlias

from steep.documents.formats.layout import Fragment, Row, joined, rows_of
from steep.documents.formats.markdown import fenced, heading, paragraph, table
from steep.documents.formats.pdfium import HYPHEN
from steep.documents.formats.tables import LABEL, LEADERS, PdfTable

EDGE_ROWS = 2  # at the top and bottom of a page, among which running lines are
EDGE_SHARE = 0.2  # of the height of a page, in which running lines stand
MARGIN_SHARE = 0.07  # of the height of a page, in which no text stands
LONE_GAP = 2.2  # distance of a running line from the only other line, in sizes
LEAST_PAGES = 3  # that repeat a running line, wherever they are
NEAR_PAGES = 2  # distance of two pages that repeat one, facing pages left out
LARGER = 1.15  # size of a heading, in sizes of the text
LONGEST_HEADING = 200  # characters
PARAGRAPH_GAP = 1.3  # distance of two paragraphs, in distances of lines

Key: TypeAlias = tuple[str, bool, int]

_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
_BULLET = re.compile(
    r"[-*\u2022\u2023\u2043\u25aa\u25ab\u25cf\u25cb\u25e6\u2013\uf0b7\u00b7\u25a0\u2756]\s+(?=\S)"
)
_NUMBERED = re.compile(r"(\d{1,3})[.)]\s+(?=\S)")
_SECTION = re.compile(r"(?:\d+(?:\.\d+)*\.?|[A-Z]\.(?:\d+\.?)*|[IVX]+\.|Appendix \w+)\s+\S")
_ROMAN_SECTION = re.compile(r"[IVX]+\.\s+[A-Z][A-Z\s,:&-]+$")
_SENTENCE_END = re.compile(r"[.!?:;\u3002\uff01\uff1f][\"'\u201d\u2019)\]]*$")
_LINE_HYPHEN = re.compile(rf"([^\W\d_]+)[-\u2010{HYPHEN}]$")
_FIRST_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Page:
    """The regions of a page in reading order, without running lines."""

    number: int
    regions: tuple[tuple[Row | PdfTable, ...], ...]


@dataclass(slots=True)
class Block:
    """A block of text: its kind ("text", "heading", "item", "code", "table") and lines."""

    kind: str
    lines: list[str] = field(default_factory=list)
    size: float = 0.0
    bold: bool = False
    level: int = 0
    left: float = 0.0
    page: int = 0


@dataclass(frozen=True, slots=True)
class Typography:
    """What is usual in a document: size of the text, and distance of lines in sizes."""

    size: float
    leading: float


@dataclass(frozen=True, slots=True)
class EdgeLine:
    """A line at the edge of a page; the outermost one has depth 0."""

    row: Row
    number: int
    at_top: bool
    depth: int
    apart: bool

    @property
    def outermost(self) -> bool:
        """Return whether it is the outermost line and apart from the text."""
        return self.depth == 0 and self.apart

    @property
    def margin(self) -> tuple[bool, int]:
        """Return whether it stands at the top, and its height in steps of 10 points."""
        return self.at_top, round(self.row.top / 10)

    @property
    def key(self) -> Key:
        """Return what its copies on other pages have in common."""
        return _NUMBER.sub("#", self.row.text.casefold()), *self.margin

    @property
    def numbers(self) -> list[str]:
        """Return its numbers."""
        return _NUMBER.findall(self.row.text.casefold())


def running_lines(
    pages: Sequence[Sequence[Fragment]], heights: Sequence[float]
) -> list[set[Fragment]]:
    """Return, for each page, the fragments of its running head and foot.

    Such lines stand at the edge of the page, apart from the text, and other pages repeat them at
    the same height, with the same numbers but for the page number. A large line may be a heading:
    at the top only copies of one text are left out, and the first copy is kept.

    Args:
        pages: Fragments of each page.
        heights: Height of each page in points.
    """
    large = LARGER * _usual_size(each for page in pages for each in page)
    edges = [
        [*_edge_lines(page, number, height)]
        for number, (page, height) in enumerate(zip(pages, heights, strict=True))
    ]
    repeated = _repeated([line for lines in edges for line in lines], large, len(pages))
    margins = _margins(edges, repeated)
    found = [
        {
            cell
            for line in lines
            if line.number != repeated.get(line.key)
            and (
                line.key in repeated
                or (line.margin in margins and line.outermost and line.row.main.size < large)
            )
            for cell in line.row.cells
        }
        for lines in edges
    ]
    # A page on which nothing else stands is a copy of another, and not all margin.
    return [
        set() if running >= set(page) else running
        for running, page in zip(found, pages, strict=True)
    ]


def _usual_size(found: Iterable[Fragment]) -> float:
    """Return the size of the text, by the width that each size takes, as Chinese is dense."""
    sizes: defaultdict[float, float] = defaultdict(float)
    for each in found:
        if not each.mono:
            sizes[each.size] += each.right - each.left
    return max(sizes, key=lambda each: sizes[each], default=0.0) or 10.0


def _edge_lines(page: Sequence[Fragment], number: int, height: float) -> Iterator[EdgeLine]:
    """Yield the outermost lines near the top and bottom of a page."""
    rows = rows_of(page)
    for at_top, inward in ((True, rows), (False, rows[::-1])):
        edges = [row.bottom if at_top else height - row.top for row in inward[:EDGE_ROWS]]
        near = [edge <= EDGE_SHARE * height for edge in edges]
        ends = [
            at
            for at, edge in enumerate(edges)
            if near[at] and (edge <= MARGIN_SHARE * height or _apart(inward[at:]))
        ]
        for at, row in enumerate(inward[: sum(near)]):
            yield EdgeLine(row, number, at_top, at, apart=at <= max(ends, default=-1))


def _apart(rows: Sequence[Row]) -> bool:
    """Return whether the first line is farther from the next than the next lines are apart."""
    distances = [abs(after.bottom - before.bottom) for before, after in pairwise(rows[:6])]
    if len(distances) > 1:
        return distances[0] > PARAGRAPH_GAP * median_high(distances[1:])
    return not distances or distances[0] > LONE_GAP * rows[0].main.size


def _repeated(lines: Sequence[EdgeLine], large: float, pages: int) -> dict[Key, int | None]:
    """Return the lines that several pages repeat, or two close to each other.

    The value is the page that keeps the line: that of the first copy of a large head.

    Args:
        lines: Lines at the edges of all pages.
        large: Size of a heading.
        pages: Number of pages.
    """
    groups: dict[Key, list[EdgeLine]] = defaultdict(list)
    for line in lines:
        groups[line.key].append(line)
    found: dict[Key, int | None] = {}
    for key, group in groups.items():
        title = any(line.row.main.size >= large for line in group)
        head = title and group[0].at_top
        pairs = [
            after.number - before.number
            for before, after in pairwise(group)
            if _same_line(before, after, counting=not head)
        ]
        enough = len(pairs) >= LEAST_PAGES - 1 or any(each <= NEAR_PAGES for each in pairs)
        apart = 2 * sum(line.apart for line in group) >= len(group)
        if enough and apart and (not title or 2 * len(group) > pages):
            found[key] = group[0].number if head else None
    return found


def _same_line(before: EdgeLine, after: EdgeLine, counting: bool) -> bool:
    """Return whether two lines have equal numbers, but for one that may be counting the pages."""
    steps = [
        _value(second) - _value(first)
        for first, second in zip(before.numbers, after.numbers, strict=True)
    ]
    changed = [step for step in steps if step]
    return not changed or (counting and changed == [after.number - before.number])


def _value(number: str) -> int:
    """Return the value of an Arabic or Roman number."""
    if number.isdecimal():
        return int(number)
    values = [_ROMAN[letter] for letter in number]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))


def _margins(
    edges: Sequence[Sequence[EdgeLine]], repeated: Mapping[Key, int | None]
) -> set[tuple[bool, int]]:
    """Return where most outermost lines are repeated: a head that changes is one there, too."""
    counts: Counter[tuple[tuple[bool, int], bool]] = Counter(
        (line.margin, line.key in repeated) for lines in edges for line in lines if line.depth == 0
    )
    return {at for at, _ in counts if counts[at, True] > counts[at, False] > 0}


def typography(pages: Sequence[Page]) -> Typography:
    """Return the size that most characters have, and the usual distance of lines in it."""
    distances: list[float] = []
    for page in pages:
        for region in page.regions:
            rows = [row for row in region if isinstance(row, Row)]
            for before, row in pairwise(rows):
                if before.main.size == row.main.size > 0:
                    distances.append((row.bottom - before.bottom) / row.main.size)
    lines = (row for page in pages for region in page.regions for row in region)
    size = _usual_size(row.main for row in lines if isinstance(row, Row))
    near = [each for each in distances if 0.5 < each < 2.5]
    return Typography(size, median(near) if near else 1.2)


def blocks_of(pages: Sequence[Page], usual: Typography, outline: Mapping[str, int]) -> list[Block]:
    """Return the blocks of all pages; a paragraph may go on in the next column or page."""
    blocks: list[Block] = []
    for page in pages:
        for region in page.regions:
            found = _region_blocks(region, usual, outline, page.number)
            if blocks and found and _goes_on(blocks[-1], found[0]):
                blocks[-1].lines += found.pop(0).lines
            blocks += found
    return blocks


def _goes_on(before: Block, block: Block) -> bool:
    if block.kind == "code" == before.kind:
        return True
    if block.kind != "text" or before.kind not in ("text", "item"):
        return False
    last, first = before.lines[-1], block.lines[0]
    return bool(_LINE_HYPHEN.search(last)) or (
        not _SENTENCE_END.search(last) and first[:1].islower() and before.size == block.size
    )


def _region_blocks(
    region: Sequence[Row | PdfTable], usual: Typography, outline: Mapping[str, int], page: int
) -> list[Block]:
    blocks: list[Block] = []
    rows = [row for row in region if isinstance(row, Row)]
    edges = (min(row.left for row in rows), max(row.right for row in rows)) if rows else (0.0, 0.0)
    before: Row | None = None
    for row in region:
        if isinstance(row, PdfTable):
            blocks.append(Block("table", [table([*map(_clean_cells, row.cells)])], page=page))
            before = None
            continue
        kind, level = _kind(row, before, edges, usual, outline)
        size = row.main.size
        if not (blocks and before and _same_block(blocks[-1], kind, row, before, edges, usual)):
            blocks.append(Block(kind, [], size, row.main.bold, level, row.left, page))
        blocks[-1].lines.append(_code_line(row, edges[0]) if kind == "code" else _line(row))
        before = row
    return blocks


def _clean_cells(cells: Iterable[str]) -> list[str]:
    return [cell.replace(HYPHEN, "-") for cell in cells]


def _line(row: Row) -> str:
    return LEADERS.sub("", row.text)  # of a table of contents: without dots and page number


def _code_line(row: Row, edge: float) -> str:
    """Return a line of fixed pitch with its indentation."""
    main = row.main
    width = max((main.right - main.left) / max(len(main.text), 1), 0.1)
    line = ""
    for cell in row.cells:
        column = round((cell.left - edge) / width)
        line += " " * min(max(column - len(line), 1 if line else 0), 80) + cell.text
    return line.replace(HYPHEN, "-")


def _kind(
    row: Row,
    before: Row | None,
    edges: tuple[float, float],
    usual: Typography,
    outline: Mapping[str, int],
) -> tuple[str, int]:
    """Return the kind of a line, and the level that the outline gives to it (0 without)."""
    text = row.text
    if LEADERS.search(text):
        return "text", 0
    if any(character.isalpha() for character in text) and len(text) <= LONGEST_HEADING:
        if level := outline.get(outline_key(text), 0):
            return "heading", level
        if _looks_like_heading(row, before, edges, usual):
            return "heading", 0
    if row.main.mono and not _within_sentence(row, before, edges, usual):
        return "code", 0
    if _BULLET.match(text) or _NUMBERED.match(text):
        return "item", 0
    return "text", 0


def _within_sentence(
    row: Row, before: Row | None, edges: tuple[float, float], usual: Typography
) -> bool:
    """Return whether a line of fixed pitch goes on with a sentence of the line before."""
    if before is None or before.main.mono or _SENTENCE_END.search(before.text):
        return False
    near = row.bottom - before.bottom <= PARAGRAPH_GAP * usual.leading * usual.size
    full = before.right > edges[1] - 0.1 * (edges[1] - edges[0])
    return near and full and row.left < edges[0] + 0.5 * usual.size


def outline_key(title: str) -> str:
    """Return a title as the outline and the page have it in common: letters and digits only."""
    return "".join(re.findall(r"\w+", title.casefold()))


def _looks_like_heading(
    row: Row, before: Row | None, edges: tuple[float, float], usual: Typography
) -> bool:
    main, text = row.main, row.text
    if main.size >= LARGER * usual.size:
        return not (main.mono and len(row.cells) == 1 and len(text) < 3)
    if _ROMAN_SECTION.match(text):
        return True
    if not main.bold or main.mono or main.size < 0.95 * usual.size or len(row.cells) > 2:
        return False
    apart = before is None or row.bottom - before.bottom > 1.25 * usual.leading * usual.size
    after_heading = before is not None and before.main.size >= LARGER * usual.size
    short = row.right < edges[1] - 0.1 * (edges[1] - edges[0]) or edges[1] - edges[0] < 200
    ends = text.endswith((".", ",", ";", ":")) and not _SECTION.match(text)
    return not ends and (apart or after_heading) and (short or bool(_SECTION.match(text)))


def _same_block(
    block: Block,
    kind: str,
    row: Row,
    before: Row,
    edges: tuple[float, float],
    usual: Typography,
) -> bool:
    """Return whether a line goes on with the block of the line before."""
    size = row.main.size
    distance = row.bottom - before.bottom
    near = distance <= PARAGRAPH_GAP * usual.leading * max(size, before.main.size)
    if kind == "heading" or block.kind == "heading":
        alike = size == before.main.size and row.main.bold == before.main.bold
        return block.kind == kind and near and alike and not _SECTION.match(row.text)
    if kind == "code" or block.kind == "code":
        return block.kind == kind and distance <= 2.5 * usual.leading * size
    if kind == "item" or not near or abs(size - before.main.size) > 0.1 * usual.size:
        return False
    if LABEL.match(row.text.split()[0]) and len(row.cells) > 1:
        return False
    if LEADERS.search(row.text) or LEADERS.search(before.text):
        return False
    if block.kind == "item":
        full = before.right > edges[1] - 0.05 * (edges[1] - edges[0])
        return row.left > block.left + 0.3 * size or (
            full and not _SENTENCE_END.search(before.text)
        )
    hangs = before.left < row.left and len(block.lines) == 1 and LABEL.match(before.text.split()[0])
    indented = (
        row.left > before.left + 0.8 * size and row.left > edges[0] + 0.8 * size and not hangs
    )
    ended = before.right < edges[1] - 0.2 * (edges[1] - edges[0]) and _SENTENCE_END.search(
        before.text
    )
    return not indented and not ended


def levels_of(blocks: Sequence[Block], usual: Typography) -> dict[tuple[float, bool], int]:
    """Return the level of each style of heading: as the outline has it, else by size."""
    known: dict[tuple[float, bool], Counter[int]] = defaultdict(Counter)
    styles: Counter[tuple[float, bool]] = Counter()
    for block in blocks:
        if block.kind == "heading":
            style = _style(block, usual)
            styles[style] += 1
            if block.level:
                known[style][block.level] += 1
    levels: dict[tuple[float, bool], int] = {}
    last = 0
    for style in sorted(styles, key=lambda each: (-each[0], not each[1])):
        last = known[style].most_common(1)[0][0] if style in known else min(last + 1, 6)
        levels[style] = last
    return levels


def _style(block: Block, usual: Typography) -> tuple[float, bool]:
    larger = block.size >= LARGER * usual.size
    return (round(block.size), False) if larger else (round(usual.size), block.bold)


def markdown_of(blocks: Sequence[Block], usual: Typography) -> str:
    """Return the blocks as Markdown, with words joined that a line end had hyphenated."""
    levels = levels_of(blocks, usual)
    known = {word.casefold() for block in blocks for line in block.lines for word in _inner(line)}
    parts: list[str] = []
    lefts: list[float] = []
    for block in blocks:
        item = block.kind == "item"
        text = _rendered(block, levels.get(_style(block, usual), 1), known)
        if not item:
            lefts = []
            parts.append(text)
            continue
        while lefts and block.left < lefts[-1] - 3:
            lefts.pop()
        if not lefts or block.left > lefts[-1] + 3:
            lefts.append(block.left)
        text = "  " * (len(lefts) - 1) + text
        after_item = parts and parts[-1].lstrip().startswith(("- ", *(f"{n}" for n in range(10))))
        if after_item and len(lefts) and blocks[blocks.index(block) - 1].kind == "item":
            parts[-1] += f"\n{text}"
        else:
            parts.append(text)
    return "\n\n".join(filter(None, parts))


def _inner(line: str) -> Iterator[str]:
    """Yield the words of a line that no line end can have cut, with their hyphens."""
    yield from re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", line)[:-1]


def _rendered(block: Block, level: int, known: set[str]) -> str:
    if block.kind == "table":
        return block.lines[0]
    if block.kind == "code":
        shortest = min((len(line) - len(line.lstrip()) for line in block.lines), default=0)
        return fenced("\n".join(line[shortest:] for line in block.lines))
    text = joined_lines(block.lines, known)
    if block.kind == "heading":
        return heading(block.level or level, text)
    if block.kind == "item":
        return (
            _BULLET.sub("- ", text, count=1)
            if _BULLET.match(text)
            else _NUMBERED.sub(r"\1. ", text, count=1)
        )
    return paragraph(text)


def joined_lines(lines: Sequence[str], known: set[str]) -> str:
    """Join the lines of a paragraph; a hyphen at a line end goes unless the word has it elsewhere.

    Args:
        lines: Lines in order.
        known: Words elsewhere in the document, in lower case.
    """
    text = ""
    for line in lines:
        cut = _LINE_HYPHEN.search(text)
        rest = _FIRST_WORD.match(line)
        if cut and rest and rest[0][0].islower():
            whole = f"{cut[1]}{rest[0]}".casefold()
            compound = f"{cut[1]}-{rest[0]}".casefold()
            keep = compound in known and whole not in known
            text = text[: cut.end(1)] + ("-" if keep else "") + line
        elif cut and text.endswith(HYPHEN):
            text = text[:-1] + "-" + line
        else:
            text = joined((text, line)) if text else line
    return text.replace(HYPHEN, "-").strip()
