"""Is a text in another language than its source? Only said when it is sure.

Two proofs, either is enough. Letters of a script that the source does not use (a model that falls
into Chinese halfway). Or py3langid (text of 120 characters or more) names another language with 95%
confidence, and says the same of the words in lower case alone: invented names are capitalised, and
neither a list of them nor a page full of them may look like Finnish.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MIN_CHARACTERS = 120
MIN_CONFIDENCE = 0.95
FOREIGN_LETTERS = 0.05  # share of letters in scripts that the source does not use
OWN_LETTERS = 0.01  # a script with fewer of the source's letters is not one that it uses
SOURCE_CHARACTERS = 5_000  # enough to know the language of a source

# Written so much alike that telling them apart is no evidence; "zxx" and "und" are no language.
_ALIKE = ({"da", "nb", "nn", "no"}, {"bs", "hr", "sh", "sr"}, {"id", "jv", "ms"}, {"gl", "pt"})
_NO_LANGUAGE = {"zxx", "und"}


@dataclass(frozen=True, slots=True)
class SourceLanguage:
    """What is known of a document's language: its code, if sure, and the scripts it uses."""

    code: str | None
    scripts: frozenset[str]


def source_language(texts: Iterable[str]) -> SourceLanguage:
    """Describe the language of a document from (the beginning of) its text."""
    text = "\n".join(texts)[:SOURCE_CHARACTERS]
    used = frozenset(name for name, share in script_shares(text).items() if share >= OWN_LETTERS)
    return SourceLanguage(detect_language(text), used)


def is_foreign(text: str, source: SourceLanguage) -> bool:
    """Say whether a text is surely not in the source's language."""
    shares = script_shares(text)
    if source.scripts and sum(shares[name] for name in shares.keys() - source.scripts) > (
        FOREIGN_LETTERS
    ):
        return True
    if source.code is None:
        return False
    code = detect_language(text)
    return code is not None and not _same(code, source.code)


def detect_language(text: str) -> str | None:
    """The ISO 639-1 code of a text's language, or None when it is too short or not clear."""
    if len(text) < MIN_CHARACTERS:
        return None
    code, confidence = _identifier().classify(text)
    if confidence < MIN_CONFIDENCE or code in _NO_LANGUAGE:
        return None
    lower = " ".join(word for word in text.split() if word == word.lower() and word.isalpha())
    lower_code, lower_confidence = _identifier().classify(lower)
    return str(code) if lower_code == code and lower_confidence >= MIN_CONFIDENCE else None


def script_shares(text: str) -> dict[str, float]:
    """Share of a text's letters in each script, by the first word of their Unicode names."""
    counts = Counter(_script(character) for character in text if character.isalpha())
    total = counts.total()
    return {name: count / total for name, count in counts.items()}


def _same(one: str, other: str) -> bool:
    return one == other or any({one, other} <= group for group in _ALIKE)


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The identifier, loaded once and only when asked (it takes a second)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
