"""Find names in a document, in the forms in which its language writes them.

A name is compared word by word in folded form (see `core/words.py`). Scripts without blanks have no
word borders, so any place counts. Korean, Russian, Arabic, Hebrew and, in documents that are
clearly not in English, words in Latin letters may carry an ending (`des Ostrelsees`), a particle
or an attached article, and may be part of a compound. English names must match exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from steep.core.words import is_unspaced, join_hyphenated, words_of, words_of_each
from steep.documents.language import SAMPLE_CHARACTERS, document_language, script_shares

LONGEST_NAME_WORDS = 8
CHARACTERS_PER_WORD = 4  # of scripts without blanks, in the length of a name
SHORTEST_INFLECTED = 4
KEPT_CHARACTERS = 1_000_000
COMPOUND_LETTERS = 5  # shorter words are found in too many others

_ARTICLES = {
    "de": "der die das den dem des ein eine einer einem einen",
    "es": "el la los las un una",
    "fr": "le la les l un une",
    "it": "il lo la i gli le l un una uno",
    "nl": "de het een",
    "pt": "o a os as um uma",
}
_HANGUL_PARTICLES = "[은는이가을를의에도만와과로]"
_ENDING = r"\w{0,3}"
# Endings of the nominative that another case replaces.
_CYRILLIC_ENDING = re.compile(
    "(?<=[\u0430-\u044f]{2})"
    "[\u0430\u0435\u0438\u043e\u0443\u044b\u044c\u044d\u044e\u044f\u0439\u0456\u0457]{1,2}$"
)
_LATIN_ENDING = re.compile(r"(?<=[^\W\d_]{3})[aeiouy]$")


def _without_article(words: list[str], articles: list[str]) -> tuple[str, ...]:
    if words and words[0] in articles:
        for article in articles:
            if len(words) > 1 and words[0] == article:
                words = words[1:]
    return tuple(words)


def _are_too_many(words: list[str]) -> bool:
    """Return True if these words are a sentence rather than a name."""
    if len(words) <= LONGEST_NAME_WORDS:
        return False
    return sum(1 / CHARACTERS_PER_WORD if is_unspaced(w) else 1 for w in words) > LONGEST_NAME_WORDS


class MentionIndex:
    """The words of a document, computed once for all names that are looked up in it."""

    def __init__(self, text: str) -> None:
        self._language = document_language(text)
        self._articles = _ARTICLES.get(self._language or "", "the a an").split()
        latin = script_shares(text[:SAMPLE_CHARACTERS]).get("LATIN", 0.0) > 0.5
        self._inflects = latin and self._language not in (None, "en")
        words = f" {' '.join(words_of(text))} "
        joined = join_hyphenated(text)
        self._words = words if joined == text else f"{words}\n {' '.join(words_of(joined))} "

    def find(self, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the names that the document mentions, with their words: folded, no article."""
        for name, words in zip(names, words_of_each(names), strict=True):
            found = _without_article(words, self._articles)
            if found and not _are_too_many(words) and self.mentions(found):
                yield name, found

    def mentions(self, words: tuple[str, ...]) -> bool:
        """Return True if a name, given by its folded words, occurs in the document."""
        return self.is_mentioned(words, self._words)

    def is_mentioned(self, words: tuple[str, ...], text: str) -> bool:
        """Return True if a name occurs in a text of the same language.

        Args:
            words: The folded words of the name.
            text: The folded words of the text, with a blank before, between and after them.
        """
        if f" {' '.join(words)} " in text:
            return True
        forms = [_forms(word, self._inflects, self._language == "ko") for word in words]
        exact = all(form == re.escape(word) for form, word in zip(forms, words, strict=True))
        return not exact and re.search(f" {' '.join(forms)} ", text) is not None


def mention_index(text: str) -> MentionIndex:
    """Return the index of a document; the last few are kept, unless they are large."""
    return _kept_index(text) if len(text) <= KEPT_CHARACTERS else MentionIndex(text)


@lru_cache(maxsize=64)
def _kept_index(text: str) -> MentionIndex:
    return MentionIndex(text)


def _forms(word: str, inflects: bool, korean: bool) -> str:
    """Return a regular expression of the forms of a word that count as a mention."""
    exact = re.escape(word)
    last = word[-1]
    if "\uac00" <= last <= "\ud7a3":
        return exact + (f"{_HANGUL_PARTICLES}?" if len(word) == 1 else "[\uac00-\ud7a3]{0,4}")
    if "\u0400" <= last <= "\u052f" and len(word) > 2:
        return re.escape(_CYRILLIC_ENDING.sub("", word)) + _ENDING
    if "\u0590" <= last <= "\u05ff" and len(word) > 1:
        return f"[והבלכמש]{{0,3}}{exact}\\w{{0,2}}"
    if "\u0600" <= last <= "\u06ff" and len(word) > 2:
        stem = re.escape(word.removeprefix("ال").removesuffix("\u0647"))
        return f"[وف]?(?:ال|بال|كال|لل|ب|ل|ك)?{stem}{_ENDING}"
    if korean and word.isalnum():  # a name in Latin letters before a particle
        return f"{exact}[\uac00-\ud7a3]{{0,4}}"
    if not inflects or not word.isalpha() or len(word) < SHORTEST_INFLECTED:
        return exact
    stem = re.escape(_LATIN_ENDING.sub("", word))
    if len(word) < COMPOUND_LETTERS:
        return f"{stem}{_ENDING}"
    return f"(?:{stem}\\w*|\\w*{stem}{_ENDING})"
