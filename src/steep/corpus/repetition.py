"""How much of a text repeats itself: the loops that small models fall into, and only those.

The plain share of repeated 6-word runs cannot tell a loop from a passage that is told five times in
other words: of 1,365 such rewrites by Qwen2.5-7B it exceeds 0.3 in 657, mostly sound ones. A loop
repeats *at once* (its period is short), *as a line* (a list that starts again) or *at length* (a
page copied out verbatim); a retelling does none of these. So a run counts when it was said at most
60 words before, or inside a copy of 100 words or more; a line that was there before counts whole.
On the same rewrites this exceeds 0.3 in 100.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

RUN_WORDS = 6
NEAR_WORDS = 60  # a loop's period; a retold passage returns later
COPY_WORDS = 100  # a copy this long is verbatim at whatever distance
LINE_WORDS = 4  # shorter repeated lines are headings and labels
LOOP_TIMES = 4  # the same words so often in a row are a loop, however long the text around them
LOOP_WORDS = 30

_WORD = re.compile(r"\w+")
# List numbers and bullets, and the labels of question and answer, differ where the rest repeats.
_MARKER = re.compile(r"\s*(?:[-*\u2022#>]+\s|\(?\d+[.):]\s|(?:question|answer)\s*\d*:)?\s*", re.I)
_CHARACTER_LOOP = re.compile(r"(?=.{0,19}\w)(.{1,20}?)\1{7,}")
_LONG_TOKEN = re.compile(r"\S{40,}")


def repetition_share(text: str) -> float:
    """Share of the text's words that stand in a loop or a copy, from 0 to 1."""
    repeated = _repeated_words(text)
    return sum(repeated) / len(repeated) if repeated else 0.0


def has_loop(text: str) -> bool:
    """Say whether anywhere the same words or characters come over and over in a row."""
    words = _WORD.findall(text.casefold())
    for distance, _, runs in _copies(words):
        copied = runs + RUN_WORDS - 1
        if copied >= (LOOP_TIMES - 1) * distance and copied >= LOOP_WORDS:
            return True
    return any(_CHARACTER_LOOP.search(token) for token in _LONG_TOKEN.findall(text))


def _repeated_words(text: str) -> list[bool]:
    words: list[str] = []
    repeated: list[bool] = []
    seen: set[tuple[str, ...]] = set()
    for line in text.casefold().splitlines():
        line_words = _WORD.findall(line, _MARKER.match(line).end())  # type: ignore[union-attr]
        key = tuple(line_words)
        repeated += [key in seen and len(key) >= LINE_WORDS] * len(key)
        words += line_words
        seen.add(key)
    for distance, start, runs in _copies(words):
        if distance <= NEAR_WORDS or runs + RUN_WORDS - 1 >= COPY_WORDS:
            repeated[start : start + runs] = [True] * runs
    return repeated


def _copies(words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield (distance to the original, start, number of runs) of each stretch said before."""
    last: dict[tuple[str, ...], int] = {}
    distances: list[int] = []
    for index in range(len(words) - RUN_WORDS + 1):
        run = tuple(words[index : index + RUN_WORDS])
        distances.append(index - last.get(run, index))
        last[run] = index
    start = 0
    for distance, group in groupby(distances):
        runs = len(list(group))
        if distance:
            yield distance, start, runs
        start += runs
