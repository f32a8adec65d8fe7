"""Answers that repeat their prompt: the document, or the instructions, verbatim.

A rewrite keeps names, dates and terms; an echo keeps the sentences. So only copied sequences of
`RUN_WORDS` words count. Headings are ignored, since prompts require some.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from steep.core.words import word_ngrams, words_of

RUN_WORDS = 8
QUOTED_WORDS = 100  # a text that copies fewer words is a quotation
COPIED_INSTRUCTION = 24  # consecutive words of the instructions that a text of its own never has
PARTS_KEPT = 64  # of prompts; that with the document is shared by many calls


@lru_cache(maxsize=PARTS_KEPT)
def runs_of(text: str) -> frozenset[int]:
    """Return the hashes of all sequences of `RUN_WORDS` words, of this process only."""
    return frozenset(map(hash, word_ngrams(words_of(text), RUN_WORDS)))


def is_echo(text: str, document: frozenset[int], prompt: tuple[str, ...], most: float) -> bool:
    """Return whether a text repeats its prompt.

    Args:
        text: Of the answer, without headings.
        document: `runs_of` the source document.
        prompt: The parts of the messages that asked for the text; empty if unknown.
        most: The maximum share of the text's words in copies of the prompt or the document.
    """
    words = words_of(text)
    runs = list(map(hash, word_ngrams(words, RUN_WORDS)))
    asked = frozenset[int]().union(*map(runs_of, prompt)) if prompt else frozenset[int]()
    copied = _covered(runs, lambda run: run in document or run in asked)
    if copied >= QUOTED_WORDS and copied > most * len(words):
        return True
    longest = current = 0
    for run in runs if asked else ():
        current = current + 1 if run in asked and run not in document else 0
        longest = max(longest, current)
    return longest + RUN_WORDS - 1 >= COPIED_INSTRUCTION if longest else False


def _covered(runs: list[int], is_copied: Callable[[int], bool]) -> int:
    """Return the number of words in sequences that are copied."""
    covered = end = 0
    for start, run in enumerate(runs):
        if is_copied(run):
            covered += start + RUN_WORDS - max(start, end)
            end = start + RUN_WORDS
    return covered
