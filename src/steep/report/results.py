"""The results of an evaluation as the page reads them: by method, and values with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from steep.evaluation.contamination_results import ContaminationResult
from steep.evaluation.judged_results import JudgedAnswersResult
from steep.evaluation.results import (
    AnswersResult,
    Environment,
    LikelihoodResult,
    MetricsResult,
    ModelComparison,
    Scores,
    ShortAnswersResult,
    SkippedQuestion,
)
from steep.evaluation.study_results import (
    HUMAN,
    FaithfulnessResult,
    GeneralTextResult,
    OpenBookResult,
    SummariesResult,
    TasksResult,
)

NORMALIZERS = {
    "sum": "total log-likelihood",
    "per_token": "log-likelihood per token",
    "per_character": "log-likelihood per character",
    "per_byte": "log-likelihood per byte",
}


def normalizer_name(name: str) -> str:
    """Return a normalizer in words."""
    return NORMALIZERS.get(name, name)


@dataclass(frozen=True)
class ResultTables:
    """All results of an evaluation, by method; None for a method that was not used.

    `others` are those of methods without a section of their own.
    """

    likelihood: LikelihoodResult | None = None
    answers: AnswersResult | None = None
    short_answers: ShortAnswersResult | None = None
    judged_answers: JudgedAnswersResult | None = None
    open_book: OpenBookResult | None = None
    summaries: SummariesResult | None = None
    general_text: GeneralTextResult | None = None
    tasks: TasksResult | None = None
    faithfulness: FaithfulnessResult | None = None
    contamination: ContaminationResult | None = None
    others: Mapping[str, MetricsResult] = field(default_factory=dict)
    skipped: tuple[SkippedQuestion, ...] = ()
    environments: tuple[Environment, ...] = ()

    @classmethod
    def of(cls, scores: Scores) -> ResultTables:
        """Return the results of these scores."""
        names = {each.name for each in fields(cls)}
        own: dict[str, Any] = {k: each for k, each in scores.results.items() if k in names}
        others = {
            name: found
            for name, found in scores.results.items()
            if name not in own and isinstance(found, MetricsResult)
        }
        return cls(**own, others=others, skipped=scores.skipped, environments=scores.environments)

    def closed_book(self) -> list[tuple[ModelComparison, str]]:
        """Return the closed-book accuracies, each with what they are scored by."""
        found: list[tuple[ModelComparison, str]] = []
        if self.likelihood:
            found.append((self.likelihood, normalizer_name(self.likelihood.normalizer)))
        if self.answers:
            found.append((self.answers, "generated answers"))
        if self.short_answers:
            found.append((self.short_answers.exact_match, "exact match"))
        return found

    def models(self) -> Iterator[str]:
        """Yield the models of all results, in the order of the results."""
        for table, _ in self.closed_book():
            yield from (model.name for model in table.models)
        yield from (cell.model for cell in self.open_book.cells) if self.open_book else ()
        writers = (each.texts.writer for each in self.summaries.sets) if self.summaries else ()
        yield from (writer for writer in writers if writer != HUMAN)
        for found in (self.general_text, self.tasks):
            yield from (model.name for model in found.models) if found else ()
        for result in self.others.values():
            yield from (model.name for each in result.metrics.values() for model in each.models)

    def __bool__(self) -> bool:
        """Return whether anything was measured."""
        found = (self.open_book, self.summaries, self.general_text, self.tasks, self.faithfulness)
        return bool(self.closed_book()) or any(found) or bool(self.others)


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A value of `n` observations with its 95% interval; an unbounded side is None.

    Accuracies and their differences are fractions; other values are in their own unit.
    """

    n: int
    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Return whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def estimate(row: Any) -> IntervalEstimate | None:
    """Return the value of a result with its interval; None for a result without a value."""
    names = ("accuracy", "difference", "mean", "value")
    value = next((getattr(row, name) for name in names if hasattr(row, name)), None)
    if value is None:
        return None
    return IntervalEstimate(getattr(row, "n", 0), value, _bound(row.low), _bound(row.high))


def _bound(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


def of_kind(row: Any, kind: str | None) -> IntervalEstimate | None:
    """Return the estimate of a model or pair on the questions of a kind, or on all questions."""
    return estimate(row if kind is None else row.by_kind.get(kind))


def kinds(table: ModelComparison) -> list[str]:
    """Return the kinds of question in order of appearance; none when there is only one."""
    found = dict.fromkeys(
        kind for model in table.models for kind in model.by_kind if of_kind(model, kind)
    )
    return list(found) if len(found) > 1 else []


def chance_of(table: ModelComparison) -> float | None:
    """Return the accuracy of guessing, where options are given."""
    return table.chance if isinstance(table, LikelihoodResult | AnswersResult) else None


def question_count(table: ModelComparison) -> int:
    """Return the largest number of scored questions over all models."""
    return max((model.n for model in table.models if estimate(model)), default=0)


def document_count(table: ModelComparison) -> int:
    """Return the largest number of documents over all models."""
    return max(model.documents for model in table.models)
