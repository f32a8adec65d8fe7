"""What the methods of evaluation share: their interface, artifacts of rows, progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from steep.core.artifacts import Artifact
from steep.core.files import read_parquet, read_rows, write_rows
from steep.core.formatting import plural
from steep.core.progress import Progress
from steep.evaluation.compare import Grade
from steep.evaluation.engines import AnswerEngine, CachedEngine
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.results import MethodResult
from steep.evaluation.rows import QuestionRow, make_rows
from steep.evaluation.setup import EvaluationSetup

if TYPE_CHECKING:
    from steep.evaluation.document_index import DocumentIndex
    from steep.evaluation.methods.judged_answers import AnswerJudging
    from steep.evaluation.summaries.study import SummaryStudy

log = logging.getLogger("steep")

VERSION = 4  # of the artifacts of rows
ROWS_NAME = "rows.parquet"
OUTPUTS_NAME = "outputs.jsonl"  # texts of an unfinished artifact
Row = TypeVar("Row")


class Session(NamedTuple):
    """What all models of an evaluation are asked; None if it is not configured."""

    question_set: QuestionSet | None
    doc_index: DocumentIndex | None
    study: SummaryStudy | None
    answer_judging: AnswerJudging | None = None


def rows_about(artifact: Artifact, _: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """Return the rows of a question as they are."""
    rows = read_parquet(artifact.path / ROWS_NAME)
    return [{"row": row} for row in rows if row["question_id"] == question_id]


class Graded(NamedTuple):
    """The grades of one model by one metric, and the mean grade of guessing."""

    grades: Sequence[Grade]
    chance: float


class Method(NamedTuple):
    """A method of evaluation.

    Attributes:
        stage: Name of the artifacts of rows that the result is computed from.
        ask: Asks one model, if the method is configured for it; yields the artifacts.
        result: Computes the result from the artifacts of `stage`, given also all other artifacts.
        chosen: True if `evaluate.methods` names it; False if it has a section of settings.
        about: Returns the results for one question from one artifact, for `steep status`; None if
            the rows are not about questions.
        graded: Returns the grades of the model of an artifact by the name of each metric, for
            scaling curves; None if the method does not grade answers to questions.
    """

    stage: str
    ask: Callable[[Session, EvalModel], Iterator[Artifact]]
    result: Callable[[Sequence[Artifact], Sequence[Artifact], EvaluationSetup], MethodResult]
    chosen: bool = True
    about: Callable[[Artifact, EvaluationSetup, str], list[dict[str, Any]]] | None = rows_about
    graded: Callable[[Artifact, EvaluationSetup], Mapping[str, Graded]] | None = None


def build_rows(
    stage: str,
    question_set: QuestionSet,
    eval_model: EvalModel,
    fields: dict[str, Any],
    make: Callable[[Path], dict[str, Any]],
) -> Artifact:
    """Build the artifact with the closed-book rows of one model."""
    fields, inputs = {**question_set.fields, **fields}, {"documents": question_set.documents}
    return eval_model.build(stage, VERSION, fields, make, inputs)


def write_option_rows(
    directory: Path,
    label: str,
    engine: AnswerEngine,
    questions: Sequence[Question],
    prompts: Sequence[str],
) -> None:
    """Score the options of every question after its prompt, and write the rows."""
    progress = Progress(label, sum(len(question.options) for question in questions), "options")
    with progress:
        options = [each.options for each in questions]
        scores = engine.logprobs(prompts, options, progress.update)
    write_rows(directory / ROWS_NAME, make_rows(questions, scores), QuestionRow)
    progress.finish(f"{len(questions)} questions")


def rows_by_model(artifacts: Sequence[Artifact], kind: type[Row]) -> dict[str, list[Row]]:
    """Read the rows of each model."""
    return {name_of(each): read_rows(each.path / ROWS_NAME, kind) for each in artifacts}


def resumable(eval_model: EvalModel, directory: Path) -> AnswerEngine:
    """Return the engine of a model, which continues where an interrupted run ended.

    The answers of a server are in the ledger.
    """
    if eval_model.server is not None:
        return eval_model.engine
    engine = CachedEngine(eval_model.engine, directory / OUTPUTS_NAME)
    if engine.found:
        kept = plural(engine.found, "text")
        log.info("%s: %s of an interrupted run kept", eval_model.name, kept)
    return engine


def is_local(eval_model: EvalModel, what: str) -> bool:
    """Return True for a model in this process; otherwise log that it is not measured."""
    if eval_model.server is not None:
        log.warning("%s: %s is not measured for a served model", eval_model.name, what)
    return eval_model.server is None


def remove_outputs(directory: Path) -> None:
    """Delete the texts of an unfinished artifact now that every row is written."""
    (directory / OUTPUTS_NAME).unlink(missing_ok=True)


def text_progress(label: str, total: int) -> Callable[[float, int], None]:
    """Return a function that shows the progress of texts."""
    progress = Progress(label, total, "texts")

    def on_progress(done: float, _: int) -> None:
        progress.update(done)
        if done == total:
            progress.finish(f"{total} texts")

    return on_progress
