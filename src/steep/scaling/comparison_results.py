"""The results of a comparison of recipes, as `comparison.json` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from steep.core.files import read_json
from steep.evaluation.results import Environment
from steep.scaling.results import Bounded

STAGE, RESULT_NAME = "compare", "comparison.json"
POINTER_NAME = "compared.json"  # in the run's directory: the name of its latest comparison


@dataclass(frozen=True, kw_only=True)
class ComparedTexts:
    """The texts that the models of a recipe read.

    Attributes:
        recipe: Its name, or "documents".
        size: The tokens that the texts were to have; models of one size are trained equally long.
        texts: Their number.
        tokens: Their tokens.
        passes: How often each is read.
        training_tokens: Of each model, replay included; None if no model is trained.
        generation_usd: Their cost, with that of preparing calls; None if it is unknown.
        training_hours: Hours of training of a model, times its devices; None if unknown.
        sampled_words: Words of the sample of which the next two are measured.
        compression_ratio: As `Diversity` has it, and so is the share of distinct 4-grams.
    """

    recipe: str
    size: int
    texts: int
    tokens: int
    passes: float
    training_tokens: int | None
    generation_usd: float | None
    sampled_words: int
    compression_ratio: float | None
    distinct_4grams: float | None
    training_hours: float | None = None


@dataclass(frozen=True, kw_only=True)
class RecipeScore:
    """The accuracy of a recipe's models.

    Attributes:
        models: Number of models that are finished; gains are None if any is missing.
        accuracy: Mean over the models, with an interval over documents and seeds.
        by_seed: The accuracy of each model, by seed.
        over_base: Gain over the base model.
        over_documents: Gain over the documents alone, with the same training tokens.
        over_first: Gain over the first recipe; None for itself.
        usd_per_point: Cost of generation per percentage point gained over the documents (see
            `per_point`); None if the cost is unknown.
    """

    recipe: str
    size: int
    models: int
    accuracy: Bounded
    by_seed: Mapping[int, float]
    over_base: Bounded | None
    over_documents: Bounded | None
    over_first: Bounded | None
    usd_per_point: float | None


@dataclass(frozen=True, kw_only=True)
class RecipeDifference:
    """The accuracy of one recipe minus that of another, on the same questions."""

    recipe: str
    over: str
    points: Bounded

    @property
    def excludes_zero(self) -> bool:
        """Return True if the interval excludes zero."""
        return self.points.low > 0 or self.points.high < 0


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """The recipes by one metric.

    Attributes:
        chance: The accuracy of guessing.
        questions: Questions that count for all models; `left_out` do not count for some model.
        differences: Of each pair of complete recipes, the later one minus the earlier one.
    """

    metric: str
    chance: float
    questions: int
    left_out: int
    documents: int
    base: Bounded
    scores: tuple[RecipeScore, ...]
    differences: tuple[RecipeDifference, ...]


@dataclass(frozen=True, kw_only=True)
class ComparisonResult:
    """A comparison of recipes.

    Attributes:
        tokens: Training tokens that were asked for; None if `cost_usd` was.
        missing: Names of models that are not evaluated yet.
        hours: Of training and evaluation, all models together.
    """

    recipes: tuple[str, ...]
    tokens: int | None
    cost_usd: float | None
    epochs: float
    seeds: int
    models: int
    missing: tuple[str, ...]
    hours: float
    texts: tuple[ComparedTexts, ...]
    metrics: tuple[MetricComparison, ...]
    environments: tuple[Environment, ...] = ()  # where the models were evaluated


def read_comparison(path: Path) -> ComparisonResult:
    """Read `comparison.json`."""
    return TypeAdapter(ComparisonResult).validate_python(read_json(path))


def find_compared(store: Path, run_directory: Path) -> ComparisonResult | None:
    """Return the latest comparison of a run's recipes; None without one."""
    pointer = run_directory / POINTER_NAME
    if not pointer.is_file():
        return None
    path = store / read_json(pointer)[STAGE] / RESULT_NAME
    return read_comparison(path) if path.is_file() else None
