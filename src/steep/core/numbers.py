"""Find the numbers of a text, in any digits and with any separators, and English number words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from steep.core.words import located_words

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
NUMBER_WORDS = (
    {word: str(value) for value, word in enumerate(_UNITS.split())}
    | {word: str(10 * tens) for tens, word in enumerate(_TENS.split(), start=3)}
    | {word: str(value) for value, word in enumerate(_ORDINALS.split(), start=1)}
)

_GROUP = "[.,'\u2019\u00a0\u202f\u066c]"
_POINT = "[.,\u066b]"
_AFTER, _ALONE = rf"(?<!\d{_POINT})", rf"(?!{_POINT}?\d)"  # 4.5.1874 is three numbers
_NUMBER = re.compile(
    rf"{_AFTER}(?P<grouped>\d{{1,3}}(?:{_GROUP}\d{{3}})+)(?:{_POINT}(?P<cents>\d{{1,2}}))?{_ALONE}"
    rf"|{_AFTER}(?P<whole>\d+){_POINT}(?P<part>\d+){_ALONE}|\d+"
)
# "2. Text", "**Question 3:** 3. Text", "Passage 4" alone: the number of an item says nothing.
_ITEM = re.compile(
    r"^[ \t>#*_-]*(?:(?:\w+ )?(\d{1,3})[.):](?=[\s*])[\s*]*(?:(\d{1,3})[.)]\s)?"
    r"|\w+ (\d{1,3})\W*$)",
    re.MULTILINE,
)


class LocatedNumber(NamedTuple):
    """A number of a text in plain form (`12,000.50` is `12000.5`), and its place in characters."""

    value: str
    start: int
    end: int


def located_numbers(text: str) -> Iterator[LocatedNumber]:
    """Yield the numbers of a text that are written in digits, without those of list items.

    A group of three digits after a point or comma is taken for thousands.
    """
    items = {found.start(group) for found in _ITEM.finditer(text) for group in (1, 2, 3)}
    for found in _NUMBER.finditer(text):
        if found.start() not in items:
            yield LocatedNumber(_plain(found), *found.span())


def number_places(text: str) -> dict[str, tuple[int, int]]:
    """Return the first place of each number of a text, in digits or as an English word."""
    places: dict[str, tuple[int, int]] = {}
    for value, start, end in located_numbers(text):
        places.setdefault(value, (start, end))
    for word, start, end in located_words(text):
        if spelled := NUMBER_WORDS.get(word):
            places.setdefault(spelled, (start, end))
    return places


def _plain(found: re.Match[str]) -> str:
    """Return a number in ASCII digits, without separators and zeros that do not count."""
    digits = _digits(found["grouped"] or found["whole"] or found[0]).lstrip("0") or "0"
    decimals = _digits(found["cents"] or found["part"] or "").rstrip("0")
    return f"{digits}.{decimals}" if decimals else digits


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(each)) for each in text if each.isdecimal())
