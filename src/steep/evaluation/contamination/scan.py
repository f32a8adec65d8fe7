"""Scan synthetic texts and the prompts that made them for phrases of questions.

Texts pass by one at a time; only the strongest overlap of each question is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from steep.core.calls import RAW_RECIPE
from steep.evaluation.contamination.phrases import PhraseIndex, excerpt
from steep.evaluation.contamination_results import Overlap, PromptOverlap
from steep.evaluation.questions import Question
from steep.ledger.ledger import Ledger
from steep.ledger.prompts import parts_of_calls, stored_parts

Found = tuple[int, int]  # the number of a question, and the length of phrases in words


@dataclass(frozen=True)
class TextScan:
    """The overlaps of all questions with some texts, and the number of texts."""

    overlaps: tuple[Overlap, ...]
    passages: int


@dataclass
class _Tally:
    """What the texts of one recipe have of one question."""

    passages: int = 0
    quoting: int = 0
    best: tuple[bool, int] = (False, 0)  # not only quoted, and the words of the longest run
    passage_id: str = ""
    excerpt: str = ""


@dataclass(frozen=True)
class PromptScan:
    """The overlaps of questions with prompts, and the number of calls by recipe."""

    overlaps: tuple[PromptOverlap, ...]
    calls: dict[str, int] = field(default_factory=dict)


def measure_name(length: int) -> str:
    """Return the name of the measure by phrases of so many words."""
    return f"{length} words"


def scan_texts(
    questions: Sequence[Question], index: PhraseIndex, texts: Iterable[tuple[str, str, str]]
) -> TextScan:
    """Find the questions in texts: (id, recipe, text) of each.

    Phrases in the source documents are rows of their own, of the recipe `documents`.
    """
    tallies: dict[tuple[int, int, str], _Tally] = {}
    passages = 0
    for passage_id, recipe, text in texts:
        passages += 1
        for match in index.find(text):
            tally = tallies.setdefault((match.question, match.length, recipe), _Tally())
            tally.passages += not match.is_quotation
            tally.quoting += match.is_quotation
            rank = (not match.is_quotation, match.words)
            if rank > tally.best:
                tally.best, tally.passage_id = rank, passage_id
                tally.excerpt = excerpt(text, match)
    overlaps = [
        Overlap(
            question_id=questions[number].id,
            measure=measure_name(length),
            recipe=recipe,
            passages=tally.passages,
            quoting=tally.quoting,
            passage_id=tally.passage_id,
            words=tally.best[1],
            similarity=None,
            excerpt=tally.excerpt,
        )
        for (number, length, recipe), tally in sorted(tallies.items())
    ]
    return TextScan((*_of_source(questions, index), *overlaps), passages)


def _of_source(questions: Sequence[Question], index: PhraseIndex) -> Iterator[Overlap]:
    for length, numbers in index.quoted.items():
        for number in sorted(numbers):
            question = questions[number]
            measure, where = measure_name(length), f"{RAW_RECIPE}:{question.document_id}"
            yield Overlap(question.id, measure, RAW_RECIPE, 0, 1, where, length, None, "")


def scan_prompts(questions: Sequence[Question], index: PhraseIndex, ledger: Ledger) -> PromptScan:
    """Find the questions in the messages of every call in the ledger, part by part.

    Phrases that the source documents have do not count: prompts show the documents.
    """
    in_part: dict[str, dict[Found, str]] = {}
    for part in stored_parts(ledger):
        if found := _in_prompt(index, part.text):
            in_part[part.hash] = found
    in_short = lru_cache(maxsize=4096)(lambda text: _in_prompt(index, text))
    calls: Counter[str] = Counter()
    numbers: Counter[tuple[str, Found]] = Counter()
    first: dict[tuple[str, Found], tuple[str, str]] = {}
    for call in parts_of_calls(ledger):
        calls[call.recipe] += 1
        found = {}
        for own in (*map(in_short, call.short), *(in_part.get(each, {}) for each in call.long)):
            found |= own
        for key, text in found.items():
            numbers[call.recipe, key] += 1
            here = (call.call_id, text)
            first[call.recipe, key] = min(here, first.get((call.recipe, key), here))
    overlaps = tuple(
        PromptOverlap(questions[number].id, measure_name(length), recipe, times, *first[named])
        for named, times in sorted(numbers.items())
        for recipe, (number, length) in [named]
    )
    return PromptScan(overlaps, dict(sorted(calls.items())))


def _in_prompt(index: PhraseIndex, text: str) -> dict[Found, str]:
    return {
        (match.question, match.length): excerpt(text, match)
        for match in index.find(text)
        if not match.is_quotation
    }
