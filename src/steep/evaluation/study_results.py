"""The results of the open book, of summaries and of forgetting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steep.evaluation.results import (
    Estimate,
    Interval,
    MethodResult,
    ModelComparison,
    TestedDifference,
)

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
    """What a search finds with chunks of one size.

    Attributes:
        document: Ranks of chunks of the right document.
        answer: Ranks of chunks with the answer; None without short answers.
        answers_in_no_chunk: Questions whose answer is in no chunk.
        blank: Documents without text.
    """

    chunk_characters: int
    document: RetrievalRanks
    answer: RetrievalRanks | None
    answers_in_no_chunk: int
    chunks: int = 0
    blank: int = 0


@dataclass(frozen=True, kw_only=True)
class GridVariant:
    """How contexts are shown.

    Attributes:
        chunk_characters: Size of the chunks; None stands for the whole document.
        shown: Number of chunks that are shown.
        order: "best_first" or "best_last".
        temperature: Of answers; None for likelihoods.
        split: The questions: "all", or "validation" and "test" if the best variant is chosen.
    """

    chunk_characters: int | None
    shown: int
    order: str
    temperature: float | None
    split: str

    def __str__(self) -> str:
        if self.chunk_characters is None:
            return "whole document"
        heat = "" if self.temperature is None else f", temperature {self.temperature}"
        order = self.order.replace("_", " ")
        return f"{self.shown} chunks of {self.chunk_characters}, {order}{heat}"


@dataclass(frozen=True, kw_only=True)
class HitSplit:
    """Accuracy where retrieval found the text, and where it did not."""

    hit: Estimate
    miss: Estimate


@dataclass(frozen=True, kw_only=True)
class GridScore(GridVariant, Estimate):
    """The accuracy of one model in one variant.

    Attributes:
        left_out: Why it was not asked, if prompts outgrow the model's context.
        document_found: By whether a chunk of the right document was shown.
        answer_found: By whether a chunk with the answer was shown.
    """

    model: str
    left_out: str | None
    document_found: HitSplit | None = None
    answer_found: HitSplit | None = None


@dataclass(frozen=True, kw_only=True)
class OpenBookResult(MethodResult):
    """The grid of variants, and the models at their best variants.

    Attributes:
        retrieval: By size of chunks.
        cells: All variants of all models.
        best: The variant that is reported for each model.
        compared: The models at these variants; None if there is no single best one.
        over_closed_book: What each model gains over closed book.
        under_whole_document: What each model gains from the whole document over retrieval.
    """

    method: str
    retrieval: tuple[RetrievalScore, ...]
    cells: tuple[GridScore, ...]
    best: Mapping[str, GridVariant]
    compared: ModelComparison | None
    over_closed_book: Mapping[str, TestedDifference]
    under_whole_document: Mapping[str, TestedDifference]
    chance: float | None = None


# Summaries.


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the judge with our labels on one yes-or-no question.

    Attributes:
        n: Claims that have both verdicts.
        accuracy: The share of equal verdicts; None without claims.
        kappa: Cohen's kappa; None if both always say the same one thing.
        table: How often (we, the judge) said so: "yes yes", "yes no", "no yes", "no no".
    """

    n: int
    accuracy: Interval | None
    kappa: Interval | None
    table: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Agreement of a judge with our labels; `unread` are claims without a full verdict."""

    judge: str
    claims: int
    truth: Agreement
    salience: Agreement
    unread: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TextSet:
    """The texts of one writer and kind."""

    writer: str
    kind: str


@dataclass(frozen=True, slots=True)
class Relative:
    """A count relative to the human count, in two readings; None if there is no such ratio.

    `left_out` documents have human counts of zero and no place in the mean of ratios. Humans among
    themselves have no ratio of sums: it is 1 by definition.
    """

    mean_of_ratios: Interval | None
    left_out: int
    ratio_of_sums: Interval | None


@dataclass(frozen=True, slots=True)
class SetScores:
    """The scores of one set of texts.

    Attributes:
        documents: Number of documents with counts.
        left_out: Texts without counts, by reason.
        cut_off: Texts that ended at the token limit.
        claims: Distinct claims; `repeats` are further mentions of them.
        unread_passages: Passages whose claims could not be read, by reason.
        unjudged: Claims without a full verdict, by reason.
        per_text: Each count, averaged over a document's texts, then over documents.
        without_human: Documents without human counts.
        relative: Each count relative to the human count.
    """

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


@dataclass(frozen=True, slots=True)
class SetDifference:
    """One set minus another, on the `documents` that both have counts of."""

    a: TextSet
    b: TextSet
    documents: int
    per_text: Mapping[str, Interval | None]
    precision: Interval | None
    mean_of_ratios: Mapping[str, Interval | None]
    ratio_of_sums: Mapping[str, Interval | None]


@dataclass(frozen=True, kw_only=True)
class SummariesResult(MethodResult):
    """Summaries from memory, their claims judged beside those of human summaries."""

    judge: tuple[JudgeAgreement, ...]
    sets: tuple[SetScores, ...]
    differences: tuple[SetDifference, ...]


# Forgetting.


@dataclass(frozen=True, kw_only=True)
class LossScore:
    """The loss on general text, or the difference of two losses.

    Nats per token are None for the difference of two models with other tokens.
    """

    nats_per_token: Interval | None
    bits_per_byte: Interval
    texts: int
    tokens: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class ModelLoss(LossScore):
    """The loss of a model."""

    name: str


@dataclass(frozen=True, kw_only=True)
class LossDifference(LossScore):
    """The loss of model `a` minus that of model `b`: above 0, something was forgotten."""

    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class GeneralTextResult(MethodResult):
    """The loss of each model on general text, and later models minus the first."""

    models: tuple[ModelLoss, ...]
    differences: tuple[LossDifference, ...]


@dataclass(frozen=True, slots=True)
class TaskScore:
    """The score of a task or a group of tasks, as the harness counts it over `n` questions."""

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
    """Model `a` minus model `b`: the mean of the rows' values (a ratio of sums with weights).

    `p_mcnemar` is None unless every value is right or wrong.
    """

    a: str
    b: str
    task: str
    metric: str
    before: float
    after: float
    difference: Interval
    p_mcnemar: float | None


@dataclass(frozen=True, kw_only=True)
class TasksResult(MethodResult):
    """Tasks of lm-evaluation-harness, and later models minus the first, paired by question."""

    models: tuple[ModelTasks, ...]
    differences: tuple[TaskDifference, ...]
