"""Log-likelihoods of options: one row per question and model, and the choice that follows from it.

A sum favors short options, so it is usually divided by a length. Published figures differ in the
length, so it is part of the metric's name (`per_character` is the usual `acc_norm`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from steep.evaluation.questions import Question

Normalizer = Literal["sum", "per_token", "per_character", "per_byte"]
NORMALIZERS: tuple[Normalizer, ...] = ("sum", "per_token", "per_character", "per_byte")


@dataclass(frozen=True, slots=True)
class OptionScores:
    """Natural log-likelihoods and lengths of the options of one question.

    Characters and UTF-8 bytes are those of the option itself, without the space before it.
    """

    sum_logprob: tuple[float, ...]
    tokens: tuple[int, ...]
    characters: tuple[int, ...]
    bytes: tuple[int, ...]

    def likeliest(self, normalizer: Normalizer, count: int = 1) -> list[int]:
        """Return the `count` likeliest options; the first of equally likely ones."""
        values = self.normalized(normalizer)
        return sorted(range(len(values)), key=lambda option: -values[option])[:count]

    def normalized(self, normalizer: Normalizer) -> list[float]:
        """Return the log-likelihood of each option, divided by its length."""
        lengths = {
            "sum": (1,) * len(self.sum_logprob),
            "per_token": self.tokens,
            "per_character": self.characters,
            "per_byte": self.bytes,
        }[normalizer]
        return [value / length for value, length in zip(self.sum_logprob, lengths, strict=True)]


@dataclass(frozen=True, slots=True)
class QuestionRow(OptionScores):
    """A question, and the scores of its options under one model."""

    question_id: str
    document_id: str
    kind: str
    question: str
    options: tuple[str, ...]
    gold: tuple[int, ...]

    def right(self, normalizer: Normalizer) -> bool:
        """Return True if exactly the right options are the likeliest under this normalizer.

        A likelihood ranks options and cannot tell how many are right, so that number is given: if
        two options are right, they must be the two likeliest.
        """
        return {*self.likeliest(normalizer, len(self.gold))} == {*self.gold}

    @property
    def chance(self) -> float:
        """The probability that a random draw of as many options as are right is right."""
        return 1 / math.comb(len(self.options), len(self.gold))


def make_rows(questions: Sequence[Question], scores: Sequence[OptionScores]) -> list[QuestionRow]:
    """Join questions and their scores, in the same order."""
    return [
        QuestionRow(
            question_id=question.id,
            document_id=question.document_id,
            kind=question.kind,
            question=question.question,
            options=question.options,
            gold=question.gold,
            **asdict(each),
        )
        for question, each in zip(questions, scores, strict=True)
    ]


def count_ties(rows: Sequence[QuestionRow], normalizer: Normalizer) -> int:
    """Count the questions with equally likely best options."""
    values = [row.normalized(normalizer) for row in rows]
    return sum(each.count(max(each)) > 1 for each in values)
