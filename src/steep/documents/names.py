"""Capitalised names and numbers: what a text is about, as far as its letters show it.

Generators under a billion parameters misspell and invent names. The compact prompts let them choose
among the names of the document, and a filter sets aside texts that are full of other ones. Both
work for languages that capitalise names and little else.
"""

from __future__ import annotations

import re

# Words that start sentences and are no part of a name.
_OPENERS = (
    "a after all an and as at before both but by during each every for from he her his if "
    "in it its many most no not of on one or she since some that the their then there "
    "these they this those to today two under until we what when where which while who "
    "with you your"
)
SENTENCE_OPENERS = frozenset(_OPENERS.split())


def proper_names(text: str) -> tuple[str, ...]:
    """The names of a text, once each, in order of mention, without sentence openers."""
    name = r"[A-Z][\w'-]+(?:(?: & | of (?=[A-Z])| )[A-Z][\w'-]+)*"
    inside: dict[str, None] = {}
    for match in re.finditer(name, text):
        words = match.group().split()
        opens = text[: match.start()].rstrip(" \n\"'(")[-1:] in ("", ".", "!", "?", ":")
        if opens and words[0].lower() in SENTENCE_OPENERS:
            opens = len(words) == 1
            words.pop(0)
        if words and not (opens and len(words) == 1):
            inside[" ".join(words).removesuffix("'s")] = None
    return tuple(inside)


def invented_share(text: str, source_words: frozenset[str]) -> float:
    """Share of a text's distinct name words and numbers that its source does not have."""
    words = (word for name in proper_names(text) for word in re.findall(r"[A-Z]\w*", name))
    said = {word.casefold() for word in words}
    said |= set(re.findall(r"\d+", text))
    return len(said - source_words) / len(said) if said else 0.0


def words_of(text: str) -> frozenset[str]:
    """All words and numbers of a text, in lower case."""
    return frozenset(re.findall(r"\w+", text.casefold()))
