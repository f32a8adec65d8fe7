"""All methods by their names in `scores.json`, and the scores from the artifacts of their rows.

`steep evaluate` and `steep evaluate --rescore` both end here, so scores can be computed again at
any time, under another normalizer, parser or vote, without a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from steep.core.artifacts import Artifact
from steep.evaluation.forgetting import study as forgetting
from steep.evaluation.methods import answers, likelihood, open_book, short_answers
from steep.evaluation.methods.common import Method
from steep.evaluation.scores import Scores, SkippedQuestion
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.summaries import study as summaries

METHODS: dict[str, Method] = {
    "likelihood": likelihood.METHOD,
    "answers": answers.METHOD,
    "short_answers": short_answers.METHOD,
    "open_book": open_book.METHOD,
    "summaries": summaries.METHOD,
    "general_text": forgetting.GENERAL_TEXT,
    "tasks": forgetting.TASKS,
}


def scores_of(
    rows: Sequence[Artifact], setup: EvaluationSetup, skipped: Sequence[SkippedQuestion]
) -> Scores:
    """Compute the result of every method that has rows."""
    found = {}
    for name, method in METHODS.items():
        if artifacts := [artifact for artifact in rows if artifact.stage == method.stage]:
            found[name] = method.result(artifacts, rows, setup)
    return Scores(found, tuple(skipped))
