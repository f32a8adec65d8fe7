"""Stage 6, closed book: what one model makes of the questions, without the documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.formatting import plural
from steep.core.progress import Progress
from steep.evaluation.answer_rows import write_answers
from steep.evaluation.answering import ask, ask_short
from steep.evaluation.cached_engine import CachedEngine
from steep.evaluation.engines import AnswerEngine, NoLikelihoods, no_progress
from steep.evaluation.engines import Progress as ToldProgress
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.few_shot import short_answer_prompt
from steep.evaluation.normalizers import OptionScores
from steep.evaluation.prompts import closed_book_prompt
from steep.evaluation.protocols import asking_fields, protocol_of
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.rows import make_rows, write_rows

log = logging.getLogger("steep")

VERSION = 2
ROWS_NAME = "rows.parquet"
GOLD_NAME = "gold.parquet"  # the likelihoods of accepted short answers
OUTPUTS_NAME = "outputs.jsonl"  # texts of an unfinished artifact
LIKELIHOOD, ANSWERS, SHORT = "score", "answer", "short"  # stages, as artifacts are named


def run(question_set: QuestionSet, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask one model in every way that the configuration names."""
    variants = {"likelihood": score, "answers": answer, "short-answers": answer_shortly}
    for method in dict.fromkeys(eval_model.setup.evaluate.methods):
        if method == "likelihood" and not eval_model.gives_likelihoods:
            log.warning("%s: no likelihoods, its server has a chat endpoint only", eval_model.name)
            continue
        if question_set.short if method == "short-answers" else question_set.questions:
            try:
                yield variants[method](question_set, eval_model)
            except NoLikelihoods as error:
                log.warning("%s: not asked by likelihood. %s", eval_model.name, error)


def option_scores(
    question_set: QuestionSet, engine: AnswerEngine, on_progress: ToldProgress = no_progress
) -> list[OptionScores]:
    """The likelihoods of the options of every question."""
    prompts = [
        closed_book_prompt(q, question_set.by_id[q.document_id]) for q in question_set.questions
    ]
    return engine.logprobs(
        prompts, [question.options for question in question_set.questions], on_progress
    )


def accepted_scores(question_set: QuestionSet, engine: AnswerEngine) -> list[OptionScores]:
    """The likelihoods of the accepted answers of every short-answer question."""
    prompts = [
        short_answer_prompt(q, question_set.by_id[q.document_id]) for q in question_set.short
    ]
    return engine.logprobs(prompts, [question.answers for question in question_set.short])


def score(question_set: QuestionSet, eval_model: EvalModel) -> Artifact:
    """The likelihood of every option."""

    def make(directory: Path) -> dict[str, Any]:
        options = sum(len(question.options) for question in question_set.questions)
        progress = Progress(f"score {eval_model.name}", options, "options")
        scores = option_scores(
            question_set, eval_model.engine, lambda done, _: progress.update(done)
        )
        write_rows(directory / ROWS_NAME, make_rows(question_set.questions, scores))
        progress.finish(f"{len(question_set.questions)} questions")
        return {"model": eval_model.name, "questions": len(question_set.questions)}

    return _build(LIKELIHOOD, question_set, eval_model, {}, make)


def answer(question_set: QuestionSet, eval_model: EvalModel) -> Artifact:
    """Thought processes after five solved examples, each with its answer."""
    settings = eval_model.setup.evaluate
    protocol = protocol_of(settings)

    def make(directory: Path) -> dict[str, Any]:
        engine = kept(eval_model, directory)
        total = len(question_set.questions) * protocol.samples
        with_progress = told(f"answer {eval_model.name}", total)
        rows = ask(
            engine,
            eval_model.name,
            question_set.questions,
            question_set.by_id,
            protocol,
            seed=settings.seed,
            on_progress=with_progress,
        )
        write_answers(directory / ROWS_NAME, rows)
        ended = _ended(directory, eval_model.name, len(question_set.questions))
        return {**ended, "asked_without": eval_model.asked_without}

    return _build(ANSWERS, question_set, eval_model, asking_fields(protocol, settings.seed), make)


def answer_shortly(question_set: QuestionSet, eval_model: EvalModel) -> Artifact:
    """Short answers in its own words, and the likelihoods of those that are accepted."""

    def make(directory: Path) -> dict[str, Any]:
        with_progress = told(f"short answers {eval_model.name}", len(question_set.short))
        engine = kept(eval_model, directory)
        rows = ask_short(
            engine,
            eval_model.name,
            question_set.short,
            question_set.by_id,
            on_progress=with_progress,
        )
        write_answers(directory / ROWS_NAME, rows)
        if eval_model.gives_likelihoods:
            accepted = [
                replace(q, options=q.answers, gold=tuple(range(len(q.answers))))
                for q in question_set.short
            ]
            try:
                scores = accepted_scores(question_set, engine)
                write_rows(directory / GOLD_NAME, make_rows(accepted, scores))
            except NoLikelihoods as error:
                log.warning("%s: short answers have no likelihoods. %s", eval_model.name, error)
        return _ended(directory, eval_model.name, len(question_set.short))

    return _build(SHORT, question_set, eval_model, {}, make)


def kept(eval_model: EvalModel, directory: Path) -> AnswerEngine:
    """The engine of a model, which goes on with what an interrupted run has left.

    What a server has answered is in the ledger.
    """
    if eval_model.server is not None:
        return eval_model.engine
    engine = CachedEngine(eval_model.engine, directory / OUTPUTS_NAME)
    if engine.found:
        kept = plural(engine.found, "text")
        log.info("%s: %s of an interrupted run kept", eval_model.name, kept)
    return engine


def told(label: str, total: int) -> Callable[[int, int], None]:
    """A progress line for texts."""
    progress = Progress(label, total, "texts")

    def on_progress(done: int, _: int) -> None:
        progress.update(done)
        if done == total:
            progress.finish(f"{total} texts")

    return on_progress


def _ended(directory: Path, name: str, questions: int) -> dict[str, Any]:
    """All rows are written: what could be gone on with is no longer needed."""
    (directory / OUTPUTS_NAME).unlink(missing_ok=True)
    return {"model": name, "questions": questions}


def _build(
    stage: str,
    question_set: QuestionSet,
    eval_model: EvalModel,
    fields: dict[str, Any],
    make: Callable[[Path], dict[str, Any]],
) -> Artifact:
    fields = {**eval_model.fields, **question_set.fields, **fields}
    inputs = {"documents": question_set.documents, **eval_model.inputs}
    return build(eval_model.setup.project, Identity(stage, VERSION, fields, inputs), make)
