"""Rows: one per model, question and sample of a written answer, or per scored question.

An `AnswerRow` holds the prompt and the text, so that any parser or vote can be applied to it later.
A `QuestionRow` holds the log-likelihoods of the options. A sum favors short options, so it is
usually divided by a length. Published figures differ in the length, so it is part of the metric's
name (`per_character` is the usual `acc_norm`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from steep.documents.document import Document
from steep.evaluation.engines import (
    TOO_LONG,
    AnswerEngine,
    Decoding,
    Normalizer,
    OptionScores,
    Output,
    Progress,
    PromptTooLong,
    no_progress,
)
from steep.evaluation.prompts import (
    SHORT_STOP,
    STOP,
    few_shot_prompt,
    option_order,
    short_answer_prompt,
)
from steep.evaluation.questions import Question
from steep.evaluation.results import AnswerProtocol

SHORT_TOKENS = 48


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One text that one model wrote about one question."""

    model: str  # name of the model in tables
    question_id: str
    document_id: str  # id of the whole document that it is about
    kind: str
    sample: int  # number of the text, counted from 0
    seed: int
    prompt: str
    output: str
    finish_reason: str  # "stop" or "length", or another reason that a server gives
    options: tuple[str, ...]  # in the order of the file; empty for a short answer
    order: tuple[int, ...]  # the option that was shown at each place
    gold: tuple[int, ...]  # the right options; empty for a short answer
    answers: tuple[str, ...]  # the accepted texts of a short answer
    logprob: float | None  # of the output, if the engine returns it


def ask_choices(
    engine: AnswerEngine,
    model: str,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    protocol: AnswerProtocol,
    *,
    seed: int = 0,
    contexts: Sequence[Sequence[str]] | None = None,
    on_progress: Progress = no_progress,
) -> list[AnswerRow]:
    """Ask choices by few-shot thought processes; closed book, or with each question's contexts.

    The questions are all of one set, so that the prompts can state whether several may be right;
    `contexts` are the retrieved texts of each question, in the order in which they are shown.
    """
    prompts, orders = choice_prompts(questions, documents, protocol, contexts)
    decoding = Decoding(protocol.samples, protocol.temperature, protocol.max_tokens, (STOP,), seed)
    outputs = _generated(engine, prompts, decoding, on_progress)
    return [
        _row(model, question, prompt, order, sample, output)
        for question, prompt, order, each in zip(questions, prompts, orders, outputs, strict=True)
        for sample, output in enumerate(each)
    ]


def choice_prompts(
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    protocol: AnswerProtocol,
    contexts: Sequence[Sequence[str]] | None = None,
) -> tuple[list[str], list[tuple[int, ...]]]:
    """Return the prompt of each question, and the order in which it shows the options."""
    several = any(len(question.gold) != 1 for question in questions)
    orders = [option_order(each.id, len(each.options), protocol.order_seed) for each in questions]
    shown: Sequence[Sequence[str] | None] = contexts or [None] * len(questions)
    prompts = [
        few_shot_prompt(each, documents[each.document_id], order, several, context)
        for each, order, context in zip(questions, orders, shown, strict=True)
    ]
    return prompts, orders


def ask_short(
    engine: AnswerEngine,
    model: str,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    *,
    on_progress: Progress = no_progress,
) -> list[AnswerRow]:
    """Ask for short answers in the model's own words, one line each, greedily."""
    prompts = [short_answer_prompt(each, documents[each.document_id]) for each in questions]
    decoding = Decoding(max_tokens=SHORT_TOKENS, stop=(SHORT_STOP,))
    outputs = _generated(engine, prompts, decoding, on_progress)
    return [
        _row(model, question, prompt, (), 0, output._replace(text=output.text.strip()))
        for question, prompt, (output,) in zip(questions, prompts, outputs, strict=True)
    ]


def _generated(
    engine: AnswerEngine, prompts: Sequence[str], decoding: Decoding, on_progress: Progress
) -> list[list[Output]]:
    """Generate the texts; a missing text is an error, not a wrong answer."""
    outputs = engine.generate(prompts, decoding, on_progress)
    for prompt, each in zip(prompts, outputs, strict=True):
        if any(output.finish_reason == TOO_LONG for output in each):
            raise PromptTooLong(f"the prompt that ends in {prompt[-200:]!r}")
    return outputs


def _row(
    model: str, asked: Question, prompt: str, order: tuple[int, ...], sample: int, output: Output
) -> AnswerRow:
    return AnswerRow(
        model=model,
        question_id=asked.id,
        document_id=asked.document_id,
        kind=asked.kind,
        sample=sample,
        seed=output.seed,
        prompt=prompt,
        output=output.text,
        finish_reason=output.finish_reason,
        options=asked.options,
        order=order,
        gold=asked.gold,
        answers=asked.answers,
        logprob=output.logprob,
    )


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

        A likelihood ranks options and does not show how many are right, so that number is given: if
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


def one_right(rows: Iterable[QuestionRow]) -> list[QuestionRow]:
    """Return the questions with one right option out of several."""
    return [row for row in rows if len(row.gold) == 1 < len(row.options)]


def count_ties(rows: Sequence[QuestionRow], normalizer: Normalizer) -> int:
    """Count the questions with equally likely best options."""
    values = [row.normalized(normalizer) for row in rows]
    return sum(each.count(max(each)) > 1 for each in values)
