"""Cut a text at its paragraphs, where these are too long at lines, then words, then characters.

What the paper's open-book study used (appendix F): LangChain's RecursiveCharacterTextSplitter with
its default separators, without overlap, lengths in characters. The cuts here are the same, compared
on hundreds of texts by `benchmarks/retrieval/splitter.py`; but they come as places in the text, so
that every chunk can be found again in its document.

As there: a separator stays at the head of what follows it, neighbors are joined as long as they
fit, and a chunk has no white space at its ends (at chunk size 1, where that package keeps blanks as
chunks, these are left out).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from steep.core.errors import UserError

SEPARATORS = ("\n\n", "\n", " ")  # where none of them is left, a text is cut at any character


class TextSpan(NamedTuple):
    """A piece of a text: `text[start:end]`."""

    start: int
    end: int


def split_text(text: str, chunk_size: int) -> list[TextSpan]:
    """Cut into chunks of at most `chunk_size` characters; a blank text has none.

    Raises:
        UserError: `chunk_size` is less than 1.
    """
    if chunk_size < 1:
        raise UserError(
            "Chunks of no characters hold no text.",
            expected="a chunk size of at least 1 character (paper: 256, 512 or 1024)",
            found=chunk_size,
        )
    return list(_split(text, TextSpan(0, len(text)), chunk_size, SEPARATORS))


def _split(
    text: str, whole: TextSpan, chunk_size: int, separators: Sequence[str]
) -> Iterator[TextSpan]:
    left = [each for each in separators if text.find(each, *whole) >= 0]
    if not left:
        yield from _cut_anywhere(text, whole, chunk_size)
        return
    waiting: list[TextSpan] = []  # neighbors that may share a chunk
    for piece in _pieces(text, whole, left[0]):
        if piece.end - piece.start < chunk_size:
            waiting.append(piece)
            continue
        yield from _joined(text, waiting, chunk_size)
        waiting = []
        yield from _split(text, piece, chunk_size, left[1:])
    yield from _joined(text, waiting, chunk_size)


def _cut_anywhere(text: str, whole: TextSpan, chunk_size: int) -> Iterator[TextSpan]:
    for start in range(whole.start, whole.end, chunk_size):
        yield from _stripped(text, TextSpan(start, min(start + chunk_size, whole.end)))


def _pieces(text: str, whole: TextSpan, separator: str) -> Iterator[TextSpan]:
    """What lies between separators, each with the one before it."""
    cuts = [whole.start]
    cut = text.find(separator, whole.start, whole.end)
    while cut >= 0:
        cuts.append(cut)
        cut = text.find(separator, cut + len(separator), whole.end)
    cuts.append(whole.end)
    yield from (TextSpan(start, end) for start, end in pairwise(cuts) if start < end)


def _joined(text: str, pieces: Sequence[TextSpan], chunk_size: int) -> Iterator[TextSpan]:
    """Join neighbors as long as they fit, without the white space around them."""
    if not pieces:
        return
    start, end = pieces[0]
    for piece in pieces[1:]:
        if piece.end - start > chunk_size:
            yield from _stripped(text, TextSpan(start, end))
            start = piece.start
        end = piece.end
    yield from _stripped(text, TextSpan(start, end))


def _stripped(text: str, span: TextSpan) -> Iterator[TextSpan]:
    """The span without white space at its ends; nothing if that is all it holds."""
    inside = text[span.start : span.end]
    start = span.start + len(inside) - len(inside.lstrip())
    end = span.start + len(inside.rstrip())
    if start < end:
        yield TextSpan(start, end)
