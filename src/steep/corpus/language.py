"""Detect texts that are certainly in another language than their source.

Either of two signs is enough: letters of a script that the source does not use (a model that
switches to Chinese), or a confident detection of another language (see `documents/language.py`).
Headings are ignored, since prompts require some in English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from steep.documents.language import SAMPLE_CHARACTERS, detect_language, script_shares

FOREIGN_LETTERS = 0.05  # share of letters in scripts that the source does not use
OWN_LETTERS = 0.01  # a script with fewer of the source's letters is not one that it uses

# Too similar in writing to be told apart reliably.
_ALIKE = ({"da", "nb", "nn", "no"}, {"bs", "hr", "sh", "sr"}, {"id", "jv", "ms"}, {"gl", "pt"})
_JAPANESE = frozenset({"HIRAGANA", "KATAKANA", "CJK"})
_HEADING = re.compile(r"^[ \t]*(?:#{1,6}[ \t].*|\*\*[^*\n]+\*\*:?[ \t]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SourceLanguage:
    """The language of a document: its code, if certain, and the scripts it uses."""

    code: str | None
    scripts: frozenset[str]


def source_language(texts: Iterable[str]) -> SourceLanguage:
    """Return the language of a document, from the beginning of its text."""
    text = "\n".join(texts)[:SAMPLE_CHARACTERS]
    used = frozenset(name for name, share in script_shares(text).items() if share >= OWN_LETTERS)
    if used & {"HIRAGANA", "KATAKANA"}:
        used |= _JAPANESE
    return SourceLanguage(detect_language(text), used)


def is_foreign(text: str, source: SourceLanguage) -> bool:
    """Return True if a text, without headings, is certainly not in the source's language."""
    prose = _HEADING.sub("", text)
    shares = script_shares(prose)
    if source.scripts and sum(shares[name] for name in shares.keys() - source.scripts) > (
        FOREIGN_LETTERS
    ):
        return True
    if source.code is None:
        return False
    code = detect_language(prose)
    return code is not None and not _same(code, source.code)


def _same(one: str, other: str) -> bool:
    return one == other or any({one, other} <= group for group in _ALIKE)
