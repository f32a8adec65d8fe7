"""Closed book, by short answers in the model's own words: SQuAD's exact match and F1.

Both compare words without case, punctuation and English articles; of several accepted answers the
best counts. They equal the published scorers on the cases of `benchmarks/metric_agreement.py`. In
scripts without spaces between words (Chinese, Japanese, Thai, ...) each character is a word.
"""

from __future__ import annotations

import logging
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.files import read_rows, write_rows
from steep.core.words import is_unspaced, words_of
from steep.evaluation.compare import Grade, compare
from steep.evaluation.engines import NoLikelihoods
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.methods.answers import texts_about
from steep.evaluation.methods.common import (
    ROWS_NAME,
    Graded,
    Method,
    Session,
    build_rows,
    remove_outputs,
    resumable,
    rows_by_model,
    text_progress,
)
from steep.evaluation.results import AnswerLikelihood, ShortAnswersResult
from steep.evaluation.rows import AnswerRow, QuestionRow, ask_short, make_rows
from steep.evaluation.setup import EvaluationSetup, PlannedComparisons

log = logging.getLogger("steep")

STAGE = "short"
GOLD_NAME = "gold.parquet"  # the likelihoods of accepted answers
SHOWN_DIGITS = 4
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def ask(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Ask for short answers, score the accepted ones, and have the answers judged."""
    question_set = session.question_set
    if question_set is None or not question_set.short:
        return
    questions = question_set.short

    def make(directory: Path) -> dict[str, Any]:
        engine = resumable(eval_model, directory)
        rows = ask_short(
            engine,
            eval_model.name,
            questions,
            question_set.by_id,
            on_progress=text_progress(f"short answers {eval_model.name}", len(questions)),
        )
        write_rows(directory / ROWS_NAME, rows, AnswerRow)
        if eval_model.gives_likelihoods:
            try:
                scores = engine.logprobs(
                    [row.prompt for row in rows], [q.answers for q in questions]
                )
                # The accepted answers as the options of a choice.
                choices = [replace(each, options=each.answers) for each in questions]
                write_rows(directory / GOLD_NAME, make_rows(choices, scores), QuestionRow)
            except NoLikelihoods as error:
                log.warning("%s: short answers have no likelihoods. %s", eval_model.name, error)
        remove_outputs(directory)
        return {"model": eval_model.name, "questions": len(questions)}

    answers = build_rows(STAGE, question_set, eval_model, {}, make)
    yield answers
    if session.answer_judging is not None:
        yield session.answer_judging.judged(eval_model.name, answers)


def normalized(answer: str) -> str:
    """Return the words that are compared, with one space between them."""
    bare = answer.lower().translate(_NO_PUNCTUATION)
    runs = _ARTICLE.sub(" ", bare).split()
    return " ".join(
        chain.from_iterable(words_of(run) if any(map(is_unspaced, run)) else [run] for run in runs)
    )


def exact_match(text: str, accepted: Sequence[str]) -> float:
    """Return 1 if the text is one of the accepted answers, else 0."""
    return float(any(normalized(text) == normalized(answer) for answer in accepted))


def f1(text: str, accepted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of words, for the best accepted answer."""
    return max(_word_f1(normalized(text).split(), normalized(each).split()) for each in accepted)


def _word_f1(text: Sequence[str], accepted: Sequence[str]) -> float:
    common = (Counter(text) & Counter(accepted)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(text), common / len(accepted)
    return 2 * precision * recall / (precision + recall)


# A metric takes a text and the accepted answers and returns a grade from 0 to 1. The first one is
# the metric of headlines.
METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {"exact match": exact_match, "F1": f1}


def short_answers_result(
    by_model: Mapping[str, Sequence[AnswerRow]],
    gold_by_model: Mapping[str, Sequence[QuestionRow]],
    planned: PlannedComparisons | None = None,
) -> ShortAnswersResult:
    """Compute every metric of the texts, and how likely an accepted answer was.

    `gold_by_model` are accepted answers, scored as options, of the models that give likelihoods.
    """
    return ShortAnswersResult(
        title="closed book, short answers",
        metrics={
            name: compare({each: _graded(r, metric) for each, r in by_model.items()}, planned)
            for name, metric in METRICS.items()
        },
        likelihood={name: _best_likelihood(rows) for name, rows in gold_by_model.items()},
        empty={name: sum(not r.output.strip() for r in rows) for name, rows in by_model.items()},
    )


def _graded(
    rows: Sequence[AnswerRow], metric: Callable[[str, Sequence[str]], float]
) -> list[Grade]:
    return [
        Grade(row.question_id, row.document_id, row.kind, metric(row.output, row.answers))
        for row in rows
    ]


def _best_likelihood(rows: Sequence[QuestionRow]) -> AnswerLikelihood:
    """Return means over questions of the likeliest accepted answer."""
    best = [
        (
            max(s / t for s, t in zip(row.sum_logprob, row.tokens, strict=True)),
            max(s / b for s, b in zip(row.sum_logprob, row.bytes, strict=True)),
        )
        for row in rows
    ]
    per_token, per_byte = (sum(column) / len(best) for column in zip(*best, strict=True))
    return AnswerLikelihood(
        n=len(best),
        nats_per_token=round(per_token, SHOWN_DIGITS),
        nats_per_byte=round(per_byte, SHOWN_DIGITS),
    )


def _result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> ShortAnswersResult:
    gold = {
        name_of(each): read_rows(path, QuestionRow)
        for each in artifacts
        if (path := each.path / GOLD_NAME).is_file()
    }
    rows = rows_by_model(artifacts, AnswerRow)
    return short_answers_result(rows, gold, setup.planned_comparisons(rows))


def about(artifact: Artifact, _: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """Return the texts of a model about one question, with their grades."""
    rows, asked = texts_about(artifact, question_id)
    if not rows:
        return []
    texts = [row.output for row in rows]
    grades = {
        name: [metric(text, rows[0].answers) for text in texts] for name, metric in METRICS.items()
    }
    return [{"asked": asked, "grades": grades, "texts": texts}]


def graded(artifact: Artifact, _: EvaluationSetup) -> dict[str, Graded]:
    """Return the grades of a model by every metric."""
    rows = read_rows(artifact.path / ROWS_NAME, AnswerRow)
    return {name: Graded(_graded(rows, metric), 0.0) for name, metric in METRICS.items()}


METHOD = Method(STAGE, ask, _result, about=about, graded=graded)
