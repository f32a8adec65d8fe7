"""Open book: the grid of ways to show retrieved texts; one artifact per model and variant."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.errors import UserError
from steep.core.files import write_rows
from steep.core.progress import Progress
from steep.evaluation.answers import AnswerRow, ask
from steep.evaluation.document_index import DocumentIndex
from steep.evaluation.engines import AnswerEngine, NoLikelihoods, PromptTooLong, no_progress
from steep.evaluation.engines import Progress as OnProgress
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.methods.common import (
    ROWS_NAME,
    VERSION,
    Method,
    Session,
    remove_outputs,
    resumable,
    text_progress,
)
from steep.evaluation.methods.open_book_result import STAGE, cell_of, chosen_variant, result_of
from steep.evaluation.option_rows import OptionScores, QuestionRow, make_rows
from steep.evaluation.prompts import open_book_likelihood_prompt
from steep.evaluation.protocols import asking_fields, protocol_of
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.results import AnswerProtocol
from steep.evaluation.setup import EvaluationSetup

log = logging.getLogger("steep")


@dataclass(frozen=True)
class RetrievalVariant:
    """How contexts are shown; without a chunk size, the whole document is shown."""

    chunk_characters: int | None
    shown: int
    order: str
    temperature: float | None  # None where likelihoods are compared

    def __str__(self) -> str:
        if self.chunk_characters is None:
            return "whole document"
        heat = "" if self.temperature is None else f", temperature {self.temperature}"
        order = self.order.replace("_", " ")
        return f"{self.shown} chunks of {self.chunk_characters}, {order}{heat}"


def check(setup: EvaluationSetup, question_set: QuestionSet) -> None:
    """Check the settings of the open book, before anything is spent.

    Raises:
        UserError: An embedder or reranker lacks its model or endpoint, or a split has no question.
    """
    settings = setup.open_book
    if not question_set.everything:
        raise UserError(
            "An open book needs questions with options.",
            where="evaluate.questions",
            hint="set open_book.chunk_characters to [] to ask short answers only",
        )
    for part, kinds in (("embedder", {"endpoint", "sentence-transformers"}),
                        ("reranker", {"endpoint", "cross-encoder"})):  # fmt: skip
        kind = getattr(settings, part)
        field = f"{part}_server" if kind == "endpoint" else f"{part}_model"
        if kind in kinds and not getattr(settings, field):
            expected = "base_url and model" if kind == "endpoint" else "the directory of its model"
            raise UserError(
                f"The {part} '{kind}' is not described.",
                where=f"open_book.{field}",
                expected=expected,
            )
    if settings.choose_on_validation:
        for side in ("validation", "test"):
            if not question_set.side(side):
                raise UserError(
                    f"Choosing the best variant needs questions about {side} documents.",
                    where="open_book.choose_on_validation",
                    expected="enough documents: sorted by title, the first fifth is for validation",
                    hint="set it to false: all questions are then asked in the whole grid",
                )


def ask_grid(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask one model the whole grid, and its best variant again if one is chosen."""
    question_set, doc_index = session.question_set, session.doc_index
    settings, name = eval_model.setup.open_book, eval_model.name
    if question_set is None or doc_index is None:
        return
    if settings.models and name not in settings.models:
        return
    if settings.method == "likelihood" and not eval_model.gives_likelihoods:
        log.warning("%s: not asked open book, a chat endpoint has no likelihoods", name)
        return
    try:
        yield from _grid(question_set, eval_model, doc_index)
    except NoLikelihoods as error:
        log.warning("%s: not asked open book. %s", name, error)


def _grid(
    question_set: QuestionSet, eval_model: EvalModel, doc_index: DocumentIndex
) -> Iterator[Artifact]:
    settings, variants = eval_model.setup.open_book, variants_of(eval_model.setup)
    if settings.choose_on_validation:
        yield from _chosen(question_set, eval_model, doc_index, variants)
    else:
        for variant in variants:
            yield from _cell(question_set, eval_model, doc_index, variant, question_set.split)
    if settings.oracle:
        whole = RetrievalVariant(None, 1, settings.orders[0], variants[0].temperature)
        split = "test" if settings.choose_on_validation else question_set.split
        yield from _cell(question_set, eval_model, doc_index, whole, split)


def _chosen(
    question_set: QuestionSet,
    eval_model: EvalModel,
    doc_index: DocumentIndex,
    variants: Sequence[RetrievalVariant],
) -> Iterator[Artifact]:
    """Ask the whole grid on the validation split, and its best variant on the test split."""
    cells = []
    for variant in variants:
        *before, artifact = _cell(question_set, eval_model, doc_index, variant, "validation")
        yield from (*before, artifact)
        cells.append(cell_of(artifact, eval_model.setup))
    if best := chosen_variant(cells):
        variant = variants[cells.index(best)]
        log.info("open book %s: best on validation: %s", eval_model.name, variant)
        yield from _cell(question_set, eval_model, doc_index, variant, "test")


def variants_of(setup: EvaluationSetup) -> list[RetrievalVariant]:
    """Return every combination of the settings."""
    settings = setup.open_book
    heats: Sequence[float | None] = (None,)
    if settings.method == "answers":
        heats = settings.temperatures or (protocol_of(setup.evaluate).temperature,)
    grid = product(settings.chunk_characters, settings.shown, settings.orders, heats)
    return [RetrievalVariant(*each) for each in grid]


def _cell(
    question_set: QuestionSet,
    eval_model: EvalModel,
    doc_index: DocumentIndex,
    variant: RetrievalVariant,
    split: str,
) -> Iterator[Artifact]:
    """Build the artifact of one variant, after that of its retrieval."""
    settings = eval_model.setup.open_book
    questions = question_set.questions if split == question_set.split else question_set.side(split)
    inputs = {"documents": question_set.documents, **eval_model.inputs}
    if variant.chunk_characters is not None:
        inputs["retrieve"] = doc_index.retrieve(variant.chunk_characters, eval_model)
        yield inputs["retrieve"]
    protocol = protocol_at(eval_model.setup, variant)
    fields = {
        **eval_model.fields,
        "evaluate.questions": question_set.content,
        "evaluate.split": split,
        "open_book.method": settings.method,
        "open_book.chunk_characters": variant.chunk_characters,
        "open_book.shown": variant.shown,
        "open_book.order": variant.order,
        **(asking_fields(protocol, eval_model.setup.evaluate.seed) if protocol else {}),
    }

    def make(directory: Path) -> dict[str, Any]:
        manifest = {"model": eval_model.name, "variant": str(variant), "questions": len(questions)}
        try:
            _ask(question_set, eval_model, doc_index, variant, questions, protocol, directory)
        except PromptTooLong as error:
            log.warning("open book %s, %s: left out. %s", eval_model.name, variant, error.problem)
            return {**manifest, "left_out": " ".join(str(error).split())}
        return manifest

    yield build(
        eval_model.setup.project, Identity(STAGE, VERSION, fields, inputs), make, one_of_many=True
    )


def _ask(
    question_set: QuestionSet,
    eval_model: EvalModel,
    doc_index: DocumentIndex,
    variant: RetrievalVariant,
    questions: Sequence[Question],
    protocol: AnswerProtocol | None,
    directory: Path,
) -> None:
    texts = contexts(doc_index, eval_model, variant, questions)
    label = f"open book {eval_model.name}, {variant}"
    if protocol is None:
        options = sum(len(question.options) for question in questions)
        progress = Progress(label, options, "options")
        scores = option_scores(
            question_set, eval_model.engine, questions, texts, lambda done, _: progress.update(done)
        )
        progress.finish(f"{len(questions)} questions")
        write_rows(directory / ROWS_NAME, make_rows(questions, scores), QuestionRow)
        return
    rows = ask(
        resumable(eval_model, directory), eval_model.name, questions, question_set.by_id, protocol,
        seed=eval_model.setup.evaluate.seed, contexts=texts,
        on_progress=text_progress(label, len(questions) * protocol.samples),
    )  # fmt: skip
    write_rows(directory / ROWS_NAME, rows, AnswerRow)
    remove_outputs(directory)


def contexts(
    doc_index: DocumentIndex,
    eval_model: EvalModel,
    variant: RetrievalVariant,
    questions: Sequence[Question],
) -> list[list[str]]:
    """Return the texts that are shown before each question.

    A plan, whose index is in memory, does not wait for local models.
    """
    if variant.chunk_characters is None:
        return doc_index.whole_documents(questions)
    if doc_index.in_memory and doc_index.is_slow:
        return [doc_index.first_chunks(variant.chunk_characters, variant.shown)] * len(questions)
    return doc_index.contexts(
        variant.chunk_characters, eval_model, questions, variant.shown, variant.order
    )


def option_scores(
    question_set: QuestionSet,
    engine: AnswerEngine,
    questions: Sequence[Question],
    texts: Sequence[Sequence[str]],
    on_progress: OnProgress = no_progress,
) -> list[OptionScores]:
    """Return the likelihoods of the options of every question, after its contexts."""
    asked = zip(questions, texts, strict=True)
    prompts = [
        open_book_likelihood_prompt(q, question_set.by_id[q.document_id], shown)
        for q, shown in asked
    ]
    return engine.logprobs(prompts, [question.options for question in questions], on_progress)


def protocol_at(setup: EvaluationSetup, variant: RetrievalVariant) -> AnswerProtocol | None:
    """Return the protocol at the temperature of a variant; None for likelihoods."""
    if setup.open_book.method == "likelihood":
        return None
    named = protocol_of(setup.evaluate)
    return named if variant.temperature is None else replace(named, temperature=variant.temperature)


METHOD = Method(STAGE, ask_grid, result_of)
