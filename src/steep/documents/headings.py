"""Recognize headings: lines of Markdown, and lines of plain text where they are certain.

In plain text these are chapters ("CHAPTER IV", "Kapitel 3: Das Meer") and numbers in sequence ("2.3
Leave" after "2.2 Hours"), each alone between blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

LONGEST_TITLE = 100  # characters; a longer line is a paragraph, not a title
LONGEST_HEADING = 1000  # likewise of a line that Markdown marks as a heading
PART, CHAPTER, SECTION = 1, 2, 3  # levels in plain text; those of numbers follow

_ATX = re.compile(r"^(#{1,6})[ \t]+(.*)$")
_UNDERLINE = re.compile(r"^(?:(=+)|-{3,})[ \t]*$")
_NO_TITLE = re.compile(r"\s|[-*+>|#`~]|\d+[.)]\s|$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ESCAPED = re.compile(r"\\([^\w\s]|_)")
_MARKS = re.compile(r"(?<!\\)[*`]|\[([^\]]*)\]\([^)]*\)")

_NUMERAL = r"(?:\d{1,3}|[IVXLC]{1,7}|[ivxlc]{1,7})"
_WORDS: dict[int, str] = {
    PART: "part book teil buch partie livre parte libro часть deel boek",
    CHAPTER: "chapter kapitel chapitre capítulo capitulo capitolo глава hoofdstuk rozdział kapitola"
    " appendix anhang annexe anexo appendice приложение",
    SECTION: "section abschnitt sección seção sezione раздел sectie",
}
_LEVEL_OF_WORD = {word: level for level, words in _WORDS.items() for word in words.split()}
_CHAPTER = re.compile(
    rf"^({'|'.join(_LEVEL_OF_WORD)})\s+(?:{_NUMERAL}|[A-H])(?:\s*[.:\u2013\u2014-]\s*\S.*|\s*\.)?$",
    re.IGNORECASE,
)
_EAST_ASIAN = re.compile(
    "^(?:\u7b2c[\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u96f6\u3007\\d]+"
    "|\uc81c\\s?\\d+\\s?)"
    "([\u90e8\u7de8\u7f16\u5377\ubd80\ud3b8]|[\u7ae0\u56de\uc7a5]|[\u8282\u7bc0\uc808])(?:\\s|$)"
)
_NUMBERED = re.compile(r"^(\d{1,3}(?:\.\d{1,3}){0,5})\.?[ \t]+(\S.*)$")

Number = tuple[int, ...]


class HeadingLine(NamedTuple):
    """A heading: its level, from 1 for the highest, and its title without marks."""

    level: int
    title: str


def atx_heading(line: str) -> HeadingLine | None:
    """Return the heading of a line that begins with number signs."""
    match = _ATX.match(line) if len(line) <= LONGEST_HEADING else None
    title = plain_title(_without_closing_signs(match[2])) if match else ""
    return HeadingLine(len(match[1]), title) if match and title else None


def underlined_heading(line: str, below: str) -> HeadingLine | None:
    """Return the heading of a line that is underlined; it must be a paragraph of its own."""
    match = _UNDERLINE.match(below)
    if not match or _NO_TITLE.match(line) or len(line) > LONGEST_TITLE:
        return None
    return HeadingLine(1 if match[1] else 2, plain_title(line))


def plain_title(line: str) -> str:
    """Return the text of a heading without emphasis, code marks, links and comments."""
    return _ESCAPED.sub(r"\1", _MARKS.sub(r"\1", _COMMENT.sub("", line))).strip()


def could_be_title(line: str) -> bool:
    """Return whether a line is short, holds letters or digits, and does not end as prose does."""
    prose = len(line) > LONGEST_TITLE or line.endswith((".", ",", ";", ":"))
    return not prose and any(character.isalnum() for character in line)


def plain_headings(lines: Iterable[tuple[int, str]]) -> dict[int, HeadingLine]:
    """Return the headings of a text without Markdown ones.

    Args:
        lines: The lines that stand alone between blank ones, each under a key.
    """
    found: dict[int, HeadingLine] = {}
    numbered: dict[int, Number] = {}
    for key, line in lines:
        if level := _chapter_level(line):
            found[key] = HeadingLine(level, line)
        elif number := _number_of(line):
            numbered[key] = number
            found[key] = HeadingLine(SECTION - 1 + len(number), line)
    in_sequence = set(_longest_sequence(numbered))
    return {
        key: heading for key, heading in found.items() if key not in numbered or key in in_sequence
    }


def _without_closing_signs(title: str) -> str:
    title = title.rstrip()
    words = title.rstrip("#")
    return words if not words or words[-1].isspace() else title  # "C#" ends in a word


def _chapter_level(line: str) -> int | None:
    if len(line) > LONGEST_TITLE:
        return None
    if match := _EAST_ASIAN.match(line):
        kinds = ((PART, "\u90e8\u7de8\u7f16\u5377\ubd80\ud3b8"), (CHAPTER, "\u7ae0\u56de\uc7a5"))
        return next((level for level, signs in kinds if match[1] in signs), SECTION)
    match = _CHAPTER.match(line)
    return _LEVEL_OF_WORD[match[1].lower()] if match else None


def _number_of(line: str) -> Number | None:
    match = _NUMBERED.match(line)
    if not match or not could_be_title(line):
        return None
    first = match[2][0]
    if not first.isalpha() or first.islower():
        return None
    return tuple(map(int, match[1].split(".")))


def _longest_sequence(numbers: Mapping[int, Number]) -> list[int]:
    """Return the keys of the longest sequence in which each number follows the one before it.

    1.2 follows 1.1, and all that begin with it (1.1.4); 1.1 follows 1. A single number is none.
    """
    last: dict[Number, int] = {}  # the key that ends the longest sequence, by number and its starts
    length: dict[int, int] = {}
    before: dict[int, int | None] = {}
    for key, number in numbers.items():
        *parents, own = number
        previous = [last.get((*parents, own - 1))]
        if own == 1 and parents and (above := last.get(tuple(parents))) is not None:
            previous += [above] if numbers[above] == tuple(parents) else []
        best = max(
            (each for each in previous if each is not None), key=length.__getitem__, default=None
        )
        before[key], length[key] = best, 1 + (length[best] if best is not None else 0)
        for end in range(1, len(number) + 1):
            known = last.get(number[:end])
            if known is None or length[key] >= length[known]:
                last[number[:end]] = key
    ending: int | None = max(length, key=length.__getitem__, default=None)
    if ending is None or length[ending] < 2:
        return []
    keys: list[int] = []
    while ending is not None:
        keys.append(ending)
        ending = before[ending]
    return keys
