"""Closed book, by likelihood: the likeliest option of each question is the choice.

Beside accuracy stand the lengths and places of the chosen options (`option_bias.py`), and whether
their probabilities are as high as they are often right (`calibration.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.files import read_rows
from steep.evaluation.calibration import TOTAL, calibration
from steep.evaluation.compare import Grade, compare, grouped
from steep.evaluation.engines import NORMALIZERS, NoLikelihoods, Normalizer
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.methods.common import (
    ROWS_NAME,
    Graded,
    Method,
    Session,
    build_rows,
    rows_by_model,
    write_option_rows,
)
from steep.evaluation.option_bias import ShownOptions, chosen_options, option_bias
from steep.evaluation.prompts import closed_book_prompt
from steep.evaluation.results import (
    LikelihoodResult,
    LikelihoodScore,
    ModelScore,
    OptionBias,
)
from steep.evaluation.rows import QuestionRow, count_ties, one_right
from steep.evaluation.setup import EvaluationSetup, PlannedComparisons

log = logging.getLogger("steep")

STAGE = "score"
METRIC = "accuracy by likelihood"  # of its grades


def ask(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Score every option."""
    question_set, name = session.question_set, eval_model.name
    if question_set is None or not question_set.questions:
        return
    if not eval_model.gives_likelihoods:
        log.warning("%s: no likelihoods, its server has a chat endpoint only", name)
        return
    questions, by_id = question_set.questions, question_set.by_id

    def make(directory: Path) -> dict[str, Any]:
        prompts = [closed_book_prompt(each, by_id[each.document_id]) for each in questions]
        write_option_rows(directory, f"score {name}", eval_model.engine, questions, prompts)
        return {"model": name, "questions": len(questions)}

    try:
        yield build_rows(STAGE, question_set, eval_model, {}, make)
    except NoLikelihoods as error:
        log.warning("%s: not asked by likelihood. %s", name, error)


def likelihood_grades(rows: Sequence[QuestionRow], normalizer: Normalizer) -> list[Grade]:
    """Grade the likeliest option of each question as right or wrong."""
    return [
        Grade(row.question_id, row.document_id, row.kind, float(row.right(normalizer)))
        for row in rows
    ]


def likelihood_result(
    by_model: Mapping[str, Sequence[QuestionRow]],
    normalizer: Normalizer,
    planned: PlannedComparisons | None = None,
) -> LikelihoodResult:
    """Compute the accuracy of the likeliest option, and beside it under every other normalizer."""
    compared = compare({n: likelihood_grades(r, normalizer) for n, r in by_model.items()}, planned)
    rows = next(iter(by_model.values()))
    return LikelihoodResult(
        models=tuple(_score(each, by_model[each.name], normalizer) for each in compared.models),
        pairs=compared.pairs,
        arms=compared.arms,
        minimum_detectable_difference=compared.minimum_detectable_difference,
        not_compared=compared.not_compared,
        normalizer=normalizer,
        chance=mean_chance(rows),
        chance_by_kind={
            kind: mean_chance(own) for kind, own in grouped(rows, lambda row: row.kind).items()
        },
        several_right=sum(len(row.gold) > 1 for row in rows),
        bias=likelihood_bias(by_model),
        calibration=tuple(
            found
            for each in dict.fromkeys((TOTAL, normalizer))
            if (found := calibration(by_model, each))
        ),
    )


def _score(
    model: ModelScore, rows: Sequence[QuestionRow], normalizer: Normalizer
) -> LikelihoodScore:
    by_normalizer: dict[str, float] = {
        n: sum(row.right(n) for row in rows) / len(rows) for n in NORMALIZERS
    }
    return LikelihoodScore(
        **vars(model), by_normalizer=by_normalizer, ties=count_ties(rows, normalizer)
    )


def mean_chance(rows: Sequence[QuestionRow]) -> float:
    """Return the accuracy of a guess among the options that knows how many are right."""
    return sum(row.chance for row in rows) / len(rows)


def likelihood_bias(by_model: Mapping[str, Sequence[QuestionRow]]) -> OptionBias | None:
    """Return lengths and places of the chosen options, by model and normalizer."""
    counted = {name: one_right(rows) for name, rows in by_model.items()}
    shown = [_shown(row) for row in next(iter(counted.values()))]
    return option_bias(
        shown,
        [
            chosen_options(name, n, shown, [row.likeliest(n)[0] for row in rows])
            for name, rows in counted.items()
            for n in NORMALIZERS
        ],
    )


def _shown(row: QuestionRow) -> ShownOptions:
    return ShownOptions(row.characters, range(len(row.options)), row.gold[0])


def _result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> LikelihoodResult:
    rows = rows_by_model(artifacts, QuestionRow)
    return likelihood_result(rows, setup.evaluate.normalizer, setup.planned_comparisons(rows))


def about(artifact: Artifact, setup: EvaluationSetup, question_id: str) -> list[dict[str, Any]]:
    """Return the choice of a model for one question."""
    normalizer = setup.evaluate.normalizer
    return [
        {
            "asked": {"question": r.question, "options": list(r.options), "gold": list(r.gold)},
            "chosen": sorted(r.likeliest(normalizer, len(r.gold))),
            "right": r.right(normalizer),
            "right_by_normalizer": {name: r.right(name) for name in NORMALIZERS},
            "sum_logprob": list(r.sum_logprob),
        }
        for r in read_rows(artifact.path / ROWS_NAME, QuestionRow)
        if r.question_id == question_id
    ]


def graded(artifact: Artifact, setup: EvaluationSetup) -> dict[str, Graded]:
    """Return the grades of a model."""
    rows = read_rows(artifact.path / ROWS_NAME, QuestionRow)
    grades = likelihood_grades(rows, setup.evaluate.normalizer)
    return {METRIC: Graded(grades, mean_chance(rows))}


METHOD = Method(STAGE, ask, _result, about=about, graded=graded)
