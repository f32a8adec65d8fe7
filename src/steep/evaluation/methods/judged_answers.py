"""Closed book, short answers graded by a judge: correct, incorrect, or not attempted.

The judge (`evaluate.short_answer_judge`) is measured on labeled answers first. Its verdicts are
artifacts of their own, so another judge needs no answer written again, and its calls are in the
ledger, planned and priced like all others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.files import read_json, read_rows, write_json, write_rows
from steep.core.progress import Progress
from steep.evaluation.callers import SHORT_ANSWER_JUDGE, Callers
from steep.evaluation.compare import Grade, compare, counted_reasons
from steep.evaluation.engines import Progress as OnProgress
from steep.evaluation.judged_results import (
    JudgedAnswersResult,
    ShortAnswerVerdict,
    VerdictAgreement,
    VerdictShares,
)
from steep.evaluation.methods.common import ROWS_NAME, Graded, Method, rows_by_model
from steep.evaluation.prompts import about
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.results import Interval, from_json
from steep.evaluation.rows import AnswerRow
from steep.evaluation.setup import EvaluationSetup, PlannedComparisons
from steep.evaluation.statistics import mean_interval
from steep.evaluation.verdicts import AnswerJudge, ShortAnswer, measure_judge

log = logging.getLogger("steep")

VERSION = 1
STAGE, AGREEMENT = "verdict", "verdict-judge"
AGREEMENT_NAME = "agreement.json"
METRIC = "correct by the judge"


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """The verdict on a short answer of a model; None with the reason if it cannot be read."""

    model: str
    question_id: str
    document_id: str
    kind: str
    answer: str
    accepted: tuple[str, ...]
    verdict: ShortAnswerVerdict | None
    why_not: str | None
    judge: str
    output: str
    seed: int


def check(setup: EvaluationSetup) -> None:
    """Check that short answers are asked, if there is a judge of them.

    Raises:
        UserError: They are not.
    """
    if setup.evaluate.short_answer_judge is None or "short-answers" in setup.evaluate.methods:
        return
    raise UserError(
        "A judge of short answers is configured, and no short answers are asked.",
        where="evaluate.short_answer_judge",
        expected="short-answers in evaluate.methods",
        found=", ".join(setup.evaluate.methods),
    )


@dataclass
class AnswerJudging:
    """Judges the short answers of models, and is itself measured first."""

    setup: EvaluationSetup
    questions: QuestionSet
    callers: Callers

    def measured(self) -> Artifact:
        """Build the artifact with the agreement of the judge."""

        def make(directory: Path) -> dict[str, Any]:
            judge = self.open_judge()
            found = measure_judge(judge, _progress("judge labeled answers"))
            if not found.read:
                log.warning("judge: none of its verdicts could be read; no answer will be graded")
            write_json(directory / AGREEMENT_NAME, asdict(found))
            return {"judge": judge.name}

        fields = self._judge_fields()
        return build(self.setup.project, Identity(AGREEMENT, VERSION, fields, {}), make)

    def judged(self, model: str, answers: Artifact) -> Artifact:
        """Build the artifact with the verdicts on a model's answers."""

        def make(directory: Path) -> dict[str, Any]:
            rows = self.grade(model, self.rows(model, answers))
            write_rows(directory / ROWS_NAME, rows, VerdictRow)
            return {"model": model, "unread": sum(row.verdict is None for row in rows)}

        fields = {"arm": model, **self._judge_fields()}
        identity = Identity(STAGE, VERSION, fields, {"answers": answers})
        return build(self.setup.project, identity, make)

    def rows(self, model: str, answers: Artifact) -> list[AnswerRow]:
        """Return the answers of a model."""
        return read_rows(answers.path / ROWS_NAME, AnswerRow)

    def grade(self, model: str, rows: Sequence[AnswerRow]) -> list[VerdictRow]:
        """Judge the answers of a model."""
        by_id, short = self.questions.by_id, self.questions.short
        asked = {each.id: about(by_id[each.document_id], each.question) for each in short}
        answers = [ShortAnswer(asked[row.question_id], row.answers, row.output) for row in rows]
        judge = self.open_judge()
        gradings = judge.grade(answers, _progress(f"judge short answers {model}"))
        return [
            VerdictRow(
                model,
                row.question_id,
                row.document_id,
                row.kind,
                row.output,
                row.answers,
                each.verdict,
                each.why_not,
                judge.name,
                each.output,
                each.seed,
            )
            for row, each in zip(rows, gradings, strict=True)
        ]

    def open_judge(self) -> AnswerJudge:
        """Return the judge; its answers are in the ledger."""
        judge = self.setup.evaluate.short_answer_judge
        assert judge is not None
        return AnswerJudge(
            self.callers.engine(SHORT_ANSWER_JUDGE, "judge short answers"), judge.model
        )

    def _judge_fields(self) -> dict[str, Any]:
        judge = self.setup.evaluate.short_answer_judge
        assert judge is not None
        return identity_fields("judge", judge)


def _progress(label: str) -> OnProgress:
    return Progress(label, None, "calls").update


def answer_judging(
    setup: EvaluationSetup, question_set: QuestionSet | None, callers: Callers
) -> AnswerJudging | None:
    """Return the judging of short answers; None if it is not configured."""
    if setup.evaluate.short_answer_judge is None or question_set is None or not question_set.short:
        return None
    return AnswerJudging(setup, question_set, callers)


def judged_answers_result(
    by_model: Mapping[str, Sequence[VerdictRow]],
    agreement: VerdictAgreement | None,
    planned: PlannedComparisons | None = None,
) -> JudgedAnswersResult:
    """Compute the shares of verdicts, and compare the models by correct answers."""
    return JudgedAnswersResult(
        title="closed book, short answers",
        metrics={
            METRIC: compare({name: _grades(rows) for name, rows in by_model.items()}, planned)
        },
        caveat="Verdicts of a model; its agreement with labels was measured on other answers.",
        verdicts=tuple(_shares(name, rows) for name, rows in by_model.items()),
        agreement=agreement,
    )


def _grades(rows: Sequence[VerdictRow]) -> list[Grade]:
    return [
        Grade(
            row.question_id,
            row.document_id,
            row.kind,
            None if row.verdict is None else float(row.verdict == "correct"),
        )
        for row in rows
    ]


def _shares(model: str, rows: Sequence[VerdictRow]) -> VerdictShares:
    read = [row for row in rows if row.verdict is not None]
    attempted = [row for row in read if row.verdict != "not attempted"]
    return VerdictShares(
        model=model,
        answers=len(rows),
        correct=_share(read, "correct"),
        incorrect=_share(read, "incorrect"),
        not_attempted=_share(read, "not attempted"),
        correct_if_attempted=_share(attempted, "correct"),
        unread=counted_reasons(row.why_not for row in rows),
    )


def _share(rows: Sequence[VerdictRow], verdict: ShortAnswerVerdict) -> Interval | None:
    values = [float(row.verdict == verdict) for row in rows]
    return mean_interval(values, [row.document_id for row in rows]) if rows else None


def _result(
    artifacts: Sequence[Artifact], rows: Sequence[Artifact], setup: EvaluationSetup
) -> JudgedAnswersResult:
    measured = [each for each in rows if each.stage == AGREEMENT]
    found = None
    if measured:
        found = from_json(VerdictAgreement, read_json(measured[-1].path / AGREEMENT_NAME))
    verdicts = rows_by_model(artifacts, VerdictRow)
    return judged_answers_result(verdicts, found, setup.planned_comparisons(verdicts))


def graded(artifact: Artifact, _: EvaluationSetup) -> dict[str, Graded]:
    """Return the grades of a model."""
    return {METRIC: Graded(_grades(read_rows(artifact.path / ROWS_NAME, VerdictRow)), 0.0)}


# `short_answers` asks, and has the answers judged.
METHOD = Method(STAGE, lambda *_: iter(()), _result, chosen=False, graded=graded)
