"""Result types of closed-book evaluation as `scores.json` holds them; one field per key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, from `n` values."""

    mean: float
    low: float | None
    high: float | None
    n: int


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
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class TestedDifference(Difference):
    """A difference with its p-values."""

    __test__ = False  # not a test class of pytest

    p: float
    p_mcnemar: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison(TestedDifference):
    """Model `a` minus model `b`; `p_holm` is None unless the comparison was planned."""

    a: str
    b: str
    planned: bool
    p_holm: float | None
    by_kind: Mapping[str, Difference]


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """The scores of all models and the comparisons of all pairs."""

    models: tuple[ModelScore, ...]
    pairs: tuple[Comparison, ...]
    minimum_detectable_difference: float | None


# Closed book.


@dataclass(frozen=True, kw_only=True)
class LikelihoodScore(ModelScore):
    """Accuracy of the likeliest option."""

    by_normalizer: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ExtremeLengths:
    """Shares of questions for which an option is the shortest, and the longest, one."""

    shortest: float
    longest: float


@dataclass(frozen=True, kw_only=True)
class OptionLengths:
    """How often the right, and the chosen, option is the shortest or longest of its question."""

    n: int
    gold: ExtremeLengths
    models: Mapping[str, Mapping[str, ExtremeLengths]]


@dataclass(frozen=True, kw_only=True)
class LikelihoodResult(ModelComparison):
    """Closed book, by the likelihood of options."""

    models: tuple[LikelihoodScore, ...]
    normalizer: str
    chance: float
    chance_by_kind: Mapping[str, float]
    several_right: int
    lengths: OptionLengths | None


@dataclass(frozen=True)
class AnswerProtocol:
    """How answers were sampled, parsed and counted."""

    samples: int
    temperature: float
    max_tokens: int
    parser: str
    vote: str
    unparsed: str
    order_seed: int | None


@dataclass(frozen=True, kw_only=True)
class AnswersScore(ModelScore):
    """Accuracy of generated answers, and how many were parsed."""

    questions: int
    attempted: int
    samples: int
    invalid: Mapping[str, int]
    by_gold_letter: Mapping[str, Interval]
    chosen_letters: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class AnswersResult(ModelComparison):
    """Closed book, by generated answers."""

    models: tuple[AnswersScore, ...]
    protocol: AnswerProtocol
    chance: float
    chance_by_kind: Mapping[str, float]
    several_right: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AnswerLikelihood:
    """The mean log-likelihood of the likeliest accepted answer."""

    nats_per_token: float
    nats_per_byte: float


@dataclass(frozen=True, kw_only=True)
class ShortAnswersResult:
    """Closed book, by short answers; `likelihood` and `empty` are by model."""

    exact_match: ModelComparison
    f1: ModelComparison
    likelihood: Mapping[str, AnswerLikelihood]
    empty: Mapping[str, int]
