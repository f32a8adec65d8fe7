"""The results of methods, and the scores of an evaluation as `scores.json` holds them.

Results are computed, kept, printed and drawn as these types (see also `study_results.py`);
`as_json` and `from_json` convert them to and from plain data. `MetricsResult` is the result of any
method; others belong to closed-book methods. Intervals are 95% intervals clustered by document. A
bound that does not exist is infinite, which JSON writes as null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, TypeAdapter

ParserName = Literal["strict", "lenient", "paper", "paper-code"]
VoteName = Literal["first-valid", "random-valid", "majority"]
Unparsed = Literal["wrong", "excluded"]
READING = {"reading": True}  # marks a field of a protocol that changes no text, only its reading
# Numbers that may be infinite: null in JSON.
AtLeast = Annotated[float, BeforeValidator(lambda value: -math.inf if value is None else value)]
AtMost = Annotated[float, BeforeValidator(lambda value: math.inf if value is None else value)]


@dataclass(frozen=True)
class MethodResult:
    """The result of a method, as `scores.json` holds it."""


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
class StandardErrors:
    """The standard errors of a mean or a difference, as shares.

    Attributes:
        questions: Clustered by document, for the models as they were trained.
        training: Of the mean over seeds; 0 where nothing was trained, and None if it is unknown,
            as an arm was trained with one seed.
    """

    questions: float
    training: float | None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean grade over `n` questions; None if no question counts."""

    n: int
    accuracy: float | None
    low: float | None
    high: float | None
    errors: StandardErrors | None = None


@dataclass(frozen=True, kw_only=True)
class ModelScore(Estimate):
    """The accuracy of a model, over all questions and by kind of question."""

    name: str
    documents: int
    by_kind: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class ArmScore(ModelScore):
    """The mean accuracy of an arm's models, with an interval over documents and seeds."""

    by_model: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean difference of two models, or of two arms, on the same questions."""

    n: int
    difference: float
    low: float
    high: float
    errors: StandardErrors | None = None


@dataclass(frozen=True, kw_only=True)
class TestedDifference(Difference):
    """A difference with its p-values.

    Attributes:
        p_mcnemar: Takes questions as independent; None if a grade is neither right nor wrong.
    """

    __test__ = False  # not a test class of pytest

    p: float  # of the interval, clustered by document
    p_mcnemar: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison(TestedDifference):
    """Model `a` minus model `b`; an arm with several seeds is the mean of its models."""

    a: str
    b: str
    planned: bool  # before the results were known; other comparisons are exploratory
    bootstrap_low: float  # from resampling documents alone; `bootstrap_high` is the upper bound
    bootstrap_high: float
    p_holm: float | None  # corrected over the planned comparisons; None for exploratory ones
    by_kind: Mapping[str, Difference]  # the difference by kind of question


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """The scores of all models, and all pairs.

    Arms with several seeds have a score in `arms`, and are one model in `pairs`. Planned pairs come
    first. A true difference of the `minimum_detectable_difference` is found in 80% of studies like
    this one, with Holm's correction at its first step; it is None for a single question.
    `not_compared` are planned pairs of which a model was not asked, or without a question that
    counts for both.
    """

    models: tuple[ModelScore, ...]
    pairs: tuple[Comparison, ...]
    minimum_detectable_difference: float | None
    arms: tuple[ArmScore, ...] = ()
    not_compared: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricsResult(MethodResult):
    """Models compared by every metric of a method; terminal and page show it for any method."""

    title: str  # the method in a few words
    metrics: Mapping[str, ModelComparison]  # by the name of the metric, with grades from 0 to 1
    caveat: str = ""  # what to know before reading the numbers


# Likelihoods of options.


@dataclass(frozen=True, kw_only=True)
class ChoiceResult(MethodResult, ModelComparison):
    """Closed book, by the choice of options; `chance` is the accuracy of guessing.

    `several_right` questions have several right options.
    """

    chance: float
    chance_by_kind: Mapping[str, float]
    several_right: int


@dataclass(frozen=True, kw_only=True)
class LikelihoodScore(ModelScore):
    """Accuracy of the likeliest option; `ties` are questions with equally likely best options."""

    by_normalizer: Mapping[str, float]
    ties: int


@dataclass(frozen=True, kw_only=True)
class OptionShares:
    """How often an option is the shortest, longest, first or last one of its question.

    Attributes:
        n: Questions with one right option; `first` and `last` are shares of them.
        n_lengths: Those whose options differ in length (in characters); `shortest` and `longest`
            are shares of them. Shares of no questions are None.
    """

    n: int
    first: float | None
    last: float | None
    n_lengths: int
    shortest: float | None
    longest: float | None


@dataclass(frozen=True, kw_only=True)
class ChosenOptions(OptionShares):
    """The options that a model chose; `normalizer` is None for written answers."""

    name: str
    normalizer: str | None


@dataclass(frozen=True, kw_only=True)
class OptionBias:
    """Lengths and places of the options that a random choice, the gold, and models choose."""

    chance: OptionShares
    gold: OptionShares
    models: tuple[ChosenOptions, ...]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Questions whose chosen option has a probability from `low` to below `high`.

    Attributes:
        probability: The mean probability of the chosen options.
        accuracy: The share of these options that are right.
    """

    low: float
    high: float
    probability: float
    accuracy: Interval


@dataclass(frozen=True, kw_only=True)
class ModelCalibration:
    """The probabilities of a model's chosen options beside how often these are right.

    Attributes:
        probability: The mean probability of the chosen options.
        overconfidence: That probability minus the accuracy.
        brier: The mean squared error of the probabilities, summed over the options of a question
            (Brier 1950): 0 to 2.
        ece: The expected calibration error, the mean distance between probability and accuracy
            over the bins, weighted by their questions (Naeini et al. 2015).
        ece_if_calibrated: What it stays below in 95% of studies of a model with these probabilities
            that is right exactly as often as they say; above 0, since bins hold few questions.
    """

    name: str
    probability: float
    overconfidence: Interval
    brier: Interval
    ece: Interval
    ece_if_calibrated: float
    bins: tuple[ReliabilityBin, ...]  # those with questions


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration of all models, over `n` questions with one right option.

    Attributes:
        normalizer: Of the log-likelihoods; probabilities are their softmax over the options.
        guess_brier: The Brier score of equal probabilities.
    """

    normalizer: str
    n: int
    guess_brier: float
    models: tuple[ModelCalibration, ...]


@dataclass(frozen=True, kw_only=True)
class LikelihoodResult(ChoiceResult):
    """Closed book, by the likelihood of options, divided by a length (the normalizer).

    `bias` is None, and `calibration` empty, without questions with one right option.
    """

    models: tuple[LikelihoodScore, ...]
    normalizer: str
    bias: OptionBias | None
    calibration: tuple[Calibration, ...]  # by the total, and by the normalizer


# Written answers.


@dataclass(frozen=True, slots=True)
class AnswerProtocol:
    """Settings of written answers.

    Attributes:
        vote: Which of a question's valid answers counts.
        unparsed: What a question without a valid answer is.
        order_seed: Of the order of options, drawn for each question; None keeps the file's order.
    """

    samples: int = 1  # texts per question
    temperature: float = 0.0  # of sampling; 0 is greedy
    max_tokens: int = 300  # as in the paper's code
    parser: ParserName = field(default="strict", metadata=READING)  # how a text is read
    vote: VoteName = field(default="first-valid", metadata=READING)
    unparsed: Unparsed = field(default="wrong", metadata=READING)
    order_seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class AnswersScore(ModelScore):
    """Accuracy of written answers.

    Attributes:
        by_gold_letter: Accuracy by the letters under which the right options were shown.
        asked_without: Parameters of requests that the server of the model refuses.
    """

    questions: int
    attempted: int  # questions with a valid answer
    samples: int
    invalid: Mapping[str, int]  # texts without a valid answer, by reason
    by_gold_letter: Mapping[str, Interval]
    chosen_letters: Mapping[str, int]  # how often each combination of letters was chosen
    asked_without: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LetterShares:
    """Shares of questions in which a random choice, and the right answer, is these letters."""

    chance: float
    gold: float


@dataclass(frozen=True, kw_only=True)
class AnswersResult(ChoiceResult):
    """Closed book, by written answers.

    Attributes:
        letters: For each combination of letters that is right or was chosen, the share of a random
            choice and of the right answers.
        bias: None without questions with one right option.
    """

    models: tuple[AnswersScore, ...]
    protocol: AnswerProtocol
    warnings: tuple[str, ...]
    letters: Mapping[str, LetterShares]
    bias: OptionBias | None


# Short answers.


@dataclass(frozen=True, kw_only=True)
class AnswerLikelihood:
    """The mean log-likelihood of the likeliest accepted answer, over `n` questions."""

    n: int
    nats_per_token: float
    nats_per_byte: float


@dataclass(frozen=True, kw_only=True)
class ShortAnswersResult(MetricsResult):
    """Closed book, by short answers in the model's own words."""

    likelihood: Mapping[str, AnswerLikelihood]  # by model, of those that give likelihoods
    empty: Mapping[str, int]  # empty texts, by model

    @property
    def exact_match(self) -> ModelComparison:
        """SQuAD's exact match."""
        return self.metrics["exact match"]

    @property
    def f1(self) -> ModelComparison:
        """SQuAD's F1 of words."""
        return self.metrics["F1"]


class SkippedQuestion(NamedTuple):
    """A question (or a `file:line` where it has no id) that is not asked, and the reason."""

    question_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Where models in this process were asked.

    Attributes:
        device: "cuda" or "cpu".
        precision: "float32", "tf32" (float32 weights, TF32 products) or "bfloat16".
        torch: Version of the library; `transformers` likewise.
        models: Names of the models that were asked there.
        weights: The hash of the weights of each model, or the commit of one on the Hub; empty in
            results of earlier versions.
    """

    device: str
    precision: str
    torch: str
    transformers: str
    models: tuple[str, ...]
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """The results of an evaluation."""

    results: Mapping[str, MethodResult]  # by method, of those methods that were used
    skipped: tuple[SkippedQuestion, ...] = ()  # questions that were not asked
    environments: tuple[Environment, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain data."""
        found = {name: as_json(result) for name, result in self.results.items()}
        skipped = [each._asdict() for each in self.skipped]
        environments = [as_json(each) for each in self.environments]
        return {**found, "skipped": skipped, "environments": environments}


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
