"""The data of a page as frozen types; a part that a run does not have is None."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steep.evaluation.results import (
    AnswersResult,
    LikelihoodResult,
    MetricsResult,
    ModelComparison,
    ShortAnswersResult,
)
from steep.evaluation.scores import SkippedQuestion
from steep.evaluation.study_results import (
    GeneralTextResult,
    OpenBookResult,
    SummariesResult,
    TasksResult,
)

BASE, HUMAN = "base", "human"
RAW_RECIPE = "documents"


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A finished stage of the run; `arm` is set where every arm has its own."""

    stage: str
    arm: str | None
    path: Path
    shown_path: str
    manifest: Mapping[str, Any]

    @property
    def hash8(self) -> str:
        """Return the hash in the name of the artifact."""
        return self.path.name.rsplit("-", 1)[-1]


@dataclass(frozen=True, slots=True)
class Documents:
    """The source documents: titles and parts by id, counts, and files that were skipped."""

    counts: Mapping[str, int]
    titles: Mapping[str, str]
    whole_of: Mapping[str, str]
    skipped: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Generation:
    """The calls of this run as the ledger records them; a cost of None is unknown.

    `wall_s` covers all runs that made the calls, `busy_s` the time with calls in flight.
    """

    model: str
    endpoint: str
    counts: Mapping[str, int]
    usage: Mapping[str, int]
    cost_usd: float | None
    failures: Sequence[tuple[str, int]]
    entities: Mapping[str, Sequence[str]]
    wall_s: float | None
    busy_s: float | None


@dataclass(frozen=True, slots=True)
class OtherRequests:
    """The requests for one purpose outside of generation."""

    purpose: str
    model: str
    requests: int
    failed: int
    usage: Mapping[str, int]
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class SamplePassage:
    """A passage without its text, which is read only for the few that are shown."""

    id: str
    document_id: str
    call_id: str | None
    rank: int
    recipe: str
    subset: Sequence[str]
    words: int


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """A completion that failed a filter; `index` is its row in the table."""

    index: int
    call_id: str
    document_id: str
    recipe: str
    reason: str


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """Passages and rejected texts; `imported` maps recipes of recorded texts to their models."""

    path: Path
    counts: Mapping[str, int]
    imported: Mapping[str, Sequence[str]]
    passages: Sequence[SamplePassage]
    rejected_rows: Sequence[RejectedSample]

    def passage_texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """Read the texts of a few passages."""
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        table = ds.dataset(self.path / "passages.parquet").to_table(
            columns=["id", "text"], filter=pc.field("id").isin(list(ids))
        )
        return {row["id"]: row["text"] for row in table.to_pylist()}

    def rejected_texts(self, indices: Sequence[int]) -> list[str]:
        """Read the texts of a few rejected rows."""
        import pyarrow.dataset as ds

        table = ds.dataset(self.path / "rejected.parquet").take(list(indices), columns=["text"])
        return [text or "" for text in table.column("text").to_pylist()]


@dataclass(frozen=True, slots=True)
class Arm:
    """One trained model: its training text and how its training went; unknown numbers are None.

    `step_s` is the time of all training steps, `wall_s` that of all runs that trained the arm.
    """

    name: str
    passages: int | None
    passage_tokens: int | None
    tokens: int | None
    replayed_tokens: int | None
    epochs: float | None
    steps: int | None
    final_loss: float | None
    wall_s: float | None
    step_s: float | None
    metrics: Sequence[Mapping[str, float]]
    validation: Sequence[Mapping[str, float]]


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
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


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


def question_count(table: ModelComparison) -> int:
    """Return the largest number of scored questions over all models."""
    return max((model.n for model in table.models if estimate(model)), default=0)


def document_count(table: ModelComparison) -> int:
    """Return the largest number of documents over all models."""
    return max(model.documents for model in table.models)


@dataclass(frozen=True)
class ResultTables:
    """All results of an evaluation, by method; None for a method that was not used.

    `others` are those of methods without a section of their own.
    """

    likelihood: LikelihoodResult | None = None
    answers: AnswersResult | None = None
    short_answers: ShortAnswersResult | None = None
    open_book: OpenBookResult | None = None
    summaries: SummariesResult | None = None
    general_text: GeneralTextResult | None = None
    tasks: TasksResult | None = None
    others: Mapping[str, MetricsResult] = field(default_factory=dict)
    skipped: tuple[SkippedQuestion, ...] = ()

    def closed_book(self) -> tuple[ModelComparison, ...]:
        """Return the closed-book accuracies: by likelihood, by answers, by exact match."""
        exact = self.short_answers.exact_match if self.short_answers else None
        return tuple(table for table in (self.likelihood, self.answers, exact) if table)


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a page shows."""

    name: str
    created: str
    hardware: str
    wall_s: Mapping[str, float]
    config_text: str
    config: Mapping[str, Any]
    artifacts: Sequence[ArtifactRef]
    documents: Documents | None
    generation: Generation | None
    corpus: CorpusSummary | None
    arms: Sequence[Arm]
    tables: ResultTables
    requests: Sequence[OtherRequests] = ()

    def setting(self, section: str, key: str) -> Any:
        """Return a value of the resolved configuration, or None."""
        return (self.config.get(section) or {}).get(key)

    @property
    def embedded_generator(self) -> bool:
        """Return whether the generator ran in this process, on the user's own machine."""
        return bool(self.setting("generate", "engine") == "embedded")

    def reads(self, arm: str) -> Sequence[str]:
        """Return the recipes that an arm is trained on."""
        return tuple((self.setting("train", "arms") or {}).get(arm) or ())

    @property
    def has_scores(self) -> bool:
        """Return whether anything was measured."""
        found = self.tables
        others = (found.open_book, found.summaries, found.general_text, found.tasks, found.others)
        return bool(found.closed_book()) or any(others)

    @property
    def series(self) -> dict[str, int]:
        """Return the number of each model's color and marker, the same in every figure."""
        names = [BASE, *measured_models(self.tables), *(arm.name for arm in self.arms)]
        return {name: index for index, name in enumerate(dict.fromkeys(names))}

    @property
    def ordered_arms(self) -> list[Arm]:
        """Return the arms in the order of their colors."""
        return sorted(self.arms, key=lambda arm: self.series[arm.name])

    def title_of(self, document_id: str) -> str:
        """Return the title of a document, or its id when it has none."""
        titles = self.documents.titles if self.documents else {}
        return titles.get(document_id) or document_id


def measured_models(tables: ResultTables) -> Iterator[str]:
    """Yield the models of all tables, in the order of the tables."""
    for table in tables.closed_book():
        yield from (model.name for model in table.models)
    yield from (cell.model for cell in tables.open_book.cells) if tables.open_book else ()
    writers = (each.texts.writer for each in tables.summaries.sets) if tables.summaries else ()
    yield from (writer for writer in writers if writer != HUMAN)
    yield from (model.name for model in tables.general_text.models) if tables.general_text else ()
    yield from (model.name for model in tables.tasks.models) if tables.tasks else ()
    for result in tables.others.values():
        for compared in result.metrics.values():
            yield from (model.name for model in compared.models)
