"""The filters of candidates, in order; the first one that rejects a text gives the reason.

They are pure functions. Of 5,460 texts by GPT-4.1 and Qwen2.5-7B they reject under 3%, nearly all
for verbatim repetition (see `repetition.py`).

A text is certainly in another language than its source if it has letters of a script that the
source does not use (a model that switches to Chinese), or if another language is detected with
confidence (see `documents/language.py`). Headings are ignored, since prompts require some in
English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from steep.core.words import count_words
from steep.corpus.config import CorpusConfig
from steep.corpus.echo import is_echo
from steep.corpus.phrases import talks_about_task
from steep.corpus.repetition import has_loop, repetition_share
from steep.documents.language import (
    SAMPLE_CHARACTERS,
    detect_language,
    other_language,
    script_shares,
)
from steep.documents.names import invented_share
from steep.ledger.refusal import looks_like_refusal

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


@dataclass(frozen=True, slots=True)
class Source:
    """What the filters compare a text with: its source document, and its prompt."""

    language: SourceLanguage
    words: frozenset[str]
    runs: frozenset[int] = frozenset()  # `runs_of` its title and text
    talks_about_task: bool = False  # its text itself seems to be by a model, or is about one
    prompt: tuple[str, ...] = ()  # parts of the messages that asked for this text, if known


# (text, its source, settings) -> is the text rejected?
Filter = Callable[[str, Source, CorpusConfig], bool]

FILTERS: dict[str, Filter] = {
    "empty": lambda text, source, config: not any(map(str.isalnum, text)),
    "refused": lambda text, source, config: looks_like_refusal(text),
    "short": lambda text, source, config: count_words(text) < config.min_words,
    "repetition": lambda text, source, config: (
        has_loop(text) or repetition_share(text) > config.max_repetition
    ),
    "language": lambda text, source, config: is_foreign(text, source.language),
    "echo": lambda text, source, config: is_echo(
        _HEADING.sub("", text), source.runs, source.prompt, config.max_copied
    ),
    "meta": lambda text, source, config: not source.talks_about_task and talks_about_task(text),
    "invented": lambda text, source, config: (
        config.max_invented < 1 and invented_share(text, source.words) > config.max_invented
    ),
}


def first_failed_filter(text: str, source: Source, config: CorpusConfig) -> str | None:
    """Return the name of the first filter that rejects a text, or None."""
    for reason, rejects in FILTERS.items():
        if getattr(config.filters, reason, True) and rejects(text, source, config):
            return reason
    return None


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
    other = other_language(prose, source.code)
    return other is not None and not _same(other, source.code)


def _same(one: str, other: str) -> bool:
    return one == other or any({one, other} <= group for group in _ALIKE)
