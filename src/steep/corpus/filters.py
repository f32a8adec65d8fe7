"""The filters of candidates, in order; the first one that rejects a text gives the reason.

They are pure functions. Of 5,460 texts by GPT-4.1 and Qwen2.5-7B they reject under 3%, nearly all
for verbatim repetition (see `repetition.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from steep.core.words import count_words
from steep.corpus.config import CorpusConfig
from steep.corpus.language import SourceLanguage, is_foreign
from steep.corpus.repetition import has_loop, repetition_share
from steep.documents.names import invented_share
from steep.documents.sentences import trim_to_sentence as trim_to_sentence  # a filter's remedy
from steep.ledger.refusal import looks_like_refusal


@dataclass(frozen=True, slots=True)
class Source:
    """What the filters need of the source document: its language, and all its words."""

    language: SourceLanguage
    words: frozenset[str]


# (text, its source, settings) -> is the text rejected?
Filter = Callable[[str, Source, CorpusConfig], bool]


def is_empty(text: str, _source: Source, _config: CorpusConfig) -> bool:
    """Return True if there is no letter or digit in it."""
    return not any(character.isalnum() for character in text)


def is_refused(text: str, _source: Source, _config: CorpusConfig) -> bool:
    """Return True if the text is a refusal, with a normal finish reason."""
    return looks_like_refusal(text)


def is_short(text: str, _source: Source, config: CorpusConfig) -> bool:
    """Return True if it has too few words."""
    return count_words(text) < config.min_words


def is_repetitive(text: str, _source: Source, config: CorpusConfig) -> bool:
    """Return True if it loops, or repeats too much of itself."""
    return has_loop(text) or repetition_share(text) > config.max_repetition


def is_other_language(text: str, source: Source, config: CorpusConfig) -> bool:
    """Return True if it is certainly in another language than its source."""
    return config.check_language and is_foreign(text, source.language)


def is_invented(text: str, source: Source, config: CorpusConfig) -> bool:
    """Return True if too many of its names and numbers are not in its source."""
    limit = config.max_invented
    return limit < 1 and invented_share(text, source.words) > limit


FILTERS: dict[str, Filter] = {
    "empty": is_empty,
    "refused": is_refused,
    "short": is_short,
    "repetition": is_repetitive,
    "language": is_other_language,
    "invented": is_invented,
}


def first_failed_filter(text: str, source: Source, config: CorpusConfig) -> str | None:
    """Return the name of the first filter that rejects a text, or None."""
    for reason, rejects in FILTERS.items():
        if rejects(text, source, config):
            return reason
    return None
