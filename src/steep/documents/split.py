"""Split a document that exceeds a generator's context into parts of about equal length.

A cut is at the paragraph end nearest to an even cut; if no paragraph ends nearby, at the end of a
sentence, then of a line, then between two words. No word is lost, there is no tiny last part, and
each part keeps the title, so that generated texts can name the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from steep.core.words import word_spans
from steep.documents.document import BETWEEN_PARTS, Document
from steep.documents.sentences import ends_sentence

FILL = 0.85  # mean length of a part / the longest allowed: room to move cuts to paragraph ends
REACH = 0.25  # how far a cut may move from the even one, in mean lengths

_NO_END, _LINE, _SENTENCE, _PARAGRAPH = range(4)


def split_documents(
    documents: Iterable[Document], split: Callable[[Document], Iterable[Document]]
) -> tuple[Document, ...]:
    """Split long documents; no part takes the id of another document."""
    documents = tuple(documents)
    taken = {document.id for document in documents}
    parts: list[Document] = []
    for document in documents:
        for part in split(document):
            while part is not document and part.id in taken:
                part = replace(part, id=f"{document.id}#{part.id.removeprefix(document.id)}")
            taken.add(part.id)
            parts.append(part)
    return tuple(parts)


def split_document(document: Document, max_words: int) -> tuple[Document, ...]:
    """Split into parts `<id>#01`, ... of at most `max_words` words; a short one stays whole."""
    spans = _word_spans(document.text)
    if len(spans) <= max_words:
        return (document,)
    ends = _end_levels(document.text)
    cuts = [0, *_cuts(ends, len(spans), max_words), len(spans)]
    metadata = {**document.metadata, "part_of": document.whole_id}
    return tuple(
        replace(
            document,
            id=f"{document.id}#{number:02d}",
            text=document.text[spans[start][0] : spans[end - 1][1]],
            metadata=metadata,
        )
        for number, (start, end) in enumerate(pairwise(cuts), start=1)
    )


def whole_documents(documents: Iterable[Document]) -> dict[str, Document]:
    """Return the documents by their whole id, with parts joined in order."""
    wholes: dict[str, Document] = {}
    for document in documents:
        key = document.whole_id
        gap = document.metadata.get("gap_before", BETWEEN_PARTS)
        before = wholes[key].text + gap if key in wholes else ""
        wholes[key] = replace(document, id=key, text=before + document.own_text, metadata={})
    return wholes


@lru_cache(maxsize=1)  # some recipes split a document in several ways, one after another
def _word_spans(text: str) -> Sequence[tuple[int, int]]:
    return word_spans(text)


@lru_cache(maxsize=1)
def _end_levels(text: str) -> Sequence[int]:
    """Return, for each word but the last, what ends after it."""
    spans = _word_spans(text)
    levels = []
    line_start = spans[0][0]
    for (start, end), (next_start, _) in pairwise(spans):
        gap, word = text[end:next_start], text[start:end]
        heading = text.startswith("#", line_start)
        if "\n" in gap:
            line_start = next_start
        if gap.count("\n") > 1 and not heading:  # a heading belongs to what it heads
            levels.append(_PARAGRAPH)
        elif ends_sentence(word, gap):
            levels.append(_SENTENCE)
        else:
            levels.append(_LINE if "\n" in gap and not heading else _NO_END)
    return levels


def _cuts(ends: Sequence[int], words: int, max_words: int) -> list[int]:
    """Return the numbers of words to cut after."""
    parts = math.ceil(words / max(1, FILL * max_words))
    mean = words / parts
    cuts: list[int] = []
    for rest in range(parts - 1, 0, -1):
        even, last = words - rest * mean, cuts[-1] if cuts else 0
        # The lower bounds: a word more than the last cut, and no more left than the rest can hold.
        low = max(math.ceil(even - REACH * mean), words - rest * max_words, last + 1)
        high = min(math.floor(even + REACH * mean), last + max_words)
        nearest = min(range(low, max(low, high) + 1), key=lambda cut: _rank(cut, ends, even))
        cuts.append(nearest)
    return cuts


def _rank(cut: int, ends: Sequence[int], even: float) -> tuple[int, float]:
    return -ends[cut - 1], abs(cut - even)
