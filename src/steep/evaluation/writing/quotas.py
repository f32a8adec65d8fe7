"""How many questions of which kind are wanted of each document, and who is asked for what."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.errors import UserError
from steep.core.words import CHARACTERS_PER_WORD, count_words, is_unspaced, word_spans
from steep.documents.clean import one_line
from steep.documents.document import Document
from steep.documents.pieces import sentence_starts, word_starts
from steep.evaluation.writing.candidates import HARDEST_FIRST, KINDS, Kind
from steep.evaluation.writing.config import QuestionsConfig
from steep.evaluation.writing.sources import Sources

MOST_PER_CALL = 8  # questions
SHOWN_WORDS = 6  # at both ends of a section
SPARE = 0.5  # further ones, of those missing: the call costs little more, and some will fail


class QuestionSlot(NamedTuple):
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
    def slot(self) -> QuestionSlot:
        """What it fills."""
        return QuestionSlot(self.parts[0].id, self.kind)


def wanted(sources: Sources, settings: QuestionsConfig) -> Counter[QuestionSlot]:
    """Return the number of questions per part and kind.

    Their number per document is in proportion to its length; kinds take turns by their shares
    over all documents, so that short documents together have each kind, too. Where no document is
    related, the other kinds have the turns of questions across documents.

    Raises:
        UserError: Only questions across documents are wanted, and no two documents are related.
    """
    own = settings.shares
    shares = dict(zip(KINDS, (own.choice, own.short_answer, own.joined, own.across), strict=True))
    slots: Counter[QuestionSlot] = Counter()
    credit = dict.fromkeys(KINDS, 0.0)
    for part_id in _turns(sources, settings):
        is_related = bool(sources.near(sources.by_id[part_id]))
        usable = {k: n for k, n in shares.items() if n and (is_related or k != "across")}
        for kind, share in usable.items():
            credit[kind] += share / sum(usable.values())
        if usable:
            kind = max(usable, key=lambda each: credit[each])
            credit[kind] -= 1
            slots[QuestionSlot(part_id, kind)] += 1
    if not slots:
        raise UserError(
            "No two documents are related, so no question can join them.",
            where="questions.shares",
            expected="a share of another kind than across",
            found=f"across alone, and {len(sources.wholes)} documents",
        )
    return slots


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


def orders(missing: Mapping[QuestionSlot, int], sources: Sources, turn: int = 0) -> list[Order]:
    """Return the calls of the writer for what is missing and some spare, by kind and document.

    Kinds that few texts give come first. In each turn, the questions across documents join other
    ones of the nearest documents.
    """
    found: list[Order] = []
    for kind in HARDEST_FIRST:
        for part in sources.parts:
            count = math.ceil((1 + SPARE) * missing.get(QuestionSlot(part.id, kind), 0))
            calls = -(-count // MOST_PER_CALL)
            near = sources.near(part) if kind == "across" and calls else ()
            for sample in range(calls):
                own = count * (sample + 1) // calls - count * sample // calls
                parts = (part, near[(turn + sample) % len(near)]) if near else (part,)
                section = _section(part.own_text, sample, calls) if calls > 1 else None
                found.append(Order(parts, kind, own, section))
    return found


def _section(text: str, number: int, sections: int) -> tuple[str, str]:
    """Return the first and the last words of one of several sections of about equal length.

    Sections end with a sentence; those of a text with fewer sentences, with a word.
    """
    starts = sentence_starts(text)
    if len(starts) < 2 * sections:
        starts = word_starts(text)
    cuts = [0, *starts, len(text)]
    first, end = (bisect_left(cuts, len(text) * each // sections) for each in (number, number + 1))
    first = min(first, len(cuts) - 2)
    own = text[cuts[first] : cuts[max(end, first + 1)]]
    spans = word_spans(own)
    shown = spans[:SHOWN_WORDS], spans[-SHOWN_WORDS:]
    begin, finish = (one_line(own[each[0][0] : each[-1][1]]) for each in shown)
    return begin, finish
