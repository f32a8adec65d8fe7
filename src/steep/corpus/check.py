"""What is found out about one candidate by itself: its final text, or why it is rejected.

Pure functions of a candidate, its source document and the settings, so that they run on all cores.
What depends on other passages (duplicates, ranks, ids) follows in `build.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from steep.core.near_duplicates import Sketch, sketch_of
from steep.core.words import count_words, fold
from steep.corpus.config import CorpusConfig
from steep.corpus.echo import runs_of
from steep.corpus.filters import Source, first_failed_filter, source_language
from steep.corpus.passage import Candidate
from steep.corpus.phrases import talks_about_task, without_assistant_phrases
from steep.documents.clean import clean_text
from steep.documents.names import words_of
from steep.documents.sentences import trim_to_sentence

SOURCES_KEPT = 64
KEY_BYTES = 8  # two of a million texts agree by chance with a probability of 3e-8


class Checked(NamedTuple):
    """The text of a candidate, and the reason if it is rejected."""

    text: str
    words: int
    key: bytes  # hash of its normalized text; empty if it is rejected
    sketch: Sketch | None  # for near-duplicates, if they are looked for
    reason: str | None = None
    is_trimmed: bool = False
    lost_phrases: bool = False  # assistant phrases around it were removed


class Batch(NamedTuple):
    """Candidates, and the titles and texts of each whole document that they are about."""

    candidates: Sequence[Candidate]
    whole_ids: Sequence[str | None]  # of each candidate's document; None if it is unknown
    documents: dict[str, tuple[str, ...]]


def check_batch(config: CorpusConfig, batch: Batch) -> list[Checked]:
    """Check the candidates of a batch."""
    return [
        check(candidate, None if whole is None else source_of(batch.documents[whole]), config)
        for candidate, whole in zip(batch.candidates, batch.whole_ids, strict=True)
    ]


def check(candidate: Candidate, source: Source | None, config: CorpusConfig) -> Checked:
    """Return the passage text of a candidate, or the reason why it is rejected."""
    said = clean_text(candidate.text)
    whole = candidate.text if candidate.is_passage else without_assistant_phrases(said)
    trims = candidate.status == "truncated" and config.truncated == "trim"
    text = trim_to_sentence(whole) if trims else whole
    reason = _failed(candidate, source, text, trims, config)
    if reason is not None:
        return Checked("", 0, b"", None, reason)
    found = kept(text, config)
    lost_phrases = whole != said and not candidate.is_passage
    if candidate.quotes:  # two texts with one quotation are no duplicates of each other
        found = found._replace(sketch=None)
    return found._replace(is_trimmed=trims, lost_phrases=lost_phrases)


def kept(text: str, config: CorpusConfig) -> Checked:
    """Return what is found out about a text that is not rejected."""
    threshold = config.near_duplicates
    sketch = None if threshold is None else sketch_of(text, threshold)
    return Checked(text, count_words(text), _key(text), sketch)


@lru_cache(maxsize=SOURCES_KEPT)
def source_of(texts: tuple[str, ...]) -> Source:
    """Return what the filters need of a document with these titles and texts."""
    whole = "\n".join(texts)
    return Source(source_language(texts), words_of(whole), runs_of(whole), talks_about_task(whole))


def _failed(
    candidate: Candidate, source: Source | None, text: str, trims: bool, config: CorpusConfig
) -> str | None:
    if candidate.rejected is not None:
        return candidate.rejected
    if candidate.status not in ("done", *_accepted(config)):
        return candidate.status
    if trims and not text:
        return "truncated"
    if source is None:
        return "unknown-document"
    runs = frozenset[int]() if candidate.quotes else source.runs
    prompt = () if candidate.quotes else candidate.prompt
    return first_failed_filter(text, replace(source, prompt=prompt, runs=runs), config)


def _accepted(config: CorpusConfig) -> list[str]:
    """Return the statuses beside "done" with which a text goes on to the filters."""
    accepted = ["truncated"] * (config.truncated != "drop")
    return accepted + ["refused"] * (not config.filters.refused)


def _key(text: str) -> bytes:
    normalized = " ".join(fold(text).split())
    return hashlib.blake2b(normalized.encode(), digest_size=KEY_BYTES).digest()
