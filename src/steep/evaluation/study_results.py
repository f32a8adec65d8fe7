"""The results of the open book, of summaries and of forgetting; reading the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from steep.core.errors import UserError
from steep.core.files import read_json, write_json
from steep.evaluation.contamination_results import ContaminationResult
from steep.evaluation.judged_results import Agreement, JudgedAnswersResult
from steep.evaluation.results import (
    AnswersResult,
    Environment,
    Estimate,
    Interval,
    LikelihoodResult,
    MethodResult,
    MetricsResult,
    ModelComparison,
    Scores,
    ShortAnswersResult,
    SkippedQuestion,
    TestedDifference,
    from_json,
)

HUMAN = "human"  # the writer of human summaries
MEASURES = ("claims", "true", "false", "salient", "cosmetic")  # counts of verdicts

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
    document: RetrievalRanks  # ranks of chunks of the right document
    answer: RetrievalRanks | None  # ranks of chunks with the answer; None without short answers
    answers_in_no_chunk: int  # questions whose answer is in no chunk
    chunks: int = 0
    blank: int = 0  # documents without text


@dataclass(frozen=True, kw_only=True)
class GridVariant:
    """How contexts are shown."""

    chunk_characters: int | None  # size of the chunks; None stands for the whole document
    shown: int  # number of chunks that are shown
    order: str  # "best_first" or "best_last"
    temperature: float | None  # of answers; None for likelihoods
    split: str  # the questions: "all", or "validation" and "test" if the best variant is chosen

    def __str__(self) -> str:
        if self.chunk_characters is None:
            return "whole document"
        temperature = "" if self.temperature is None else f", temperature {self.temperature}"
        order = self.order.replace("_", " ")
        return f"{self.shown} chunks of {self.chunk_characters}, {order}{temperature}"


@dataclass(frozen=True, kw_only=True)
class HitSplit:
    """Accuracy where retrieval found the text, and where it did not."""

    hit: Estimate
    miss: Estimate


@dataclass(frozen=True, kw_only=True)
class GridScore(GridVariant, Estimate):
    """The accuracy of one model in one variant."""

    model: str
    left_out: str | None  # why it was not asked, if prompts outgrow the model's context
    document_found: HitSplit | None = None  # by whether a chunk of the right document was shown
    answer_found: HitSplit | None = None  # by whether a chunk with the answer was shown


@dataclass(frozen=True, kw_only=True)
class RetrievalShare:
    """A trained model closed book beside the base model with retrieval.

    Attributes:
        retrieval: The base with retrieval minus the base closed book, on the questions that count
            for both and for the trained model closed book; the next two are on these, too.
        trained: The trained model minus the base, both closed book.
        trained_over_retrieval: The trained model closed book minus the base with retrieval.
        both_over_retrieval: The trained model with retrieval minus the base with retrieval; None
            if it was not asked.
        share: `trained` over `retrieval`; None unless the interval of `retrieval` is above zero.
    """

    model: str
    retrieval: TestedDifference
    trained: TestedDifference
    trained_over_retrieval: TestedDifference
    both_over_retrieval: TestedDifference | None
    share: Interval | None


@dataclass(frozen=True, kw_only=True)
class OpenBookResult(MethodResult):
    """The grid of variants, and the models at their best variants.

    Attributes:
        compared: The models at these variants; None if there is no single best one.
        under_whole_document: What each model gains from the whole document over retrieval.
    """

    method: str
    retrieval: tuple[RetrievalScore, ...]  # by size of chunks
    cells: tuple[GridScore, ...]  # all variants of all models
    best: Mapping[str, GridVariant]  # the variant that is reported for each model
    compared: ModelComparison | None
    over_closed_book: Mapping[str, TestedDifference]  # what each model gains over closed book
    under_whole_document: Mapping[str, TestedDifference]
    chance: float | None = None
    shares: tuple[RetrievalShare, ...] = ()  # of trained models, if the base was asked both ways


# Summaries.


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
        per_text: Each count, averaged over a document's texts, then over documents.
    """

    texts: TextSet
    documents: int  # number of documents with counts
    written: int
    left_out: Mapping[str, int]  # texts without counts, by reason
    empty: int
    cut_off: int  # texts that ended at the token limit
    claims: int  # distinct claims; `repeats` are further mentions of them
    repeats: int
    unread_passages: Mapping[str, int]  # passages whose claims could not be read, by reason
    unjudged: Mapping[str, int]  # claims without a full verdict, by reason
    per_text: Mapping[str, Interval | None]
    precision: Interval | None
    without_human: int  # documents without human counts
    relative: Mapping[str, Relative]  # each count relative to the human count


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


# Faithfulness of synthetic texts.


@dataclass(frozen=True, kw_only=True)
class RecipeFaithfulness:
    """The claims of the judged texts of one recipe; `supported` is the share of true ones."""

    recipe: str
    texts: int
    documents: int
    claims: int
    judged: int  # claims with a verdict that could be read
    supported: Interval | None
    unread_passages: Mapping[str, int]  # parts of texts whose claims could not be read, by reason
    unjudged: Mapping[str, int]  # claims without a verdict, by reason


@dataclass(frozen=True, slots=True)
class UnsupportedClaim:
    """A claim of a synthetic text that the judge does not find in the source document."""

    recipe: str
    document_id: str
    passage_id: str
    claim: str


@dataclass(frozen=True, kw_only=True)
class FaithfulnessResult(MethodResult):
    """The claims of a sample of synthetic texts, judged against their documents.

    Attributes:
        judge: The agreement of the judge with labels; None if the limit came before it.
        wanted: The number of texts in the sample; a limit in dollars may end before the last.
        requests: All requests for this in the project, with their known cost.
    """

    judge: JudgeAgreement | None
    wanted: int
    judged: int
    recipes: tuple[RecipeFaithfulness, ...]
    examples: tuple[UnsupportedClaim, ...]
    requests: int
    known_usd: float
    unpriced: int


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


# Methods whose result is more than a `MetricsResult`.
RESULTS: Mapping[str, type[MethodResult]] = {
    "likelihood": LikelihoodResult,
    "answers": AnswersResult,
    "short_answers": ShortAnswersResult,
    "judged_answers": JudgedAnswersResult,
    "open_book": OpenBookResult,
    "summaries": SummariesResult,
    "general_text": GeneralTextResult,
    "tasks": TasksResult,
    "faithfulness": FaithfulnessResult,
    "contamination": ContaminationResult,
}


def write_scores(path: Path, scores: Scores) -> None:
    """Write `scores.json` atomically."""
    write_json(path, scores.as_json())


def read_scores(path: Path) -> Scores:
    """Read `scores.json`.

    Raises:
        UserError: It was written by another version of Steep.
    """
    plain = read_json(path)
    try:
        skipped = from_json(tuple[SkippedQuestion, ...], plain.pop("skipped", ()))
        environments = from_json(tuple[Environment, ...], plain.pop("environments", ()))
        found = {
            name: from_json(RESULTS.get(name, MetricsResult), each) for name, each in plain.items()
        }
    except ValidationError as error:
        raise UserError(
            "These scores were written by another version of Steep.",
            where=path,
            found=f"{error.error_count()} fields of another form",
            hint="compute them again: steep evaluate --rescore",
        ) from error
    return Scores(found, skipped, environments)
