"""Open book: the grid of ways to show retrieved texts; one artifact per model and variant."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import write_rows
from steep.evaluation.document_index import DocumentIndex
from steep.evaluation.engines import NoLikelihoods, PromptTooLong
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.methods import answers, likelihood
from steep.evaluation.methods.common import (
    ROWS_NAME,
    VERSION,
    Method,
    Session,
    remove_outputs,
    resumable,
    text_progress,
    write_option_rows,
)
from steep.evaluation.methods.open_book_result import (
    STAGE,
    cell_of,
    chosen_variant,
    is_by_likelihood,
    result_of,
)
from steep.evaluation.prompts import open_book_likelihood_prompt
from steep.evaluation.protocols import asking_fields, protocol_of
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.results import AnswerProtocol
from steep.evaluation.rows import AnswerRow, ask_choices
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.study_results import GridVariant

log = logging.getLogger("steep")


def check(setup: EvaluationSetup, question_set: QuestionSet) -> None:
    """Check the settings of the open book, before anything is spent."""
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
            if not question_set.on_split(side):
                raise UserError(
                    f"Choosing the best variant needs questions about {side} documents.",
                    where="open_book.choose_on_validation",
                    expected="enough documents: sorted by title, the first fifth is for validation",
                    hint="set it to false: all questions are then asked in the whole grid",
                )


def ask_grid(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask one model the whole grid, and its best variant again if one is chosen."""
    doc_index, settings, name = session.doc_index, eval_model.setup.open_book, eval_model.name
    if doc_index is None or (settings.models and name not in settings.models):
        return
    if settings.method == "likelihood" and not eval_model.gives_likelihoods:
        log.warning("%s: not asked open book, a chat endpoint has no likelihoods", name)
        return
    try:
        yield from _grid(doc_index, eval_model)
    except NoLikelihoods as error:
        log.warning("%s: not asked open book. %s", name, error)


def _grid(doc_index: DocumentIndex, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask every variant; with a validation split the best of them again, on the test split."""
    settings = eval_model.setup.open_book
    split, last = doc_index.question_set.split, doc_index.question_set.split
    if settings.choose_on_validation:
        split, last = "validation", "test"
    variants, points = variants_of(eval_model.setup, split), []
    for variant in variants:
        *before, artifact = _cell(doc_index, eval_model, variant)
        yield from (*before, artifact)
        if settings.choose_on_validation:
            points.append(cell_of(artifact, eval_model.setup))
    if settings.choose_on_validation and (best := chosen_variant(points)):
        log.info("open book %s: best on validation: %s", eval_model.name, best.variant)
        yield from _cell(doc_index, eval_model, replace(best.variant, split="test"))
    if settings.oracle:
        yield from _cell(
            doc_index, eval_model, replace(variants[0], chunk_characters=None, shown=1, split=last)
        )


def variants_of(setup: EvaluationSetup, split: str) -> list[GridVariant]:
    """Return every combination of the settings."""
    settings = setup.open_book
    temperatures: Sequence[float | None] = (None,)
    if settings.method == "answers":
        temperatures = settings.temperatures or (protocol_of(setup.evaluate).temperature,)
    grid = product(settings.chunk_characters, settings.shown, settings.orders, temperatures)
    return [
        GridVariant(
            chunk_characters=size, shown=k, order=order, temperature=temperature, split=split
        )
        for size, k, order, temperature in grid
    ]


def _cell(
    doc_index: DocumentIndex, eval_model: EvalModel, variant: GridVariant
) -> Iterator[Artifact]:
    """Build the artifact of one variant, after that of its retrieval."""
    setup, question_set = eval_model.setup, doc_index.question_set
    questions = question_set.on_split(variant.split)
    inputs = {"documents": question_set.documents}
    if variant.chunk_characters is not None:
        inputs["retrieve"] = doc_index.retrieve(variant.chunk_characters, eval_model)
        yield inputs["retrieve"]
    protocol = None
    if setup.open_book.method == "answers":
        protocol = protocol_of(setup.evaluate)
        if variant.temperature is not None:
            protocol = replace(protocol, temperature=variant.temperature)
    fields = {
        "evaluate.questions": question_set.content,
        "evaluate.split": variant.split,
        "open_book.method": setup.open_book.method,
        "open_book.chunk_characters": variant.chunk_characters,
        "open_book.shown": variant.shown,
        "open_book.order": variant.order,
        **(asking_fields(protocol, setup.evaluate.seed) if protocol else {}),
    }

    def make(directory: Path) -> dict[str, Any]:
        manifest = {"model": eval_model.name, "variant": str(variant), "questions": len(questions)}
        try:
            _ask(doc_index, eval_model, variant, questions, protocol, directory)
        except PromptTooLong as error:
            log.warning("open book %s, %s: left out. %s", eval_model.name, variant, error.problem)
            return {**manifest, "left_out": " ".join(str(error).split())}
        return manifest

    yield eval_model.build(STAGE, VERSION, fields, make, inputs, one_of_many=True)


def _ask(
    doc_index: DocumentIndex,
    eval_model: EvalModel,
    variant: GridVariant,
    questions: Sequence[Question],
    protocol: AnswerProtocol | None,
    directory: Path,
) -> None:
    """Write the rows of one variant."""
    if variant.chunk_characters is None:
        texts = doc_index.whole_documents(questions)
    else:
        texts = doc_index.contexts(
            variant.chunk_characters, eval_model, questions, variant.shown, variant.order
        )
    label, by_id = f"open book {eval_model.name}, {variant}", doc_index.question_set.by_id
    if protocol is None:
        prompts = [
            open_book_likelihood_prompt(each, by_id[each.document_id], shown)
            for each, shown in zip(questions, texts, strict=True)
        ]
        write_option_rows(directory, label, eval_model.engine, questions, prompts)
        return
    rows = ask_choices(
        resumable(eval_model, directory), eval_model.name, questions, by_id, protocol,
        seed=eval_model.setup.evaluate.seed, contexts=texts,
        on_progress=text_progress(label, len(questions) * protocol.samples),
    )  # fmt: skip
    write_rows(directory / ROWS_NAME, rows, AnswerRow)
    remove_outputs(directory)


def about(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """Return the results for one question in one variant."""
    read = likelihood.about if is_by_likelihood(artifact) else answers.about
    return read(artifact, setup, question_id)


METHOD = Method(STAGE, ask_grid, result_of, chosen=False, about=about)
