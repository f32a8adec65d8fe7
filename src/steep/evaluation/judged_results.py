"""The agreement of judges with labels, and the results of short answers that a judge graded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from steep.evaluation.results import Interval, MetricsResult

ShortAnswerVerdict = Literal["correct", "incorrect", "not attempted"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the judge with our labels on one yes-or-no question.

    Attributes:
        table: Counts of (our label, verdict of the judge): "yes yes", "yes no", "no yes", "no no".
    """

    n: int  # claims that have both verdicts
    accuracy: Interval | None  # the share of equal verdicts; None without claims
    kappa: Interval | None  # Cohen's kappa; None if both always have the same single value
    table: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class LabeledDisagreement:
    """A labeled answer on which a judge disagrees with the label."""

    kind: str
    question: str
    answer: str
    label: ShortAnswerVerdict
    verdict: ShortAnswerVerdict


@dataclass(frozen=True, kw_only=True)
class VerdictAgreement:
    """Agreement of a judge with our labels of short answers.

    Attributes:
        answers: Labeled answers; `read` of them have a verdict, and `unread` are the others, by
            reason.
        accuracy: The share of equal verdicts; None without any.
        kappa: Cohen's kappa of the three verdicts; None if there is only one.
        by_verdict: Agreement on whether an answer has this verdict.
    """

    judge: str
    answers: int
    read: int
    accuracy: Interval | None
    kappa: Interval | None
    by_verdict: Mapping[ShortAnswerVerdict, Agreement]
    unread: Mapping[str, int]
    disagreements: tuple[LabeledDisagreement, ...]


@dataclass(frozen=True, kw_only=True)
class VerdictShares:
    """The verdicts on the answers of a model, as shares of those that were read.

    Attributes:
        correct_if_attempted: The share of correct answers among correct and incorrect ones; None
            without any.
        unread: Answers without a verdict, by reason.
    """

    model: str
    answers: int
    correct: Interval | None
    incorrect: Interval | None
    not_attempted: Interval | None
    correct_if_attempted: Interval | None
    unread: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class JudgedAnswersResult(MetricsResult):
    """Short answers graded by a judge: verdicts by model, and the agreement of the judge.

    Attributes:
        agreement: With our labels; None if it was not measured.
    """

    verdicts: tuple[VerdictShares, ...]
    agreement: VerdictAgreement | None
