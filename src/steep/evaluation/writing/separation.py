"""Separation of questions and corpus: what the prompts of recipes have of the written questions.

Recipes cannot know questions: their prompts are made of documents and earlier answers, in a package
that does not import this one. This check reads what was really sent. It searches the messages of
every call of a recipe in the ledger for the text of a question, for a question's words together
with its answer, and for both supporting sentences of a question that joins two facts. Documents
themselves stand in prompts and have every sentence; they are cut out before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from steep.core.words import word_ngrams, words_of
from steep.evaluation.writing.candidates import QuestionCandidate
from steep.evaluation.writing.sources import Sources
from steep.ledger.ledger import Ledger
from steep.ledger.prompts import parts_of_calls, stored_parts

SHOWN = 20  # occurrences that are kept
START_WORDS = 5  # by which the texts that are searched for are found
ASKED, ANSWERED, JOINED = "question", "answer pair", "sentence pair"


@dataclass(frozen=True, slots=True)
class Leak:
    """A prompt of a recipe with something of a question."""

    question_id: str
    what: str  # one of those above
    recipe: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Separation:
    """The result of the check: searched calls of recipes, prompts with a question, the first few.

    Attributes:
        questions: Searched questions.
        calls: Calls of recipes in the ledger; the texts of imported ones have no prompts.
        leaks: Pairs of a call and a question in it.
    """

    questions: int
    calls: int
    leaks: int
    found: tuple[Leak, ...]


class _Needle(NamedTuple):
    """The words of a text that is searched for: a question, with its answer, or a sentence."""

    question_id: str
    what: str
    words: tuple[str, ...]


class _Needles:
    """All texts that are searched for, found by their first words."""

    def __init__(self, questions: Sequence[QuestionCandidate], sources: Sources) -> None:
        texts = {each.text for each in (*sources.parts, *sources.wholes.values())}
        self._documents = sorted(texts, key=len, reverse=True)
        self._sentences = {each.id: len({*_sentences(each)}) for each in questions}
        self._by_start: dict[tuple[str, ...], list[_Needle]] = {}
        for each in questions:
            for needle in _needles_of(each):
                self._by_start.setdefault(needle.words[:START_WORDS], []).append(needle)
        self._sizes = sorted({*map(len, self._by_start)})

    def find(self, text: str) -> dict[str, str]:
        """Return what a part of a prompt has, by question."""
        if not self._found(text):
            return {}
        for document in self._documents:
            text = text.replace(document, "\n")
        found: dict[str, str] = {}
        for id_, whats in self._found(text).items():
            if ANSWERED in whats or ASKED in whats:
                found[id_] = ANSWERED if ANSWERED in whats else ASKED
            elif len(whats) == self._sentences[id_] > 1:
                found[id_] = JOINED
        return found

    def _found(self, text: str) -> dict[str, set[str]]:
        """Return the needles in a text, by question."""
        words = tuple(words_of(text))
        found: dict[str, set[str]] = {}
        for size in self._sizes:
            for place, start in enumerate(word_ngrams(words, size)):
                for each in self._by_start.get(start, ()):
                    if words[place : place + len(each.words)] == each.words:
                        found.setdefault(each.question_id, set()).add(each.what)
        return found


def _needles_of(question: QuestionCandidate) -> Iterator[_Needle]:
    texts = [(ASKED, question.question)]
    for answer in question.answers:
        pairs = (f"{question.question} {answer}", f"{answer} {question.question}")
        texts += [(ANSWERED, pair) for pair in pairs]
    texts += [(f"sentence {text}", text) for text in _sentences(question)]
    for what, text in texts:
        if words := tuple(words_of(text)):
            yield _Needle(question.id, what, words)


def _sentences(question: QuestionCandidate) -> list[str]:
    """Return the supporting sentences of a question that has several."""
    texts = list(dict.fromkeys(span.text for span in question.spans))
    return texts if len(texts) > 1 else []


def check_separation(
    questions: Sequence[QuestionCandidate], sources: Sources, ledger: Ledger
) -> Separation:
    """Search the prompts of all calls of recipes for the questions."""
    needles = _Needles(questions, sources)
    in_part = {
        part.hash: found for part in stored_parts(ledger) if (found := needles.find(part.text))
    }
    in_short = lru_cache(maxsize=4096)(needles.find)
    calls, leaks, first = 0, 0, list[Leak]()
    for call in parts_of_calls(ledger):
        calls += 1
        found = _merged(
            (*map(in_short, call.short), *(in_part.get(each, {}) for each in call.long))
        )
        leaks += len(found)
        first += [
            Leak(id_, what, call.recipe, call.call_id)
            for id_, what in list(found.items())[: SHOWN - len(first)]
        ]
    return Separation(len(questions), calls, leaks, tuple(first))


def _merged(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {id_: what for each in found for id_, what in each.items()}
