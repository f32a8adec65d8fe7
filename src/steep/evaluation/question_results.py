"""What came of one question: what every model chose and wrote, from the rows of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.evaluation import closed_book, open_book
from steep.evaluation.answer_rows import read_answers
from steep.evaluation.answer_scores import verdicts
from steep.evaluation.eval_models import name_of
from steep.evaluation.normalizers import NORMALIZERS, likeliest
from steep.evaluation.protocols import protocol_of
from steep.evaluation.rows import read_rows
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.short_answer_metrics import exact_match, f1


def results_of(
    setup: EvaluationSetup, artifacts: Sequence[Artifact], question_id: str
) -> dict[str, Any]:
    """Return the question and the results of each model, in every way that it was asked.

    Raises:
        UserError: Nothing was evaluated, or the question was not asked.
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
    for row in rows:  # what one way of asking does not know of a question, another does
        asked |= {key: value for key, value in row.pop("asked").items() if value}
    return {"question_id": question_id, **asked, "results": rows}


def _rows(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """The rows of the question in one artifact; none where it holds no answers to questions."""
    likelihoods = artifact.stage == closed_book.LIKELIHOOD
    if artifact.stage == open_book.STAGE:
        likelihoods = artifact.manifest["identity"]["fields"]["open_book.method"] == "likelihood"
    elif artifact.stage not in (closed_book.LIKELIHOOD, closed_book.ANSWERS, closed_book.SHORT):
        return []
    if artifact.manifest.get("left_out"):
        return []
    read = _likelihood if likelihoods else _answers
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
        for r in read_rows(artifact.path / closed_book.ROWS_NAME)
        if r.question_id == question_id
    ]


def _answers(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    found = read_answers(artifact.path / closed_book.ROWS_NAME)
    own = [row for row in found if row.question_id == question_id]
    if not own:
        return []
    first, texts = own[0], [row.output for row in own]
    asked: dict[str, Any] = {"options": list(first.options), "gold": list(first.gold)}
    asked["answers"] = list(first.answers)
    if artifact.stage == closed_book.SHORT:
        scores = {
            "exact_match": [exact_match(text, first.answers) for text in texts],
            "f1": [f1(text, first.answers) for text in texts],
        }
        return [{"asked": asked, **scores, "texts": texts}]
    protocol = protocol_of(setup.evaluate)
    (verdict,) = verdicts(own, protocol.parser, protocol.vote)
    chosen = None if verdict.chosen is None else list(verdict.chosen)
    return [{"asked": asked, "chosen": chosen, "right": verdict.right, "texts": texts}]
