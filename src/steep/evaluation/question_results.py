"""The results for one question: what every model chose and wrote, from the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import read_rows
from steep.evaluation.answers import AnswerRow
from steep.evaluation.eval_models import name_of
from steep.evaluation.methods import answers, likelihood, short_answers
from steep.evaluation.methods.common import ROWS_NAME
from steep.evaluation.methods.open_book_result import STAGE as OPEN_BOOK
from steep.evaluation.methods.open_book_result import is_by_likelihood
from steep.evaluation.option_rows import NORMALIZERS, QuestionRow, likeliest
from steep.evaluation.protocols import protocol_of
from steep.evaluation.setup import EvaluationSetup


def results_of(
    setup: EvaluationSetup, artifacts: Sequence[Artifact], question_id: str
) -> dict[str, Any]:
    """Return a question and the results of each model, by every method.

    Raises:
        UserError: The question was not asked.
    """
    rows = [row for artifact in artifacts for row in _rows(artifact, setup, question_id)]
    if not rows:
        raise UserError(
            f"The latest evaluation has no row of the question '{question_id}'.",
            where=setup.project.store,
            hint="take an id from the file of evaluate.questions; what was not asked, and why, is "
            "in the report",
        )
    asked: dict[str, Any] = {"question": None}
    for row in rows:  # rows of different methods hold different parts of a question
        asked |= {key: value for key, value in row.pop("asked").items() if value}
    return {"question_id": question_id, **asked, "results": rows}


def _rows(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """Return the results for the question in one artifact; none if it holds no answers."""
    stages = (likelihood.STAGE, answers.STAGE, short_answers.STAGE, OPEN_BOOK)
    if artifact.stage not in stages or artifact.manifest.get("left_out"):
        return []
    by_likelihood = artifact.stage == likelihood.STAGE or (
        artifact.stage == OPEN_BOOK and is_by_likelihood(artifact)
    )
    read = _likelihood if by_likelihood else _answers
    variant = artifact.manifest.get("variant")
    named = {"model": name_of(artifact), "method": artifact.stage, "variant": variant}
    return [{**named, **row} for row in read(artifact, setup, question_id)]


def _likelihood(
    artifact: Artifact, setup: EvaluationSetup, question_id: str
) -> list[dict[str, Any]]:
    normalizer = setup.evaluate.normalizer
    return [
        {
            "asked": {"question": r.question, "options": list(r.options), "gold": list(r.gold)},
            "chosen": sorted(likeliest(r.scores, normalizer, len(r.gold))),
            "right": r.right(normalizer),
            "right_by_normalizer": {name: r.right(name) for name in NORMALIZERS},
            "sum_logprob": list(r.sum_logprob),
        }
        for r in read_rows(artifact.path / ROWS_NAME, QuestionRow)
        if r.question_id == question_id
    ]


def _answers(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    found = read_rows(artifact.path / ROWS_NAME, AnswerRow)
    own = [row for row in found if row.question_id == question_id]
    if not own:
        return []
    first, texts = own[0], [row.output for row in own]
    asked: dict[str, Any] = {"options": list(first.options), "gold": list(first.gold)}
    asked["answers"] = list(first.answers)
    if artifact.stage == short_answers.STAGE:
        grades = {
            name: [metric(text, first.answers) for text in texts]
            for name, metric in short_answers.METRICS.items()
        }
        return [{"asked": asked, "grades": grades, "texts": texts}]
    protocol = protocol_of(setup.evaluate)
    (verdict,) = answers.verdicts(own, protocol.parser, protocol.vote)
    chosen = None if verdict.chosen is None else list(verdict.chosen)
    return [{"asked": asked, "chosen": chosen, "right": verdict.right, "texts": texts}]
