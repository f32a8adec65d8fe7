"""The results of a scaling study, as `study.json` holds them; reading them loads no numerics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from steep.core.files import read_json, write_json
from steep.evaluation.results import AtMost, Environment, StandardErrors, as_json
from steep.scaling.config import POINTER_NAME

STAGE, RESULT_NAME = "scale", "study.json"
RETRIEVAL = "retrieval"  # the name of the base model with retrieved texts


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A value with its interval; accuracies and their differences also have standard errors."""

    value: AtMost
    low: AtMost
    high: AtMost
    errors: StandardErrors | None = None


def per_point(amount: float, gain: Bounded) -> Bounded | None:
    """Return an amount per percentage point gained; None unless the gain is above zero.

    The interval is that of the gain (a share, from -1 to 1); the amount is taken as exact.
    """
    if gain.low <= 0:
        return None
    value, low, high = (amount / (100 * each) for each in (gain.value, gain.high, gain.low))
    return Bounded(value=value, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class FormFit:
    """The fit of one form.

    Attributes:
        aicc: Akaike's criterion for small samples, over all models; infinite if there are too few.
        held_out_error: Predicted minus measured accuracy of the largest size by a fit to all other
            sizes; None if these are too few.
        refused: Why the form was not fitted, or empty.
    """

    form: str
    label: str
    parameters: Mapping[str, Bounded]
    aicc: AtMost
    held_out_error: float | None
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class BandPoint:
    """The fitted curve at a number of tokens, with the bands of the mean and of a new model."""

    tokens: float
    value: float
    low: float
    high: float
    new_low: float
    new_high: float


@dataclass(frozen=True, kw_only=True)
class CurveFit:
    """The fits of a curve.

    Attributes:
        forms: All forms, fitted or refused.
        chosen: The form that the data prefer, or None.
        best: The forms among which the data do not decide; the chosen one alone if there is one.
        refused: Why no form was fitted at all, or empty.
        band: Of the first of the best forms; empty if refused.
        doubled: The gain of the first of the best forms from twice the tokens of the largest size;
            None if refused.
    """

    forms: tuple[FormFit, ...]
    chosen: str | None
    best: tuple[str, ...]
    refused: str
    band: tuple[BandPoint, ...]
    doubled: Bounded | None = None


@dataclass(frozen=True, kw_only=True)
class TheoryFit:
    """The curve of the paper's theory through measured points (`steep theory`).

    Attributes:
        degree: lambda of the best fit: links per entity that the documents state.
        degrees: All lambdas of the grid that the points do not exclude, by an F test at 95%.
        tokens_per_pair: tau, the tokens of one step per ordered pair of entities.
        start: y0, the accuracy without synthetic tokens.
        rise: A, what the plateau adds.
        residual: Root mean square of the residuals, by degrees of freedom.
        aicc: Akaike's criterion for small samples, over the same points as that of the forms.
        held_out_error: As that of `FormFit`.
        curve: Tokens and fitted accuracies.
    """

    degree: float
    degrees: tuple[float, ...]
    tokens_per_pair: float
    start: float
    rise: float
    residual: float
    aicc: AtMost
    held_out_error: float | None
    curve: tuple[tuple[float, float], ...]

    @property
    def reaches_plateau(self) -> bool:
        """Return whether the largest size is at 90% of the rise; else it is extrapolated."""
        return self.curve[-1][1] >= self.start + 0.9 * self.rise


@dataclass(frozen=True, kw_only=True)
class ReachedTarget:
    """The tokens at which a form reaches an accuracy; infinite if it does not."""

    accuracy: float
    form: str
    tokens: Bounded


@dataclass(frozen=True, kw_only=True)
class SizeScore:
    """The mean accuracy of the models of one size.

    Attributes:
        tokens: Tokens of the texts; for a matched arm, those of the size that it matches.
        training_tokens: Tokens that each model was trained on, replay included.
        models: Number of seeds.
        accuracy: With an interval over documents and seeds.
        by_seed: The accuracy of each model, by seed.
    """

    tokens: int
    training_tokens: int
    models: int
    accuracy: Bounded
    by_seed: Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class ArmCurve:
    """The curve of an arm.

    Attributes:
        theory: The curve of the theory; None if the arm is matched or has missing models, or if it
            could not be fitted: `theory_refused` is then the reason.
    """

    arm: str
    matched: bool
    sizes: tuple[SizeScore, ...]
    fit: CurveFit
    targets: tuple[ReachedTarget, ...]
    theory: TheoryFit | None = None
    theory_refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The mean accuracy of the largest size of an arm minus that of something else."""

    over: str  # "base", "retrieval", or the name of a matched arm
    points: Bounded  # shares, from -1 to 1

    @property
    def excludes_zero(self) -> bool:
        """Return True if the interval of the gain excludes zero."""
        return self.points.low > 0 or self.points.high < 0


@dataclass(frozen=True, kw_only=True)
class Price:
    """What the largest model of an arm took; None is unknown.

    Hours of training are those of all devices of the model.
    """

    arm: str
    tokens: int
    generation_usd: float | None
    training_hours: float
    evaluation_hours: float
    training_usd: float | None


@dataclass(frozen=True, kw_only=True)
class ArmGains:
    """The gains of an arm at its largest size."""

    arm: str
    tokens: int
    gains: tuple[Gain, ...]


@dataclass(frozen=True, kw_only=True)
class MetricStudy:
    """The curves of one metric.

    Attributes:
        chance: The accuracy of guessing.
        questions: Questions that count for all models; `left_out` do not count for some model.
        retrieval: The accuracy of the base model with retrieved texts, if it was asked.
    """

    metric: str
    chance: float
    questions: int
    left_out: int
    documents: int
    base: Bounded
    retrieval: Bounded | None
    curves: tuple[ArmCurve, ...]
    gains: tuple[ArmGains, ...]


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """The loss on general text minus that of the base, in bits per byte, over the seeds."""

    arm: str
    tokens: int
    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """The results of a study, as `study.json` holds them."""

    models: int
    missing: tuple[str, ...]  # names of models that are not evaluated yet
    hours: float  # of training and evaluation, all models together
    metrics: tuple[MetricStudy, ...]
    prices: tuple[Price, ...]
    forgotten: tuple[Forgotten, ...]
    environments: tuple[Environment, ...] = ()  # where the models were evaluated


def read_study(path: Path) -> StudyResult:
    """Read `study.json`."""
    return TypeAdapter(StudyResult).validate_python(read_json(path))


def find_study(store: Path, run_directory: Path) -> StudyResult | None:
    """Return the latest result of a run's study; None without one."""
    pointer = run_directory / POINTER_NAME
    if not pointer.is_file():
        return None
    path = store / read_json(pointer)[STAGE] / RESULT_NAME
    return read_study(path) if path.is_file() else None


def write_study(path: Path, result: StudyResult) -> None:
    """Write `study.json` atomically."""
    write_json(path, as_json(result))
