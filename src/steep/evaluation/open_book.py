"""Stage 6, open book: every cell of the grid for one model, an artifact each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.errors import UserError
from steep.core.progress import Progress
from steep.evaluation.answer_rows import read_answers, write_answers
from steep.evaluation.answering import ask
from steep.evaluation.closed_book import OUTPUTS_NAME, ROWS_NAME, kept, told
from steep.evaluation.compare import Grade
from steep.evaluation.document_index import DocumentIndex
from steep.evaluation.engines import AnswerEngine, NoLikelihoods, PromptTooLong, no_progress
from steep.evaluation.engines import Progress as ToldProgress
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.normalizers import Normalizer, OptionScores
from steep.evaluation.open_book_table import GridPoint, chosen_variant
from steep.evaluation.prompts import open_book_prompt
from steep.evaluation.protocols import Protocol, asking_fields, protocol_of
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.rows import make_rows, read_rows, write_rows
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.tables import answer_grades, answers_chance, likelihood_grades, mean_chance

log = logging.getLogger("steep")

VERSION = 2
STAGE = "open-book"


@dataclass(frozen=True)
class RetrievalVariant:
    """How texts are shown; without a chunk size it is the whole document."""

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
    """Refuse what cannot be asked, before anything is spent.

    Raises:
        UserError: The embedder or reranker lacks its name, or there is nothing to choose by.
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
                    f"There is no question about a {side} document, to choose the best way by.",
                    where="open_book.choose_on_validation",
                    expected="documents enough: sorted by title, the first fifth is for validation",
                    hint="set it to false: the whole grid is then asked of all questions",
                )


def run(
    question_set: QuestionSet, eval_model: EvalModel, doc_index: DocumentIndex
) -> Iterator[Artifact]:
    """Ask one model the whole grid, and the best cell of it again where one is chosen."""
    settings = eval_model.setup.open_book
    if settings.models and eval_model.name not in settings.models:
        return
    if settings.method == "likelihood" and not eval_model.gives_likelihoods:
        log.warning("%s: not asked open book, a chat endpoint has no likelihoods", eval_model.name)
        return
    try:
        yield from _grid(question_set, eval_model, doc_index)
    except NoLikelihoods as error:
        log.warning("%s: not asked open book. %s", eval_model.name, error)


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
    """The whole grid on the validation split, and its best way on the test split."""
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
    """Every combination of the configuration."""
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
    """The artifact of one cell, after that of the retrieval that it shows."""
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
    protocol: Protocol | None,
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
        write_rows(directory / ROWS_NAME, make_rows(questions, scores))
        return
    rows = ask(
        kept(eval_model, directory), eval_model.name, questions, question_set.by_id, protocol,
        seed=eval_model.setup.evaluate.seed, contexts=texts,
        on_progress=told(label, len(questions) * protocol.samples),
    )  # fmt: skip
    write_answers(directory / ROWS_NAME, rows)
    (directory / OUTPUTS_NAME).unlink(missing_ok=True)


def contexts(
    doc_index: DocumentIndex,
    eval_model: EvalModel,
    variant: RetrievalVariant,
    questions: Sequence[Question],
) -> list[list[str]]:
    """The texts that are shown before each question.

    A plan, whose library is in memory, does not wait for models of this machine.
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
    on_progress: ToldProgress = no_progress,
) -> list[OptionScores]:
    """The likelihoods of the options of every question, after its texts."""
    asked = zip(questions, texts, strict=True)
    prompts = [open_book_prompt(q, question_set.by_id[q.document_id], shown) for q, shown in asked]
    return engine.logprobs(prompts, [question.options for question in questions], on_progress)


def protocol_at(setup: EvaluationSetup, variant: RetrievalVariant) -> Protocol | None:
    """How answers are asked for at the temperature of a cell; None for likelihoods."""
    if setup.open_book.method == "likelihood":
        return None
    named = protocol_of(setup.evaluate)
    return named if variant.temperature is None else replace(named, temperature=variant.temperature)


def chance_of(artifact: Artifact) -> float | None:
    """The accuracy of guessing in a finished cell; None where it was left out."""
    if artifact.manifest.get("left_out"):
        return None
    if artifact.manifest["identity"]["fields"]["open_book.method"] == "likelihood":
        return mean_chance(read_rows(artifact.path / ROWS_NAME))
    return answers_chance(read_answers(artifact.path / ROWS_NAME))


def cell_of(artifact: Artifact, setup: EvaluationSetup) -> GridPoint:
    """Count the rows of a finished cell, under the configuration's reading of answers."""
    fields = artifact.manifest["identity"]["fields"]
    variant = {key: fields[f"open_book.{key}"] for key in ("chunk_characters", "shown", "order")}
    return GridPoint(
        model=fields["arm"],
        temperature=fields.get("evaluate.temperature"),
        split=fields["evaluate.split"],
        left_out=artifact.manifest.get("left_out"),
        grades=tuple(_grades(artifact, setup)),
        **variant,
    )


def _grades(artifact: Artifact, setup: EvaluationSetup) -> Sequence[Grade]:
    path = artifact.path / ROWS_NAME
    if artifact.manifest.get("left_out"):
        return ()
    if artifact.manifest["identity"]["fields"]["open_book.method"] == "likelihood":
        normalizer: Normalizer = setup.evaluate.normalizer
        return likelihood_grades(read_rows(path), normalizer)
    return answer_grades(read_answers(path), protocol_of(setup.evaluate))
