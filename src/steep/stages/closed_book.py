"""Stage 6, closed book: what one model makes of the questions, without the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from steep.core.listing import plural
from steep.core.progress import Progress
from steep.evaluation.answer_rows import write_answers
from steep.evaluation.answering import ask, ask_short
from steep.evaluation.cached_engine import KeptEngine
from steep.evaluation.engines import AnswerEngine, NoLikelihoods, no_progress
from steep.evaluation.engines import Progress as ToldProgress
from steep.evaluation.few_shot import short_answer_prompt
from steep.evaluation.normalizers import OptionScores
from steep.evaluation.prompts import closed_book_prompt
from steep.evaluation.rows import make_rows, write_rows
from steep.project import Artifact
from steep.stages.eval_models import Examinee
from steep.stages.harness import Identity, build, log
from steep.stages.question_set import QuestionSet, asking_fields, protocol_of

VERSION = 2
ROWS_NAME = "rows.parquet"
GOLD_NAME = "gold.parquet"  # the likelihoods of accepted short answers
OUTPUTS_NAME = "outputs.jsonl"  # texts of an unfinished artifact
LIKELIHOOD, ANSWERS, SHORT = "score", "answer", "short"  # stages, as artifacts are named


def run(exam: QuestionSet, examinee: Examinee) -> Iterator[Artifact]:
    """Ask one model in every way that the configuration names."""
    ways = {"likelihood": score, "answers": answer, "short-answers": answer_shortly}
    for method in dict.fromkeys(examinee.config.evaluate.methods):
        if method == "likelihood" and not examinee.gives_likelihoods:
            log.warning("%s: no likelihoods, its server has a chat endpoint only", examinee.name)
            continue
        if exam.short if method == "short-answers" else exam.questions:
            try:
                yield ways[method](exam, examinee)
            except NoLikelihoods as error:
                log.warning("%s: not asked by likelihood. %s", examinee.name, error)


def option_scores(
    exam: QuestionSet, engine: AnswerEngine, on_progress: ToldProgress = no_progress
) -> list[OptionScores]:
    """The likelihoods of the options of every question."""
    prompts = [closed_book_prompt(q, exam.by_id[q.document_id]) for q in exam.questions]
    return engine.logprobs(prompts, [question.options for question in exam.questions], on_progress)


def accepted_scores(exam: QuestionSet, engine: AnswerEngine) -> list[OptionScores]:
    """The likelihoods of the accepted answers of every short-answer question."""
    prompts = [short_answer_prompt(q, exam.by_id[q.document_id]) for q in exam.short]
    return engine.logprobs(prompts, [question.answers for question in exam.short])


def score(exam: QuestionSet, examinee: Examinee) -> Artifact:
    """The likelihood of every option."""

    def make(directory: Path) -> dict[str, Any]:
        options = sum(len(question.options) for question in exam.questions)
        progress = Progress(f"score {examinee.name}", options, "options")
        scores = option_scores(exam, examinee.engine, lambda done, _: progress.update(done))
        write_rows(directory / ROWS_NAME, make_rows(exam.questions, scores))
        progress.finish(f"{len(exam.questions)} questions")
        return {"model": examinee.name, "questions": len(exam.questions)}

    return _build(LIKELIHOOD, exam, examinee, {}, make)


def answer(exam: QuestionSet, examinee: Examinee) -> Artifact:
    """Thought processes after five solved examples, each with its answer."""
    settings = examinee.config.evaluate
    protocol = protocol_of(settings)

    def make(directory: Path) -> dict[str, Any]:
        engine = kept(examinee, directory)
        total = len(exam.questions) * protocol.samples
        with_progress = told(f"answer {examinee.name}", total)
        rows = ask(
            engine,
            examinee.name,
            exam.questions,
            exam.by_id,
            protocol,
            seed=settings.seed,
            on_progress=with_progress,
        )
        write_answers(directory / ROWS_NAME, rows)
        ended = _ended(directory, examinee.name, len(exam.questions))
        return {**ended, "asked_without": examinee.asked_without}

    return _build(ANSWERS, exam, examinee, asking_fields(protocol, settings.seed), make)


def answer_shortly(exam: QuestionSet, examinee: Examinee) -> Artifact:
    """Short answers in its own words, and the likelihoods of those that are accepted."""

    def make(directory: Path) -> dict[str, Any]:
        with_progress = told(f"short answers {examinee.name}", len(exam.short))
        engine = kept(examinee, directory)
        rows = ask_short(engine, examinee.name, exam.short, exam.by_id, on_progress=with_progress)
        write_answers(directory / ROWS_NAME, rows)
        if examinee.gives_likelihoods:
            accepted = [
                replace(q, options=q.answers, gold=tuple(range(len(q.answers)))) for q in exam.short
            ]
            try:
                scores = accepted_scores(exam, engine)
                write_rows(directory / GOLD_NAME, make_rows(accepted, scores))
            except NoLikelihoods as error:
                log.warning("%s: short answers have no likelihoods. %s", examinee.name, error)
        return _ended(directory, examinee.name, len(exam.short))

    return _build(SHORT, exam, examinee, {}, make)


def kept(examinee: Examinee, directory: Path) -> AnswerEngine:
    """The engine of a model, which goes on with what an interrupted run has left.

    What a server has answered is in the ledger.
    """
    if examinee.server is not None:
        return examinee.engine
    engine = KeptEngine(examinee.engine, directory / OUTPUTS_NAME)
    if engine.found:
        kept = plural(engine.found, "text")
        log.info("%s: %s of an interrupted run kept", examinee.name, kept)
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
    exam: QuestionSet,
    examinee: Examinee,
    fields: dict[str, Any],
    make: Callable[[Path], dict[str, Any]],
) -> Artifact:
    fields = {**examinee.fields, **exam.fields, **fields}
    inputs = {"documents": exam.documents, **examinee.inputs}
    return build(examinee.project, Identity(stage, VERSION, fields, inputs), make)
