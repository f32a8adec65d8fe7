"""The results of an evaluation: computed, kept in `scores.json`, printed and drawn as these types.

`write_scores` and `read_scores` are the only places where a result is plain data. A result of a new
method is one class here and one entry in `RESULTS`.

Intervals are 95% intervals clustered by document. A bound that does not exist is infinite, which
JSON writes as null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, TypeAdapter

from steep.core.files import read_json, write_json

ParserName = Literal["strict", "lenient", "paper", "paper-code"]
VoteName = Literal["first-valid", "random-valid", "majority"]
Unparsed = Literal["wrong", "excluded"]
# Numbers that may be infinite: null in JSON.
AtLeast = Annotated[float, BeforeValidator(lambda value: -math.inf if value is None else value)]
AtMost = Annotated[float, BeforeValidator(lambda value: math.inf if value is None else value)]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval, from `n` values in `clusters` documents."""

    mean: AtMost
    low: AtLeast
    high: AtMost
    n: int
    clusters: int


# Accuracies and their comparison.


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean grade over `n` questions; None if no question counts."""

    n: int
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ModelScore(Estimate):
    """The accuracy of a model, over all questions and by kind of question."""

    name: str
    documents: int
    by_kind: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean difference of two models on the same questions."""

    n: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TestedDifference(Difference):
    """A difference with its p-values.

    Attributes:
        p: Of the interval, clustered by document.
        p_mcnemar: Takes questions as independent; None if a grade is neither right nor wrong.
    """

    __test__ = False  # not a test class of pytest

    p: float
    p_mcnemar: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison(TestedDifference):
    """Model `a` minus model `b`.

    Attributes:
        a: Name of the first model.
        b: Name of the second model.
        planned: True if the study was made for this comparison.
        bootstrap_low: Lower bound from resampling documents.
        bootstrap_high: Upper bound from resampling documents.
        p_holm: Corrected over the planned comparisons; None for other comparisons.
        by_kind: The difference by kind of question.
    """

    a: str
    b: str
    planned: bool
    bootstrap_low: float
    bootstrap_high: float
    p_holm: float | None
    by_kind: Mapping[str, Difference]


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """The scores of all models and the comparisons of all pairs, planned ones first.

    Attributes:
        models: The score of each model.
        pairs: A later model minus an earlier one.
        minimum_detectable_difference: A true difference of this size is found in most studies like
            this one; None for a single question.
    """

    models: tuple[ModelScore, ...]
    pairs: tuple[Comparison, ...]
    minimum_detectable_difference: float | None


# Likelihoods of options.


@dataclass(frozen=True, kw_only=True)
class LikelihoodScore(ModelScore):
    """Accuracy of the likeliest option; `ties` are questions with equally likely best options."""

    by_normalizer: Mapping[str, float]
    ties: int


@dataclass(frozen=True, kw_only=True)
class ExtremeLengths:
    """Shares of questions in which an option is the shortest, and the longest, one."""

    shortest: float
    longest: float


@dataclass(frozen=True, kw_only=True)
class OptionLengths:
    """How often the right, and the chosen, option is the shortest or longest of its question.

    Attributes:
        n: Questions with one right option whose options differ in length.
        gold: Of the right options.
        models: Of the chosen options, by model and normalizer.
    """

    n: int
    gold: ExtremeLengths
    models: Mapping[str, Mapping[str, ExtremeLengths]]


@dataclass(frozen=True, kw_only=True)
class LikelihoodResult(ModelComparison):
    """Closed book, by the likelihood of options.

    Attributes:
        normalizer: What the log-likelihood of an option is divided by.
        chance: The accuracy of guessing.
        chance_by_kind: The same by kind of question.
        several_right: Questions with several right options.
        lengths: None without questions whose options differ in length.
    """

    models: tuple[LikelihoodScore, ...]
    normalizer: str
    chance: float
    chance_by_kind: Mapping[str, float]
    several_right: int
    lengths: OptionLengths | None


# Written answers.


@dataclass(frozen=True, slots=True)
class AnswerProtocol:
    """Settings of written answers.

    Attributes:
        samples: Texts per question.
        temperature: Of sampling; 0 is greedy.
        max_tokens: Of each text.
        parser: How a text is read.
        vote: Which of a question's valid answers counts.
        unparsed: What a question without a valid answer is.
        order_seed: Of the order of options, drawn for each question; None keeps the file's order.
    """

    samples: int = 1
    temperature: float = 0.0
    max_tokens: int = 300  # as in the paper's code
    parser: ParserName = "strict"
    vote: VoteName = "first-valid"
    unparsed: Unparsed = "wrong"
    order_seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class AnswersScore(ModelScore):
    """Accuracy of written answers.

    Attributes:
        questions: Questions that were asked.
        attempted: Questions with a valid answer.
        samples: Texts that were read.
        invalid: Texts without a valid answer, by reason.
        by_gold_letter: Accuracy by the letters under which the right options were shown.
        chosen_letters: How often each combination of letters was chosen.
        asked_without: Parameters of requests that the server of the model refuses.
    """

    questions: int
    attempted: int
    samples: int
    invalid: Mapping[str, int]
    by_gold_letter: Mapping[str, Interval]
    chosen_letters: Mapping[str, int]
    asked_without: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class AnswersResult(ModelComparison):
    """Closed book, by written answers; see `LikelihoodResult` for the other fields."""

    models: tuple[AnswersScore, ...]
    protocol: AnswerProtocol
    chance: float
    chance_by_kind: Mapping[str, float]
    several_right: int
    warnings: tuple[str, ...]


# Short answers.


@dataclass(frozen=True, kw_only=True)
class AnswerLikelihood:
    """The mean log-likelihood of the likeliest accepted answer, over `n` questions."""

    n: int
    nats_per_token: float
    nats_per_byte: float


@dataclass(frozen=True, kw_only=True)
class ShortAnswersResult:
    """Closed book, by short answers in the model's own words.

    Attributes:
        exact_match: SQuAD's exact match.
        f1: SQuAD's F1 of words.
        likelihood: By model, of those that give likelihoods.
        empty: Empty texts, by model.
    """

    exact_match: ModelComparison
    f1: ModelComparison
    likelihood: Mapping[str, AnswerLikelihood]
    empty: Mapping[str, int]


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
        chunk_characters: Size of the chunks.
        document: Ranks of chunks of the right document.
        answer: Ranks of chunks with the answer; None without short answers.
        answers_in_no_chunk: Questions whose answer is in no chunk.
        chunks: Number of chunks.
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
    """The accuracy of one model in one variant.

    Attributes:
        model: Name of the model.
        left_out: Why it was not asked, if prompts outgrow the model's context.
        document_found: By whether a chunk of the right document was shown.
        answer_found: By whether a chunk with the answer was shown.
    """

    model: str
    left_out: str | None
    document_found: HitSplit | None = None
    answer_found: HitSplit | None = None


@dataclass(frozen=True, kw_only=True)
class OpenBookResult:
    """The grid of variants, and the models at their best variants.

    Attributes:
        method: "likelihood" or "answers".
        retrieval: By size of chunks.
        cells: All variants of all models.
        best: The variant that is reported for each model.
        compared: The models at these variants; None if there is no single best one.
        over_closed_book: What each model gains over closed book.
        under_whole_document: What each model gains from the whole document over retrieval.
        chance: The accuracy of guessing.
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
        texts: The set.
        documents: Number of documents with counts.
        written: Number of texts.
        left_out: Texts without counts, by reason.
        empty: Empty texts.
        cut_off: Texts that ended at the token limit.
        claims: Distinct claims.
        repeats: Further mentions of them.
        unread_passages: Passages whose claims could not be read, by reason.
        unjudged: Claims without a full verdict, by reason.
        per_text: Each count, averaged over a document's texts, then over documents.
        precision: True claims among those judged true or false.
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
class SummariesResult:
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
class GeneralTextResult:
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
class TasksResult:
    """Tasks of lm-evaluation-harness, and later models minus the first, paired by question."""

    models: tuple[ModelTasks, ...]
    differences: tuple[TaskDifference, ...]


class SkippedQuestion(NamedTuple):
    """A question (or a `file:line` where it has no id) that is not asked, and the reason."""

    question_id: str
    reason: str


MethodResult = (
    LikelihoodResult
    | AnswersResult
    | ShortAnswersResult
    | OpenBookResult
    | SummariesResult
    | GeneralTextResult
    | TasksResult
)
# The results by their names in `scores.json`, in the order in which they are shown.
RESULTS: dict[str, type[Any]] = {
    "likelihood": LikelihoodResult,
    "answers": AnswersResult,
    "short_answers": ShortAnswersResult,
    "open_book": OpenBookResult,
    "summaries": SummariesResult,
    "general_text": GeneralTextResult,
    "tasks": TasksResult,
}


@dataclass(frozen=True)
class Scores:
    """The results of an evaluation.

    Attributes:
        results: By method, of those methods that were used.
        skipped: Questions that were not asked.
    """

    results: Mapping[str, MethodResult]
    skipped: tuple[SkippedQuestion, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain data."""
        found = {name: as_json(result) for name, result in self.results.items()}
        return {**found, "skipped": [each._asdict() for each in self.skipped]}


def write_scores(path: Path, scores: Scores) -> None:
    """Write `scores.json` atomically."""
    write_json(path, scores.as_json())


def read_scores(path: Path) -> Scores:
    """Read `scores.json`."""
    plain = read_json(path)
    found = {name: from_json(kind, plain[name]) for name, kind in RESULTS.items() if name in plain}
    return Scores(found, tuple(SkippedQuestion(**each) for each in plain.get("skipped", ())))


def as_json(result: Any) -> dict[str, Any]:
    """Return a result as plain data."""
    plain: dict[str, Any] = finite(asdict(result))
    return plain


def from_json(kind: type[Any], plain: Any) -> Any:
    """Return the result of this type that `as_json` wrote."""
    return TypeAdapter(kind).validate_python(plain)


def finite(value: Any) -> Any:
    """Return the same tree with null for infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
