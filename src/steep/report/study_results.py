"""Result types of open book, summaries and forgetting, as `scores.json` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steep.report.results import Estimate, Interval, ModelComparison, TestedDifference

# Open book.


@dataclass(frozen=True, kw_only=True)
class RetrievalMean:
    """A mean over questions with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RetrievalRanks:
    """Recall by cutoff, and mean reciprocal rank, over `n` questions."""

    n: int
    recall: Mapping[str, RetrievalMean]
    mrr: RetrievalMean


@dataclass(frozen=True, kw_only=True)
class RetrievalScore:
    """What a search finds with chunks of one size."""

    chunk_characters: int
    document: RetrievalRanks
    answer: RetrievalRanks | None
    answers_in_no_chunk: int
    chunks: int = 0
    blank: int = 0


@dataclass(frozen=True, kw_only=True)
class GridVariant:
    """How contexts are shown; `chunk_characters` None stands for the whole document."""

    chunk_characters: int | None
    shown: int
    order: str
    temperature: float | None
    split: str


@dataclass(frozen=True, kw_only=True)
class HitSplit:
    """Accuracy where retrieval found the text, and where it did not."""

    hit: Estimate
    miss: Estimate


@dataclass(frozen=True, kw_only=True)
class GridScore(GridVariant, Estimate):
    """The accuracy of one model in one variant; `left_out` is why it was not evaluated."""

    model: str
    left_out: str | None
    document_found: HitSplit | None = None
    answer_found: HitSplit | None = None


@dataclass(frozen=True, kw_only=True)
class OpenBookResult:
    """The grid of variants, and the models at their best variants."""

    method: str
    retrieval: tuple[RetrievalScore, ...]
    cells: tuple[GridScore, ...]
    best: Mapping[str, GridVariant]
    compared: ModelComparison | None
    over_closed_book: Mapping[str, TestedDifference]
    under_whole_document: Mapping[str, TestedDifference]
    chance: float | None = None


# Summaries.


@dataclass(frozen=True)
class Agreement:
    """Agreement of the judge with labels on one yes-or-no question."""

    n: int
    accuracy: Interval | None
    kappa: Interval | None
    table: Mapping[str, int]


@dataclass(frozen=True)
class JudgeAgreement:
    """Agreement of a judge with labels; `unread` are claims without a full verdict."""

    judge: str
    claims: int
    truth: Agreement
    salience: Agreement
    unread: Mapping[str, int]


@dataclass(frozen=True)
class TextSet:
    """The texts of one writer and kind."""

    writer: str
    kind: str


@dataclass(frozen=True)
class Relative:
    """A count relative to the human count, by both ratios."""

    mean_of_ratios: Interval | None
    left_out: int
    ratio_of_sums: Interval | None


@dataclass(frozen=True)
class SetScores:
    """The scores of one set of texts."""

    texts: TextSet
    documents: int
    written: int
    left_out: Mapping[str, int]
    empty: int
    cut_off: int
    claims: int
    repeats: int
    unread_passages: Mapping[str, int]
    unjudged: Mapping[str, int]
    per_text: Mapping[str, Interval | None]
    precision: Interval | None
    without_human: int
    relative: Mapping[str, Relative]


@dataclass(frozen=True)
class SetDifference:
    """One set minus another, paired by document."""

    a: TextSet
    b: TextSet
    documents: int
    per_text: Mapping[str, Interval | None]
    ratio_of_sums: Mapping[str, Interval | None]


@dataclass(frozen=True, kw_only=True)
class SummariesResult:
    """Summaries from memory, their claims judged beside those of human summaries."""

    judge: tuple[JudgeAgreement, ...]
    sets: tuple[SetScores, ...]
    differences: tuple[SetDifference, ...]


# Forgetting.


@dataclass(frozen=True, kw_only=True)
class ModelLoss:
    """The loss of a model on general text."""

    name: str
    nats_per_token: Interval | None
    bits_per_byte: Interval
    texts: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class LossDifference:
    """The loss of model `a` minus that of model `b`."""

    a: str
    b: str
    nats_per_token: Interval | None
    bits_per_byte: Interval


@dataclass(frozen=True, kw_only=True)
class GeneralTextResult:
    """The loss of each model on general text, and later models minus the first."""

    models: tuple[ModelLoss, ...]
    differences: tuple[LossDifference, ...]


@dataclass(frozen=True)
class TaskScore:
    """The score of a task or a group of tasks, as the harness counts it."""

    task: str
    metric: str
    value: float
    stderr: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class ModelTasks:
    """The tasks of a model."""

    name: str
    scores: tuple[TaskScore, ...]


@dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """Model `a` minus model `b` by one metric of one task."""

    a: str
    b: str
    task: str
    metric: str
    before: float
    after: float
    difference: Interval
    p_mcnemar: float | None


@dataclass(frozen=True, kw_only=True)
class TasksResult:
    """Tasks of lm-evaluation-harness, and later models minus the first."""

    models: tuple[ModelTasks, ...]
    differences: tuple[TaskDifference, ...]
