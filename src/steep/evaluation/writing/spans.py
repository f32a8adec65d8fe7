"""Find the quotation of a writer in a document, also if white space and quotation marks differ."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)
_DROPPED = "*\u00ad\u200b\ufeff"  # emphasis of Markdown, and what is not seen
_AROUND = " \"'.,;:\u2026"  # may be added or dropped at the ends of a quotation


class FoundSpan(NamedTuple):
    """Where a quotation stands: `text[start:end]`."""

    start: int
    end: int


def locate(quote: str, text: str) -> FoundSpan | None:
    """Return the first place of a quotation in a text; None if it is not there.

    Case, white space, quotation marks, dashes and the emphasis of Markdown may differ, and
    punctuation at its ends; nothing else.
    """
    plain, places = _plain_document(text)
    wanted = _plain(quote)[0].strip(_AROUND)
    if not wanted:
        return None
    found = plain.find(wanted)
    if found < 0:
        return None
    end = places[found + len(wanted) - 1] + 1
    if text[end : end + 1] in (".", "!", "?", "\u3002"):
        end += 1  # the end of its sentence
    return FoundSpan(places[found], end)


@lru_cache(maxsize=4)  # documents, each of which is searched for many quotations in turn
def _plain_document(text: str) -> tuple[str, Sequence[int]]:
    return _plain(text)


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """Return the compared form of a text, and the place of each of its characters."""
    letters: list[str] = []
    places = array("L")
    for place, letter in enumerate(text):
        if letter in _DROPPED:
            continue
        if letter.isspace():
            if letters and letters[-1] != " ":
                letters.append(" ")
                places.append(place)
            continue
        for each in unicodedata.normalize("NFKC", letter.translate(_SAME)).casefold():
            letters.append(each)
            places.append(place)
    return "".join(letters), places
