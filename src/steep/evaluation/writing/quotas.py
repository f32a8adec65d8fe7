"""How many questions of which kind are wanted of each document, and who is asked for what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.ids import derive_seed
from steep.core.words import CHARACTERS_PER_WORD, count_words, is_unspaced, word_spans
from steep.documents.clean import one_line
from steep.documents.document import Document
from steep.evaluation.writing.candidates import KINDS, Kind
from steep.evaluation.writing.config import KindShares, QuestionsConfig
from steep.evaluation.writing.sources import Sources

MOST_PER_CALL = 8  # questions
SHOWN_WORDS = 6  # at both ends of a section
SPARE = 0.5  # further ones, of those missing: the call costs little more, and some will fail


class Slot(NamedTuple):
    """A kind of question about a part of a document."""

    part_id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Order:
    """One call of the writer: so many questions of a kind about these parts.

    Of several calls about the same text, each asks about a section of it, from its first words to
    its last ones.
    """

    parts: tuple[Document, ...]
    kind: Kind
    count: int
    section: tuple[str, str] | None = None

    @property
    def slot(self) -> Slot:
        """What it fills."""
        return Slot(self.parts[0].id, self.kind)


def wanted(sources: Sources, settings: QuestionsConfig) -> Counter[Slot]:
    """Return the number of questions per part and kind.

    A document has questions in proportion to its length; kinds take turns by their shares over all
    documents, so that short documents together have each kind, too.
    """
    usable = _usable_shares(sources, settings.shares)
    slots: Counter[Slot] = Counter()
    given: Counter[Kind] = Counter()
    for part_id in _turns(sources, settings):
        kind = max(usable, key=lambda each: usable[each] * (given.total() + 1) - given[each])
        given[kind] += 1
        slots[Slot(part_id, kind)] += 1
    return slots


def _usable_shares(sources: Sources, shares: KindShares) -> dict[Kind, float]:
    """Return the shares by kind; without a second document, none joins two."""
    numbers = (shares.choice, shares.short_answer, shares.joined, shares.across)
    found = {kind: share for kind, share in zip(KINDS, numbers, strict=True) if share}
    if len(sources.wholes) == 1 and len(found) > 1:
        found.pop("across", None)
    total = sum(found.values())
    return {kind: share / total for kind, share in found.items()}


def _turns(sources: Sources, settings: QuestionsConfig) -> Iterator[str]:
    """Yield the part of each question; the parts of a document share its number by length."""
    by_whole: dict[str, list[Document]] = {}
    for part in sources.parts:
        by_whole.setdefault(part.whole_id, []).append(part)
    for parts in by_whole.values():
        lengths = [words_in(part.own_text) for part in parts]
        number = round(settings.per_1000_words * sum(lengths) / 1000)
        number = min(max(1, number), settings.max_per_document)
        passed = 0.0
        given = 0
        for part, length in zip(parts, lengths, strict=True):
            passed += length
            upto = round(number * passed / max(1, sum(lengths)))
            yield from [part.id] * (upto - given)
            given = upto
        yield from [parts[-1].id] * (number - given)


def words_in(text: str) -> float:
    """Return the length of a text in words; two characters of an unspaced script are one."""
    unspaced = 0 if text.isascii() else sum(map(is_unspaced, text))
    return count_words(text) - unspaced + unspaced / CHARACTERS_PER_WORD


def orders(missing: Mapping[Slot, int], sources: Sources, seed: int) -> list[Order]:
    """Return the calls of the writer for what is missing and some spare, by document."""
    found: list[Order] = []
    for part in sources.parts:
        for kind in KINDS:
            count = math.ceil((1 + SPARE) * missing.get(Slot(part.id, kind), 0))
            calls = -(-count // MOST_PER_CALL)
            for sample in range(calls):
                own = count * (sample + 1) // calls - count * sample // calls
                parts = (part, *_partner(part, kind, sample, sources, seed))
                section = _section(part.own_text, sample, calls) if calls > 1 else None
                found.append(Order(parts, kind, own, section))
    return found


def _section(text: str, number: int, sections: int) -> tuple[str, str]:
    """Return the first and the last words of one of several sections of about equal length."""
    spans = word_spans(text)
    first, end = (len(spans) * each // sections for each in (number, number + 1))
    own = spans[first : max(end, first + 1)] or spans[-1:]
    shown = own[:SHOWN_WORDS], own[-SHOWN_WORDS:]
    begin, finish = (one_line(text[each[0][0] : each[-1][1]]) for each in shown)
    return begin, finish


def _partner(
    part: Document, kind: Kind, sample: int, sources: Sources, seed: int
) -> Sequence[Document]:
    """Return the second text of a question across documents: one of the nearest."""
    if kind != "across":
        return ()
    near = sources.near(part) or [each for each in sources.parts if each.whole_id != part.whole_id]
    return (near[derive_seed(seed, "partner", part.id, sample) % len(near)],) if near else ()
