"""Split text into words in any script, for search, splitting, filters and entity checks.

Texts are compared in a folded form: NFKC and lower case, without soft hyphens, zero-width
characters and vowel points. Chinese, Japanese, Thai, Lao, Tibetan, Khmer and Burmese put no blanks
between words: each of their characters (with its marks) counts as a word. Signs that make a name
(`C++`, `C#`, `.NET`, `AT&T`) belong to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

CHARACTERS_PER_WORD = 2  # of scripts without blanks, in numbers of English words

# Thai and Lao, Tibetan, Burmese, Khmer, the iteration marks, kana, ideographs; without punctuation.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e80-\u0eff\u0f00\u0f20-\u0f33\u0f40-\u0f6c"
    "\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17d7\u17dc-\u17e9"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_AMPERSAND = r"&(?=\w)|(?<=\w)&|(?<!\S)&(?!\S)"
_DOT = r"(?:(?<![^\s(\[\"'`])\.(?=[a-z]))?"
_SIGNS = r"(?:(?<=[a-z])(?:\+\+(?!\w)|#(?![\w#])))?"
_ASCII_WORD = re.compile(rf"{_DOT}(?:\w+|{_AMPERSAND})+{_SIGNS}")  # several times as fast
_DOTTED = re.compile(r"\.(?<![^\s(\[\"'`].)[a-z]")
_BETWEEN_WORDS = {i: " " for i in range(128) if not (chr(i).isalnum() or chr(i) == "_")}
_BETWEEN_WORDS_OF_A_LINE = _BETWEEN_WORDS | {ord("\n"): "\n"}
_EMOJI = "\U0001f300-\U0001faff"
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")

# Soft hyphen, zero-width and direction marks, variation selectors, Hebrew and Arabic points,
# the Arabic stretch, and the dot that lower-casing leaves over a Turkish i.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670\u0307]"
)
# The hyphen first, as looking for it is fast; then a letter before it.
_LINE_END_HYPHEN = re.compile(r"[-\u2010\u00ad](?<=[^\W\d_].)[ \t]*\n[ \t]*(?=[^\W\d_])")
_MARKS_OF_TRADE = str.maketrans("", "", "\u2122\u2120\u00ae")  # NFKC spells the first two out
# Letters that are written in several ways: Arabic alef, ya and ta marbuta, the dotless i.
_VARIANTS = str.maketrans(
    "\u0623\u0625\u0622\u0671\u0649\u0629\u0131", "\u0627\u0627\u0627\u0627\u064a\u0647i"
)


def fold(text: str) -> str:
    """Return the form in which texts are compared."""
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKC", text.translate(_MARKS_OF_TRADE))
    folded = unicodedata.normalize("NFKC", plain.casefold())
    return _UNSEEN.sub("", folded).translate(_VARIANTS)


def join_hyphenated(text: str) -> str:
    """Join the words that a line end had hyphenated."""
    return _LINE_END_HYPHEN.sub("", text)


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text, folded; each character of an unspaced script."""
    folded = fold(text)
    if not text.isascii():
        return _word_pattern().findall(folded)
    if _has_signs(folded):
        return _ASCII_WORD.findall(folded)
    return folded.translate(_BETWEEN_WORDS).split()  # several times as fast


def words_of_each(texts: Sequence[str]) -> list[list[str]]:
    """Return `words_of` each text; of many short ones in plain ASCII at a fraction of the time."""
    joined = "\n".join(texts)
    folded = joined.casefold()
    is_plain = joined.isascii() and joined.count("\n") == len(texts) - 1
    if not is_plain or _has_signs(folded):
        return [words_of(text) for text in texts]
    return [line.split() for line in folded.translate(_BETWEEN_WORDS_OF_A_LINE).split("\n")]


def _has_signs(folded: str) -> bool:
    """Return whether an ASCII text may have words with signs in them, such as `C++` or `R&D`."""
    return "&" in folded or "#" in folded or "++" in folded or _DOTTED.search(folded) is not None


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text begin and end, with the punctuation that belongs to them."""
    return [match.span() for match in _span_pattern().finditer(text)]


class LocatedWord(NamedTuple):
    """A folded word of a text, and where it begins and ends in the text, in characters."""

    word: str
    start: int
    end: int


def located_words(text: str) -> list[LocatedWord]:
    """Return `words_of` a text, each with its place.

    In a run between spaces that has another length when folded (a ligature, decomposed letters),
    the place of each word is the whole run.
    """
    parts: list[str] = []
    places: list[tuple[int, int]] = []  # in the text, of each folded character
    at = 0
    for start, end in (*word_spans(text), (len(text), len(text))):
        folded = fold(text[start:end])
        parts += (text[at:start], folded)
        is_aligned = len(folded) == end - start
        places += ((each, each + 1) for each in range(at, end if is_aligned else start))
        places += () if is_aligned else [(start, end)] * len(folded)
        at = end
    pattern = _ASCII_WORD if text.isascii() else _word_pattern()
    return [
        LocatedWord(found[0], places[found.start()][0], places[found.end() - 1][1])
        for found in pattern.finditer("".join(parts))
    ]


def count_words(text: str) -> int:
    """Return the number of words: runs between spaces, and each character of unspaced scripts."""
    return len(text.split()) if text.isascii() else len(word_spans(text))


def is_unspaced(word: str) -> bool:
    """Return whether a word is a character of a script without spaces between words."""
    return _IS_UNSPACED.match(word) is not None


def word_scale(words: Sequence[str]) -> int:
    """Return the number of these words that correspond to one English word."""
    if all(map(str.isascii, words)):
        return 1
    return CHARACTERS_PER_WORD if sum(map(is_unspaced, words)) * 2 > len(words) else 1


def word_ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Return each run of `n` consecutive words: `len(words) - n + 1`, or none."""
    return zip(*(islice(words, start, None) for start in range(n)), strict=False)


@lru_cache(maxsize=1)
def _marks() -> str:
    """Return the characters that only modify the one before, for a regular expression class."""
    points = (chr(point) for point in range(0x300, 0x10000))
    return "".join(point for point in points if unicodedata.category(point) in ("Mn", "Mc"))


@lru_cache(maxsize=1)
def _word_pattern() -> re.Pattern[str]:
    marks = _marks()
    letter = rf"[^\W{_UNSPACED}]|{_AMPERSAND}"
    spaced = rf"{_DOT}(?:{letter})(?:{letter}|[{marks}])*{_SIGNS}"
    return re.compile(rf"[{_UNSPACED}][{marks}]*|[{_EMOJI}]|{spaced}")


@lru_cache(maxsize=1)
def _span_pattern() -> re.Pattern[str]:
    # Punctuation after an unspaced character, and an opening bracket before it, go with it.
    tail = rf"(?:[{_marks()}]|(?![{_UNSPACED}\uff08\u300a\u300c\u300e\u3010\u201c\u2018])[^\w\s])*"
    head = rf"[^\w\s{_UNSPACED}]*"
    return re.compile(rf"{head}[{_UNSPACED}]{tail}|[^\s{_UNSPACED}]+")
