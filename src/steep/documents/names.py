"""Find capitalized names and numbers in a text.

Generators under a billion parameters misspell and invent names. The compact prompts let them choose
among the names of the document, and a filter rejects texts that are full of others. Both work for
languages that capitalize names and little else (German capitalizes all nouns, so the filter takes
only names of several words there).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from steep.core import words
from steep.documents.language import document_language

# Words that start sentences and are no part of a name.
_OPENERS = (
    "a after all an and as at before both but by during each every for from he her his if "
    "in it its many most no not of on one or she since some that the their then there "
    "these they this those to today two under until we what when where which while who "
    "with you your"
)
_BEFORE_NAMES = " \n\"'("  # blanks, quotes and brackets
STEM_LETTERS = 4
_CAPITALS = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0386-\u03ab\u0400-\u042f"
SENTENCE_OPENERS = frozenset(_OPENERS.split())


def proper_names(text: str) -> tuple[str, ...]:
    """Return the names of a text, once each, in order of mention, without sentence openers."""
    return tuple(dict.fromkeys(mentioned_names(text)))


def mentioned_names(text: str) -> Iterator[str]:
    """Yield a name of a text for each of its mentions, without sentence openers."""
    for start, end in name_spans(text, document_language(text)):
        yield text[start:end]


def name_spans(text: str, language: str | None) -> Iterator[tuple[int, int]]:
    """Yield where each name of a text in this language begins and ends, in characters."""
    # Unchanged for English: the compact prompts have these names, so other calls would be paid for.
    upper = "A-Z" if language in (None, "en") else _CAPITALS
    name = rf"[{upper}][\w'-]+(?:(?: & | of (?=[{upper}])| )[{upper}][\w'-]+)*"
    for match in re.finditer(name, text):
        found, start = match.group(), match.start()
        before = text[max(0, start - 4) : start].rstrip(_BEFORE_NAMES) or text[:start].rstrip(
            _BEFORE_NAMES
        )
        if before[-1:] in ("", ".", "!", "?", ":"):
            first, _, rest = found.partition(" ")
            if first.lower() in SENTENCE_OPENERS:
                found = rest
            elif not rest:
                continue
        if found:
            yield match.end() - len(found), match.end() - (2 if found.endswith("'s") else 0)


def invented_share(text: str, source_words: frozenset[str]) -> float:
    """Return the share of distinct name words and numbers of a text that are not in its source.

    In other languages than English, another form of a word counts too: names have endings.
    """
    language = document_language(text)
    names = [name for name in proper_names(text) if language != "de" or " " in name]
    said = {words.fold(word) for name in names for word in re.findall(rf"[{_CAPITALS}]\w*", name)}
    said |= set(re.findall(r"\d+", words.fold(text)))
    strange = said - source_words
    if strange and language not in (None, "en"):
        stems = {_stem(word) for word in source_words}
        strange = {word for word in strange if _stem(word) not in stems}
    return len(strange) / len(said) if said else 0.0


def _stem(word: str) -> str:
    return word if word.isdecimal() else word[: max(STEM_LETTERS, len(word) - 3)]


def words_of(text: str) -> frozenset[str]:
    """Return all words and numbers of a text, folded, with and without punctuation inside."""
    return frozenset(words.words_of(text)) | frozenset(re.findall(r"\w+", words.fold(text)))
