"""Separation of questions and corpus: what the prompts of recipes have of the written questions.

Recipes cannot know questions: their prompts are made of documents and earlier answers, in a package
that does not import this one. This check reads what was really sent. It searches the messages of
every call of a recipe in the ledger for the text of a question, for a question's words together
with its answer, and for both supporting sentences of a question that joins two facts. Documents
themselves stand in prompts and have every sentence; they are cut out before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from steep.core.words import words_of
from steep.evaluation.writing.candidates import Candidate
from steep.evaluation.writing.sources import Sources
from steep.ledger.ledger import Ledger
from steep.ledger.prompts import parts_of_calls, stored_parts

SHOWN = 20  # occurrences that are kept


@dataclass(frozen=True, slots=True)
class Leak:
    """A prompt of a recipe with something of a question."""

    question_id: str
    what: str  # "question", "answer pair" or "sentence pair"
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


class _Needles:
    """The word sequences of the questions, and the documents that are cut out of prompts."""

    def __init__(self, questions: Sequence[Candidate], sources: Sources) -> None:
        texts = {each.text for each in (*sources.parts, *sources.wholes.values())}
        self._documents = sorted(texts, key=len, reverse=True)
        self._asked = {each.id: _joined(each.question) for each in questions}
        self._answers = {
            each.id: (_joined(f"{each.question} {answer}"), _joined(f"{answer} {each.question}"))
            for each in questions
            for answer in each.answers[:1]
        }
        self._pairs = {
            each.id: [_joined(span.text) for span in each.spans]
            for each in questions
            if len({span.text for span in each.spans}) > 1
        }

    def find(self, text: str) -> dict[str, str]:
        """Return what a part of a prompt has, by question."""
        for document in self._documents:
            text = text.replace(document, "\n")
        words = _joined(text)
        found = {id_: "question" for id_, asked in self._asked.items() if asked in words}
        found |= {
            id_: "answer pair"
            for id_, pairs in self._answers.items()
            if id_ in found and any(pair in words for pair in pairs)
        }
        for id_, sentences in self._pairs.items():
            if id_ not in found and all(sentence in words for sentence in sentences):
                found[id_] = "sentence pair"
        return found


def _joined(text: str) -> str:
    """Return the words of a text between blanks, so that words are found whole."""
    return f" {' '.join(words_of(text))} "


def check_separation(
    questions: Sequence[Candidate], sources: Sources, ledger: Ledger
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
