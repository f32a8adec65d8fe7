"""Split a document by its structure into parts of a number of tokens.

The parts are those of least cost: few of them, of about equal length, cut where a heading begins,
else between paragraphs, and within a paragraph, a table or code only if it is too large alone. A
table that must be cut repeats its head. Each part carries the titles above it (`title_path`).

An optional overlap puts the last sentences of a part before the next one, unless that begins with
a heading. Overlap and repeated heads are no text of the part itself: see `Document.own_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from steep.core.token_counts import ESTIMATE, TokenCounter
from steep.documents.blocks import blocks_of
from steep.documents.document import BETWEEN_PARTS, TITLE_SEPARATOR, Document
from steep.documents.pieces import (
    Count,
    Piece,
    line_starts,
    pieces_of,
    sentence_starts,
    word_starts,
)
from steep.documents.structure import TextSection, path_of, sections_in

# Costs of a part, beside those of cuts (`pieces.py`): of each one, and of an empty one, in square.
PART_COST, EMPTY_COST = 1000, 1000
CODE_INDENTS = ("    ", "\t")
MOST_CHARACTERS_PER_TOKEN = 12  # of an overlap


@dataclass(frozen=True, slots=True)
class TokenSplit:
    """How long documents are split.

    Attributes:
        tokens: The most tokens of a part, overlap and repeated heads included.
        overlap: The most tokens of a part that repeat the end of the one before it.
        counter: Counts tokens.
    """

    tokens: int
    overlap: int = 0
    counter: TokenCounter = ESTIMATE


def split_by_structure(document: Document, split: TokenSplit) -> tuple[Document, ...]:
    """Split into parts `<id>#01`, ... of at most `split.tokens`; a short one stays whole."""
    text, count = document.text, split.counter.count
    if count(text) <= split.tokens:
        return (document,)
    blocks = blocks_of(text)
    pieces = pieces_of(text, blocks, split.tokens - split.overlap, count)
    sections = sections_in(blocks, document.title)
    cuts = [*_cuts(pieces, split, count), len(pieces)]
    ends = [*(piece.start for piece in pieces), len(text)]
    parts: list[Document] = []
    before = 0  # where the part before ends
    for number, (first, last) in enumerate(pairwise(cuts), start=1):
        start, end = _stripped(text, ends[first], ends[last])
        repeated = _repeated(text, pieces[first], split) if first else ""
        part = replace(document, id=f"{document.id}#{number:02d}", text=repeated + text[start:end])
        gap = text[before:start] if first else BETWEEN_PARTS
        parts.append(_described(part, document.whole_id, sections, (start, end), repeated, gap))
        before = end
    return tuple(parts)


def _described(
    part: Document,
    whole_id: str,
    sections: Sequence[TextSection],
    span: tuple[int, int],
    repeated: str,
    gap: str,
) -> Document:
    """Return the part with its metadata, without default values."""
    metadata = {**part.metadata, "part_of": whole_id}
    if path := TITLE_SEPARATOR.join(path_of(sections, *span)):
        metadata["title_path"] = path
    if repeated:
        metadata["own_start"] = str(len(repeated))
    if gap != BETWEEN_PARTS:
        metadata["gap_before"] = gap
    return replace(part, metadata=metadata)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without white space at its ends, but with the indentation of code."""
    inside = text[start:end]
    begin = len(inside) - len(inside.lstrip("\n" if inside.startswith(CODE_INDENTS) else None))
    return start + begin, start + max(begin, len(inside.rstrip()))


def _cuts(pieces: Sequence[Piece], split: TokenSplit, count: Count) -> list[int]:
    """Return the first piece of each part: those of least cost in total.

    The least cost of the first n pieces follows from that of fewer; integers, so that every
    machine finds the same.
    """
    import numpy as np

    most = split.tokens
    sums = np.concatenate(([0], np.cumsum([piece.tokens for piece in pieces], dtype=np.int64)))
    again = [
        (count(piece.repeated) if piece.repeated else 0)
        + (split.overlap if piece.floor < piece.start else 0)
        for piece in pieces
    ]
    begins = sums[:-1] - np.array(again, np.int64)
    costs = np.array([0, *(piece.cost for piece in pieces[1:])], np.int64) + PART_COST
    best = np.zeros(len(pieces) + 1, np.int64)
    came_from = np.zeros(len(pieces) + 1, np.int64)
    low = 0
    for end in range(1, len(pieces) + 1):
        while sums[end] - sums[low] > most and low < end - 1:
            low += 1
        slack = most - (sums[end] - begins[low:end])
        totals = best[low:end] + costs[low:end] + EMPTY_COST * slack**2 // most**2
        totals[:-1] += np.where(slack[:-1] < 0, 1 << 40, 0)  # too long; a piece alone never is
        place = int(np.argmin(totals))
        best[end], came_from[end] = totals[place], low + place
    cuts: list[int] = []
    end = len(pieces)
    while end:
        end = int(came_from[end])
        cuts.append(end)
    return cuts[::-1]


def _repeated(text: str, piece: Piece, split: TokenSplit) -> str:
    """Return the table head and the overlap before a part that begins with this piece."""
    if not split.overlap or piece.floor >= piece.start:
        return piece.repeated
    floor = max(piece.floor, piece.start - MOST_CHARACTERS_PER_TOKEN * split.overlap)
    tail = text[floor : piece.start]
    sentences = {*sentence_starts(tail), *line_starts(tail), *([0] if floor == piece.floor else [])}
    for starts in (sorted(sentences), word_starts(tail)):
        fits = takewhile(
            lambda start: split.counter.count(tail[start:]) <= split.overlap, reversed(starts)
        )
        if (first := min(fits, default=None)) is not None:
            return piece.repeated + tail[first:]
    return piece.repeated
