"""Questions in, rows out: the one way from an engine to `AnswerRow`s, whichever engine it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steep.documents.document import Document
from steep.evaluation.answer_rows import AnswerRow, prompt_hash
from steep.evaluation.engines import (
    TOO_LONG,
    AnswerEngine,
    Decoding,
    Output,
    Progress,
    PromptTooLong,
    no_progress,
)
from steep.evaluation.few_shot import (
    SHORT_STOP,
    STOP,
    few_shot_prompt,
    open_book_prompt,
    short_answer_prompt,
)
from steep.evaluation.option_order import option_order, options_of
from steep.evaluation.parsers import parse
from steep.evaluation.protocols import Protocol
from steep.evaluation.questions import Question

SHORT_TOKENS = 48


def ask(
    engine: AnswerEngine,
    model: str,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    protocol: Protocol,
    *,
    seed: int = 0,
    contexts: Sequence[Sequence[str]] | None = None,
    on_progress: Progress = no_progress,
) -> list[AnswerRow]:
    """Ask choices by few-shot thought processes; closed book, or with each question's contexts.

    Args:
        engine: Who answers.
        model: What rows and tables call it.
        questions: All of one set, so that the prompts can say whether several may be right.
        documents: The document (or a part of it) of each whole id that questions name.
        protocol: Samples, temperature, parser and so on.
        seed: Of all samples.
        contexts: The retrieved texts of each question, in the order in which they are shown.
        on_progress: Told the texts done and their total.

    Raises:
        UserError: A prompt outgrows the context, or the engine gives no answer to one.
    """
    prompts, orders = choice_prompts(questions, documents, protocol, contexts)
    decoding = Decoding(protocol.samples, protocol.temperature, protocol.max_tokens, (STOP,), seed)
    outputs = _generated(engine, prompts, decoding, on_progress)
    return [
        _row(model, question, prompt, order, sample, output, protocol)
        for question, prompt, order, each in zip(questions, prompts, orders, outputs, strict=True)
        for sample, output in enumerate(each)
    ]


def choice_prompts(
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    protocol: Protocol,
    contexts: Sequence[Sequence[str]] | None = None,
) -> tuple[list[str], list[tuple[int, ...]]]:
    """The prompt of each question, and the order in which it shows the options."""
    several = any(len(question.gold) != 1 for question in questions)
    orders = [option_order(each.id, len(each.options), protocol.order_seed) for each in questions]
    named = [documents[question.document_id] for question in questions]
    if contexts is None:
        closed = zip(questions, named, orders, strict=True)
        return [few_shot_prompt(*each, several) for each in closed], orders
    opened = zip(questions, named, orders, contexts, strict=True)
    return [open_book_prompt(*each, several) for each in opened], orders


def ask_short(
    engine: AnswerEngine,
    model: str,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    *,
    seed: int = 0,
    on_progress: Progress = no_progress,
) -> list[AnswerRow]:
    """Ask for short answers in the model's own words, greedily; one line each."""
    prompts = [short_answer_prompt(each, documents[each.document_id]) for each in questions]
    decoding = Decoding(max_tokens=SHORT_TOKENS, stop=(SHORT_STOP,), seed=seed)
    outputs = _generated(engine, prompts, decoding, on_progress)
    return [
        _row(model, question, prompt, (), 0, output, None)
        for question, prompt, (output,) in zip(questions, prompts, outputs, strict=True)
    ]


def _generated(
    engine: AnswerEngine, prompts: Sequence[str], decoding: Decoding, on_progress: Progress
) -> list[list[Output]]:
    """The texts; a question without one is no wrong answer."""
    outputs = engine.generate(prompts, decoding, on_progress)
    for prompt, each in zip(prompts, outputs, strict=True):
        if any(output.finish_reason == TOO_LONG for output in each):
            raise PromptTooLong(
                "A prompt with its answer is longer than the model's context.",
                where=f"the prompt that ends in {prompt[-200:]!r}",
                hint="give fewer or shorter contexts, or take a model with a longer context",
            )
    return outputs


def _row(
    model: str,
    question: Question,
    prompt: str,
    order: tuple[int, ...],
    sample: int,
    output: Output,
    protocol: Protocol | None,
) -> AnswerRow:
    parsed, why_not = None, None
    if protocol is not None:
        letters, why_not = parse(output.text, len(order), protocol.parser)
        parsed = None if why_not else options_of(letters, order)
    return AnswerRow(
        model=model,
        question_id=question.id,
        document_id=question.document_id,
        kind=question.kind,
        sample=sample,
        seed=output.seed,
        prompt=prompt,
        prompt_hash=prompt_hash(prompt),
        output=output.text.strip() if protocol is None else output.text,
        finish_reason=output.finish_reason,
        options=question.options,
        order=order,
        gold=question.gold,
        answers=question.answers,
        parsed=parsed,
        why_not=why_not,
        logprob=output.logprob,
    )
