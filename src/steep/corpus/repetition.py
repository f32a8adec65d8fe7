"""Repetition within a text: the loops of small models, and only those.

The share of repeated 6-word sequences alone cannot tell a loop from a passage that is retold in
other words, nor from a list whose items share a frame ("Part 12 is a bolt of brass and costs ...").
A loop repeats *immediately*: the copy covers the whole distance to its original. Or it copies a
page verbatim *at length*. A retelling, a refrain and a list with a frame do neither, since
something new stands between. Tables, code, formulas and addresses are not prose: there, only a
repeated row is a loop.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

from steep.core.words import word_ngrams, word_scale, words_of

RUN_WORDS = 6
COPY_WORDS = 100  # a copy of this length counts at any distance
LOOP_TIMES = 4  # consecutive repetitions that are a loop in a text of any length
LOOP_WORDS = 30
LOOP_CHARACTERS = 200  # of one endless word, or more than half of the text
LOOP_ROWS = 8  # equal rows of a table or of code, if they are most of its rows
LOOP_SIGNS = 100  # equal words in one row
PROSE_LETTERS = 0.4  # a line with a smaller share of letters is not prose
_ASCII_NO_LETTERS = {i: None for i in range(128) if not chr(i).isalpha()}

# List numbers and bullets, and the labels of question and answer, differ where the rest repeats.
_MARKER = re.compile(r"\s*(?:[-*\u2022#>]+\s|\(?\d+[.):]\s|(?:question|answer)\s*\d*:)?\s*", re.I)
_CHARACTER_LOOP = re.compile(r"(?=.{0,19}\w)(.{1,20}?)\1{7,}")
_LONG_TOKEN = re.compile(r"\S{40,}")
# Formulas, code in a line, and addresses.
_NO_PROSE = re.compile(
    r"\$\$.+?\$\$|\$[^$\n]{1,200}\$|\\\(.{1,200}?\\\)|\\\[.+?\\\]"
    r"|\\begin\{(\w+)\}.+?\\end\{\1\}|`[^`\n]+`|\b[a-z]{2,12}://\S+",
    re.DOTALL,
)


def repetition_share(text: str) -> float:
    """Return the share of the words of a text's prose in a loop or a copy, from 0 to 1."""
    repeated = _repeated_words(_split(text)[0])
    return sum(repeated) / len(repeated) if repeated else 0.0


def has_loop(text: str) -> bool:
    """Return True if the same words, characters or rows repeat immediately many times."""
    prose, rows = _split(text)
    return (
        _runs_in_a_loop(words_of(prose), LOOP_WORDS)
        or any(_runs_in_a_loop(words_of(row), LOOP_SIGNS) for row in rows)
        or _has_endless_word(prose)
        or _repeats_one_row(rows)
    )


@lru_cache(maxsize=1)  # both functions above are asked about the same text
def _split(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the prose of a text, and its rows of tables, code and numbers."""
    prose: list[str] = []
    rows: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fence = line.lstrip().startswith(("```", "~~~"))
        fenced ^= fence
        if not fence:
            (rows if fenced or not _is_prose(line) else prose).append(line)
    return _NO_PROSE.sub(" ", "\n".join(prose)), tuple(rows)


def _is_prose(line: str) -> bool:
    if line.count("|") > 1 or line.strip().count("\t") > 1:
        return False
    signs = "".join(line.split())
    if signs.isascii():  # several times as fast
        letters = len(signs.translate(_ASCII_NO_LETTERS))
    else:
        counted = Counter(signs).items()
        letters = sum(number for sign, number in counted if unicodedata.category(sign)[0] in "LM")
    return letters >= PROSE_LETTERS * len(signs)


def _runs_in_a_loop(words: Sequence[str], least: int) -> bool:
    if len(words) < least:
        return False
    least *= word_scale(words)
    for distance, _, runs in _copies(words):
        copied = runs + RUN_WORDS - 1
        if copied >= (LOOP_TIMES - 1) * distance and copied >= least:
            return True
    return False


def _has_endless_word(prose: str) -> bool:
    loops = [
        len(match[0])
        for token in _LONG_TOKEN.findall(prose)
        for match in _CHARACTER_LOOP.finditer(token)
    ]
    if not loops:
        return False
    return max(loops) >= LOOP_CHARACTERS or sum(loops) * 2 > sum(map(len, prose.split()))


def _repeats_one_row(rows: Sequence[str]) -> bool:
    named = Counter(row.strip() for row in rows if any(map(str.isalpha, row)))
    most = max(named.values(), default=0)
    return most >= LOOP_ROWS and most * 2 > named.total()


def _repeated_words(prose: str) -> list[bool]:
    lines = (line[_MARKER.match(line).end() :] for line in prose.split("\n"))  # type: ignore[union-attr]
    words = [word for line in lines for word in words_of(line)]
    repeated = [False] * len(words)
    copy = COPY_WORDS * word_scale(words)
    for distance, start, runs in _copies(words):
        copied = runs + RUN_WORDS - 1
        if copied >= min(distance, copy):
            repeated[start : start + runs] = [True] * runs
    return repeated


def _copies(words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield (distance to the original, start, number of runs) of each repeated part."""
    runs_of_words = list(word_ngrams(words, RUN_WORDS))
    if len(set(runs_of_words)) == len(runs_of_words):
        return
    last: dict[tuple[str, ...], int] = {}
    distances: list[int] = []
    for index, run in enumerate(runs_of_words):
        distances.append(index - last.get(run, index))
        last[run] = index
    start = 0
    for distance, group in groupby(distances):
        runs = len(list(group))
        if distance:
            yield distance, start, runs
        start += runs
