"""A text as blocks: headings, paragraphs, lists, tables, code and quotes.

Blocks follow one another without a gap: each ends where the next one begins, and the blank lines
after a block belong to it. A text without Markdown consists of paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from steep.documents.headings import (
    HeadingLine,
    atx_heading,
    plain_headings,
    underlined_heading,
)

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "quote"]

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_INDENTED = re.compile(r"^(?: {4}|\t)\s*\S")
_QUOTE = re.compile(r"^ {0,3}>")
_ITEM = re.compile(r"^\s{0,3}(?:[-*+\u2022]|\d{1,9}[.)])\s+\S")
_BULLET = re.compile(r"^ {0,3}[-*+\u2022]\s+\S")
_RULE = re.compile(r"^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_DELIMITER = re.compile(r":?-+:?")
LONGEST_COMMENT = 500  # lines


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of a text: `text[start:end]`.

    `level` and `title` are those of a heading, its level from 1 for the highest; 0 and "" else.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    title: str = ""


def blocks_of(text: str) -> list[TextBlock]:
    """Return the blocks of a text in order; they cover it exactly. An empty text has none.

    Headings of plain text are recognized where there is none of Markdown.
    """
    blocks = list(markdown_blocks(text))
    if any(block.kind == "heading" for block in blocks):
        return blocks
    lines = ((place, text[block.start : block.end].strip()) for place, block in enumerate(blocks))
    alone = ((place, line) for place, line in lines if line and "\n" not in line)
    headings = plain_headings(alone)
    return [
        replace(block, kind="heading", **headings[place]._asdict()) if place in headings else block
        for place, block in enumerate(blocks)
    ]


def markdown_blocks(text: str) -> Iterator[TextBlock]:
    """Yield the blocks of a text with only the headings of Markdown."""
    if not text:
        return
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    start, number = 0, _after_blank(lines, 0)
    while number < len(lines):
        kind, heading, end = _block_at(lines, number)
        number = _after_blank(lines, end)
        level, title = heading or (0, "")
        yield TextBlock(kind, start, min(starts[number], len(text)), level, title)
        start = starts[number]
    if start == 0:  # blank lines only
        yield TextBlock("paragraph", 0, len(text))


def table_head(text: str) -> int:
    """Return where the rows of a table begin, after its header row and the delimiters."""
    first = text.find("\n") + 1
    return text.find("\n", first) + 1 or len(text)


def _after_blank(lines: Sequence[str], number: int) -> int:
    while number < len(lines) and not lines[number].strip():
        number += 1
    return number


def _block_at(lines: Sequence[str], number: int) -> tuple[BlockKind, HeadingLine | None, int]:
    """Return the kind of the block that begins at a line, its heading, and the line after it."""
    line = lines[number]
    if heading := atx_heading(line):
        return "heading", heading, number + 1
    if _FENCE.match(line):
        return "code", None, _after_fence(lines, number)
    if _INDENTED.match(line):
        return "code", None, _after_indented(lines, number)
    if _QUOTE.match(line):
        return "quote", None, _first(number, len(lines), lambda at: not lines[at].strip())
    if _is_table(lines, number):
        return "table", None, _first(number + 2, len(lines), lambda at: "|" not in lines[at])
    if _ITEM.match(line) and not _RULE.match(line):
        return "list", None, _after_list(lines, number)
    if line.startswith("<!--") and (end := _after_comment(lines, number)):
        return "paragraph", None, end
    below = lines[number + 1] if number + 1 < len(lines) else ""
    if heading := underlined_heading(line, below):
        return "heading", heading, number + 2
    return "paragraph", None, _first(number + 1, len(lines), lambda at: _ends_paragraph(lines, at))


def _first(number: int, most: int, ends: Callable[[int], bool]) -> int:
    """Return the first line from `number` on at which `ends` is true, or `most`."""
    return next((at for at in range(number, most) if ends(at)), most)


def _ends_paragraph(lines: Sequence[str], number: int) -> bool:
    line = lines[number]
    return (
        not line.strip()
        or atx_heading(line) is not None
        or any(pattern.match(line) is not None for pattern in (_FENCE, _QUOTE, _BULLET))
        or _is_table(lines, number)
    )


def _is_table(lines: Sequence[str], number: int) -> bool:
    if "|" not in lines[number] or number + 1 == len(lines):
        return False
    below = lines[number + 1].strip()
    cells = below.removeprefix("|").removesuffix("|").split("|")
    return "|" in below and all(_DELIMITER.fullmatch(cell.strip()) for cell in cells)


def _after_fence(lines: Sequence[str], number: int) -> int:
    """Return the line after fenced code; a fence without an end extends to the end of the text."""
    opening = _FENCE.match(lines[number])
    assert opening is not None
    closing = re.compile(rf"^\s*{re.escape(opening[1][0])}{{{len(opening[1])},}}\s*$")
    end = _first(number + 1, len(lines), lambda at: closing.match(lines[at]) is not None)
    return min(end + 1, len(lines))


def _after_indented(lines: Sequence[str], number: int) -> int:
    end = number
    while number < len(lines) and (not lines[number].strip() or _INDENTED.match(lines[number])):
        number += 1
        end = number if lines[number - 1].strip() else end
    return end


def _after_list(lines: Sequence[str], number: int) -> int:
    """Return the line after a list: its items, what is indented below them, and lazy lines."""
    end = number
    while number < len(lines):
        line = lines[number]
        after_blank = number > end
        if not line.strip():
            number += 1
            continue
        if atx_heading(line) or (after_blank and not (_ITEM.match(line) or line[0].isspace())):
            break
        if _FENCE.match(line):
            if not line[0].isspace():
                break
            number = _after_fence(lines, number)
        else:
            number += 1
        end = number
    return end


def _after_comment(lines: Sequence[str], number: int) -> int | None:
    """Return the line after a comment; None if it has no end, so that it is text."""
    most = min(len(lines), number + LONGEST_COMMENT)
    end = _first(number, most, lambda at: "-->" in lines[at])
    return end + 1 if end < most else None
