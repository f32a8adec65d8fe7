"""The pieces that a text may be cut into: its blocks, and the parts of blocks that are too large.

Each piece has a cost of cutting before it. A heading costs least, then the end of a paragraph, an
item of a list, a sentence, a row of a table or line of code. A sentence, row or line is divided
between words, and a word within, only if it is too large for a part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from steep.core.words import word_spans
from steep.documents.blocks import BlockKind, TextBlock, table_head
from steep.documents.sentences import ends_sentence

# Costs of a cut; a part of half the length that it may have loses 250 (see `split_tokens.py`).
HEADING, PARAGRAPH, ITEM, SENTENCE, LINE, WORD = 0, 1500, 2500, 2500, 3000, 6000
LOWER_HEADING = 100  # more for each level below the highest
UNDER_HEADING = 20_000  # between a heading and what it heads
SMALL_SHARE = 64  # neighbors that together are at most this share of a part are one piece
WORDS_SHARE = 8  # pieces of a sentence that is too large: at most this share of a part

_ITEM_START = re.compile(r"^(?:[-*+\u2022]|\d{1,9}[.)])\s", re.MULTILINE)
_ANY_ITEM_START = re.compile(r"^[ \t]*(?:[-*+\u2022]|\d{1,9}[.)])\s", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n(?=[^\n])")
_LINE_END = re.compile(r"\n(?=[^\n])")
_FENCED = re.compile(r"^\s*(?:`{3,}|~{3,})")

Count = Callable[[str], int]
Cuts = Callable[[str], list[int]]  # where a text may be cut


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text, from `start` to the start of the next one.

    Attributes:
        start: Where it begins.
        cost: Of cutting before it.
        tokens: Its length.
        floor: Where a text that overlaps it may begin: after the last heading or table head.
        repeated: The head of its table, or the first line of its code, which a part that begins
            here repeats.
    """

    start: int
    cost: int
    tokens: int
    floor: int
    repeated: str = ""


def pieces_of(text: str, blocks: Sequence[TextBlock], room: int, count: Count) -> list[Piece]:
    """Return the pieces of a text, each of at most `room` tokens with what it repeats.

    White space that is cut off belongs to the piece before it, which may be longer by that. Very
    small neighbors are one piece, so that there are not many of them for each part.
    """
    pieces: list[Piece] = []
    found = list(_of_blocks(text, blocks, room, count))
    ends = [*(piece.start for piece in found[1:]), len(text)]
    small = room // SMALL_SHARE
    for piece, end in zip(found, ends, strict=True):
        tokens = pieces[-1].tokens + piece.tokens if pieces else 0
        is_small = piece.cost >= PARAGRAPH and tokens <= small
        if pieces and (is_small or not text[piece.start : end].strip()):
            pieces[-1] = replace(pieces[-1], tokens=tokens)
        else:
            pieces.append(piece)
    return pieces


def _of_blocks(text: str, blocks: Sequence[TextBlock], room: int, count: Count) -> Iterator[Piece]:
    levels = sorted({block.level for block in blocks if block.kind == "heading"})
    floor, under_heading = 0, False
    for block in blocks:
        is_heading = block.kind == "heading"
        cost = HEADING + LOWER_HEADING * levels.index(block.level) if is_heading else PARAGRAPH
        if under_heading:
            cost = UNDER_HEADING
        if is_heading:
            floor = block.start
        yield from _of_block(text, block, cost, floor, room, count)
        under_heading = is_heading
        if is_heading:
            floor = block.end


def sentence_starts(text: str) -> list[int]:
    """Return where the sentences of a text begin, but the first."""
    return [
        after
        for (start, end), (after, _) in pairwise(word_spans(text))
        if ends_sentence(text[start:end], text[end:after])
    ]


def word_starts(text: str) -> list[int]:
    """Return where the words of a text begin, but the first."""
    return [start for start, _ in word_spans(text)][1:]


def line_starts(text: str) -> list[int]:
    """Return where the lines of a text begin, but the first and blank ones."""
    return [match.end() for match in _LINE_END.finditer(text)]


def _of_block(
    text: str, block: TextBlock, cost: int, floor: int, room: int, count: Count
) -> Iterator[Piece]:
    content = text[block.start : block.end]
    tokens = count(content)
    if tokens <= room:
        yield Piece(block.start, cost, tokens, floor)
        return
    repeated, levels = _head(content, block.kind), _LEVELS[block.kind]
    if repeated and count(repeated) * 2 > room:
        repeated, levels = "", _LEVELS["paragraph"]
    room -= count(repeated) if repeated else 0
    if repeated:
        floor = block.start + len(repeated)
    for place, cut, size in _divided(content, cost, levels, room, count):
        again = repeated if cut == LINE and place else ""
        yield Piece(block.start + place, cut, size, floor, again)


def _divided(
    text: str, cost: int, levels: Sequence[tuple[int, Cuts]], room: int, count: Count
) -> Iterator[tuple[int, int, int]]:
    """Yield the place, the cost and the tokens of each piece, divided no further than needed."""
    tokens = count(text)
    if tokens <= room:
        yield 0, cost, tokens
        return
    if not levels:
        yield from _halved(text, cost, max(1, room // WORDS_SHARE), count)
        return
    (own, cuts), *finer = levels
    ends = [0, *cuts(text), len(text)]
    for start, end in pairwise(ends):
        first = cost if start == 0 else own
        for place, cut, size in _divided(text[start:end], first, finer, room, count):
            yield start + place, cut, size


def _halved(text: str, cost: int, room: int, count: Count) -> Iterator[tuple[int, int, int]]:
    """Yield the pieces of a text that is halved, between words if it can be."""
    tokens = count(text)
    if tokens <= room or len(text) == 1:
        yield 0, cost, tokens
        return
    middle, low = len(text) // 2, len(text) // 4
    cut = max(text.rfind(space, low, middle) for space in (" ", "\n")) + 1 or middle
    yield from _halved(text[:cut], cost, room, count)
    for place, own, size in _halved(text[cut:], WORD, room, count):
        yield cut + place, own, size


def _head(content: str, kind: BlockKind) -> str:
    """Return the head of a table or the first line of fenced code; parts within it repeat them."""
    if kind == "table":
        return content[: table_head(content)]
    if kind == "code" and _FENCED.match(content):
        return content[: content.find("\n") + 1]
    return ""


def _item_starts(text: str) -> list[int]:
    return [match.start() for match in _ITEM_START.finditer(text) if match.start()]


def _any_item_starts(text: str) -> list[int]:
    return [match.start() for match in _ANY_ITEM_START.finditer(text) if match.start()]


def _blank_lines(text: str) -> list[int]:
    return [match.end() for match in _BLANK_LINE.finditer(text)][: -1 if _is_fenced(text) else None]


def _row_starts(text: str) -> list[int]:
    """Return where the rows of a table begin, but the first, which stays with the head."""
    head = table_head(text)
    return [start for start in line_starts(text) if start > head]


def _code_line_starts(text: str) -> list[int]:
    """Return where lines of code begin; the last line of fenced code is never alone."""
    starts = line_starts(text)
    return starts[1:-1] if _is_fenced(text) else starts


def _is_fenced(text: str) -> bool:
    return _FENCED.match(text) is not None


_PROSE: tuple[tuple[int, Cuts], ...] = ((SENTENCE, sentence_starts), (LINE, line_starts))
_LEVELS: dict[BlockKind, tuple[tuple[int, Cuts], ...]] = {
    "heading": _PROSE,
    "paragraph": _PROSE,
    "quote": _PROSE,
    "list": ((ITEM, _item_starts), (ITEM, _any_item_starts), *_PROSE),
    "table": ((LINE, _row_starts),),
    "code": ((LINE, _blank_lines), (LINE, _code_line_starts)),
}
