"""All methods by their names in `scores.json`, and the scores from the artifacts of their rows.

`steep evaluate` and `steep evaluate --rescore` both end here, so scores can be computed again at
any time, under another normalizer, parser or vote, without a model.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.evaluation import faithfulness
from steep.evaluation.contamination.scores import contamination_result, overlaps_of
from steep.evaluation.environment import environments_of
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.methods import (
    answers,
    general_text,
    harness_tasks,
    judged_answers,
    likelihood,
    open_book,
    short_answers,
)
from steep.evaluation.methods.common import Graded, Method, Session
from steep.evaluation.results import MethodResult, Scores, SkippedQuestion
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.summaries import study as summaries

# In the order in which the results are shown.
METHODS: dict[str, Method] = {
    "likelihood": likelihood.METHOD,
    "answers": answers.METHOD,
    "short_answers": short_answers.METHOD,
    "judged_answers": judged_answers.METHOD,
    "open_book": open_book.METHOD,
    "summaries": summaries.METHOD,
    "general_text": general_text.METHOD,
    "tasks": harness_tasks.METHOD,
    "faithfulness": faithfulness.METHOD,
}


def check_methods(setup: EvaluationSetup) -> None:
    """Check that every method that is to be used exists."""
    known = [_configured_name(name) for name, method in METHODS.items() if method.chosen]
    for name in setup.evaluate.methods:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"There is no method '{name}'.",
                where="evaluate.methods",
                expected=", ".join(known),
                found=name,
                hint=f"did you mean '{near[0]}'?" if near else None,
            )


def _configured_name(name: str) -> str:
    """Return the name of a method in `evaluate.methods`."""
    return name.replace("_", "-")


def ask(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask one model by every configured method; yield the artifacts of rows."""
    for name, method in METHODS.items():
        if not method.chosen or _configured_name(name) in eval_model.setup.evaluate.methods:
            yield from method.ask(session, eval_model)


def scores_of(
    rows: Sequence[Artifact], setup: EvaluationSetup, skipped: Sequence[SkippedQuestion]
) -> Scores:
    """Compute the result of every method that has rows, and the scores on clean questions."""
    found: dict[str, MethodResult] = {}
    for name, method in METHODS.items():
        if artifacts := [artifact for artifact in rows if artifact.stage == method.stage]:
            found[name] = method.result(artifacts, rows, setup)
    grades = {
        (name, name_of(each)): method.graded(each, setup)
        for name, method in METHODS.items()
        for each in rows
        if method.graded and each.stage == method.stage
    }
    if contamination := contamination_result(rows, grades, setup):
        found["contamination"] = contamination
    return Scores(found, tuple(skipped), environments_of(rows))


def graded_of(artifact: Artifact, setup: EvaluationSetup) -> Mapping[str, Graded]:
    """Return the grades in an artifact of rows, by metric; none if it does not grade answers."""
    for method in METHODS.values():
        if method.stage == artifact.stage and method.graded:
            return method.graded(artifact, setup)
    return {}


def results_of(
    setup: EvaluationSetup, artifacts: Sequence[Artifact], question_id: str
) -> dict[str, Any]:
    """Return a question and the results of each model, by every method.

    Raises:
        UserError: The question was not asked.
    """
    about = {method.stage: method.about for method in METHODS.values() if method.about}
    rows = [
        {
            "model": name_of(each),
            "method": each.stage,
            "variant": each.manifest.get("variant"),
            **row,
        }
        for each in artifacts
        if each.stage in about and not each.manifest.get("left_out")
        for row in about[each.stage](each, setup, question_id)
    ]
    if not rows:
        raise UserError(
            f"The latest evaluation has no row of the question '{question_id}'.",
            where=setup.project.store,
            hint="take an id from the file of evaluate.questions; what was not asked, and why, is "
            "in the report",
        )
    asked: dict[str, Any] = {"question": None}
    for row in rows:  # rows of different methods hold different parts of a question
        asked |= {key: value for key, value in row.pop("asked", {}).items() if value}
    overlaps = [asdict(row) for row in overlaps_of(artifacts) if row.question_id == question_id]
    return {"question_id": question_id, **asked, "results": rows, "in_texts": overlaps}
