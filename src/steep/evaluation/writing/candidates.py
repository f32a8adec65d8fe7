"""Candidates: written questions on their way through the gates, and their form in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from steep.core.ids import derive_seed, stable_hash
from steep.core.permutation import Permutation
from steep.evaluation.questions import SHORT_ANSWER

Kind = Literal["choice", "short-answer", "joined", "across"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HARDEST_FIRST = KINDS[::-1]  # kinds that few texts give come first, and stay of duplicates
OPTIONS = 4
Mark = Literal["written", "reviewed", "edited"]

Gate = Literal[
    "unreadable", "span not in the document", "answer not in the span", "not standing alone",
    "giveaway", "options", "duplicate", "ambiguous between documents", "one sentence is enough",
    "not answerable with the document", "answerable without the document",
    "known to the base model", "rejected in review",
]  # fmt: skip
GATES: tuple[Gate, ...] = get_args(Gate)


@dataclass(frozen=True, slots=True)
class SupportingSpan:
    """A supporting passage: `start` counts characters of the whole document from 0."""

    document_id: str
    start: int
    text: str


def have_common_text(one: SupportingSpan, other: SupportingSpan) -> bool:
    """Return whether two passages overlap in one document."""
    first, second = sorted((one, other), key=lambda each: each.start)
    return one.document_id == other.document_id and second.start < first.start + len(first.text)


@dataclass(frozen=True, slots=True)
class QuestionCandidate:
    """A written question.

    Attributes:
        part_ids: Of the documents (or parts of them) that it was written from.
        document_ids: Of their whole documents; the first one is what it counts for.
        answers: The accepted answers; of a choice, the right option alone.
        wrong: The wrong options; none of a short answer.
        quotes: The supporting passages as the writer gave them.
        spans: Where they stand; empty until they have been found.
    """

    kind: Kind
    part_ids: tuple[str, ...]
    document_ids: tuple[str, ...]
    question: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...]
    quotes: tuple[str, ...]
    spans: tuple[SupportingSpan, ...] = ()
    mark: Mark = "written"
    id: str = ""

    @property
    def own_id(self) -> str:
        """The id that follows from its content; a question keeps it when it is edited."""
        content = [self.kind, self.document_ids, self.question, self.answers, self.wrong]
        return f"{self.document_ids[0]}-{stable_hash(content, 8)}"

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.answers[0]

    @property
    def is_choice(self) -> bool:
        """Whether it has options."""
        return self.kind != SHORT_ANSWER

    def identified(self) -> QuestionCandidate:
        """Return it with its id."""
        return replace(self, id=self.id or self.own_id)


@dataclass(frozen=True, slots=True)
class RejectedQuestion:
    """A candidate, or the unreadable answer of a writer, with the first gate that it failed."""

    gate: Gate
    reason: str
    candidate: QuestionCandidate | None
    text: str = ""  # the unreadable answer

    @property
    def row(self) -> dict[str, Any]:
        """The rejection as plain data."""
        row: dict[str, Any] = {"gate": self.gate, "reason": self.reason}
        if self.candidate is None:
            return row | {"text": self.text}
        each = self.candidate
        return row | {
            "id": each.id,
            "kind": each.kind,
            "documents": list(each.document_ids),
            "question": each.question,
            "answers": list(each.answers),
            "wrong": list(each.wrong),
            "quotes": list(each.quotes),
        }


def option_orders(candidate: QuestionCandidate, seed: int, count: int) -> list[tuple[int, ...]]:
    """Return orders of the options (0 is the right one) for so many questions.

    Of four in a row, each has the right option under another letter: a model that always names one
    letter is right once in four.
    """
    size = 1 + len(candidate.wrong)
    drawn = Permutation(size, derive_seed(seed, "asked order", candidate.id))
    order = [drawn[place] for place in range(size)]
    turns = [turn % size for turn in range(count)]
    return [tuple(order[turn:] + order[:turn]) for turn in turns]


def question_rows(candidates: Sequence[QuestionCandidate], seed: int) -> list[dict[str, Any]]:
    """Return the lines of a question set, ordered by document and id; letters are balanced.

    The right options stand under each letter equally often, but for one question.
    """
    ordered = sorted(candidates, key=lambda each: (each.document_ids[0], each.id))
    choices = sorted(
        (each for each in ordered if each.is_choice), key=lambda each: derive_seed(seed, each.id)
    )
    places = {each.id: place % (1 + len(each.wrong)) for place, each in enumerate(choices)}
    return [_row(each, places.get(each.id), seed) for each in ordered]


def _row(candidate: QuestionCandidate, gold: int | None, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": candidate.id,
        "document_id": candidate.document_ids[0],
        "kind": candidate.kind,
        "question": candidate.question,
    }
    if gold is None:
        row["answers"] = list(candidate.answers)
    else:
        drawn = Permutation(len(candidate.wrong), derive_seed(seed, "wrong options", candidate.id))
        options = [candidate.wrong[drawn[place]] for place in range(len(candidate.wrong))]
        options.insert(gold, candidate.answer)
        row |= {"options": options, "gold": gold}
    return row | {
        "documents": list(candidate.document_ids),
        "parts": list(candidate.part_ids),
        "span": [each.text for each in candidate.spans],
        "span_start": [each.start for each in candidate.spans],
        "span_document": [each.document_id for each in candidate.spans],
        "mark": candidate.mark,
    }


def candidate_of(row: Mapping[str, Any]) -> QuestionCandidate:
    """Return the candidate of a line of a written question set."""
    options = row.get("options", [])
    gold = row.get("gold")
    spans = zip(row["span_document"], row["span_start"], row["span"], strict=True)
    return QuestionCandidate(
        kind=row["kind"],
        part_ids=tuple(row["parts"]),
        document_ids=tuple(row["documents"]),
        question=row["question"],
        answers=tuple(row["answers"]) if gold is None else (options[gold],),
        wrong=tuple(each for place, each in enumerate(options) if place != gold),
        quotes=tuple(row["span"]),
        spans=tuple(SupportingSpan(*each) for each in spans),
        mark=row["mark"],
        id=row["id"],
    )
