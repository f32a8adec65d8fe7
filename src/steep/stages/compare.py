"""The comparison of recipes: a study with one arm and one size per recipe, and the documents.

Points, jobs and statistics are those of a scaling study; see `steep.stages.scale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from steep.config import Config
from steep.core.artifacts import Artifact, Project, Unfinished, refuse_ranks
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.evaluation.config import BASE
from steep.scaling.study import StudyPoint
from steep.stages import evaluate, pipeline, train
from steep.stages.compare_texts import (
    ComparisonRequest,
    Spent,
    options_of,
    settings_for,
    spent_on,
    texts_of,
)
from steep.stages.finished_artifacts import ReadOnlyProject, without_log_lines
from steep.stages.scale import Study
from steep.stages.tokenize import imported_recipes

LEAST_SHARE = 0.1  # of the size that a recipe's texts must have


@dataclass(frozen=True)
class ComparisonStudy(Study):
    """A comparison whose texts are tokenized.

    Attributes:
        request: What is compared.
        by_recipe: The texts of each recipe.
        spent: What the calls of each recipe have cost; None if that is unknown.
    """

    request: ComparisonRequest
    by_recipe: Mapping[str, pipeline.PipelineRun]
    spent: Mapping[str, Spent | None]

    command: ClassVar[str] = "compare"

    @cached_property
    def points(self) -> tuple[StudyPoint, ...]:
        """The points, one seed after the other; the documents at each size come first."""
        sizes = {recipe: self._size(recipe) for recipe in self.request.recipes}
        return points_of(sizes, self.config.train.seed, self.request.seeds)

    def corpus(self, point: StudyPoint) -> Artifact:
        """Return the corpus with the texts of a point."""
        corpus = self._run_of(point).corpus
        assert corpus is not None
        return corpus

    def ask_base(self) -> list[Artifact]:
        """Ask the base model, or find its answers."""
        return self._ask(self.setup(), {}, BASE)

    def generation_usd(self, recipe: str, tokens: int) -> float | None:
        """Return the cost of texts of a recipe with so many tokens; None if it is unknown."""
        spent = self.spent[recipe]
        return None if spent is None else spent.cost_of(tokens / self._total(recipe))

    def _size(self, recipe: str) -> int:
        """Return the tokens of a recipe's texts; a prefix of them has at least as many.

        Raises:
            UserError: There are far too few texts, or the money did not pay for any.
        """
        request, total = self.request, self._total(recipe)
        if request.size is not None:
            if total < LEAST_SHARE * request.size:
                raise UserError(
                    f"The recipe '{recipe}' has too few texts for this comparison.",
                    where="--tokens",
                    expected=f"{request.size:,} tokens of text ({request.tokens:,} in "
                    f"{request.epochs:g} passes), and at least {LEAST_SHARE:.0%} of that",
                    found=f"{total:,} tokens",
                    hint="generate or import more texts, leave the recipe out, or lower --tokens",
                )
            return request.size
        spent = self.spent[recipe]
        assert request.cost_usd is not None
        share = 0.0 if spent is None else spent.share(request.cost_usd)
        if share * total < 1:
            found = "answers without a known cost"
            if spent is not None:
                found = f"${spent.preparing_usd:,.4f} for calls that prepare them"
            raise UserError(
                f"The money does not pay for texts of the recipe '{recipe}'.",
                where="--cost",
                expected=f"more than {found}" if spent else "a cost of every call",
                found=f"${request.cost_usd:,.4f}" if spent else found,
                hint="raise --cost; steep compare --plan shows what the calls cost",
            )
        return round(share * total)

    def _total(self, recipe: str) -> int:
        return int(self.by_recipe[recipe].tokenize[recipe].manifest["tokens"])

    def _run_of(self, point: StudyPoint) -> pipeline.PipelineRun:
        first = self.by_recipe[self.request.recipes[0]]
        return self.by_recipe.get(point.arm, first)

    def _shards(self, point: StudyPoint) -> dict[str, Artifact]:
        shards = self._run_of(point).tokenize
        return {**shards, point.name: shards[point.arm]}


def points_of(sizes: Mapping[str, int], first_seed: int, seeds: int) -> tuple[StudyPoint, ...]:
    """Return the points of recipes with these sizes, and of the documents at each size."""
    return tuple(
        StudyPoint(arm, size, seed, arm == RAW_RECIPE)
        for seed in range(first_seed, first_seed + seeds)
        for arm, size in (
            *((RAW_RECIPE, each) for each in sorted(set(sizes.values()))),
            *sizes.items(),
        )
    )


def open_comparison(
    config: Config, project: Project, request: ComparisonRequest
) -> ComparisonStudy:
    """Write and tokenize the texts of all recipes, choose the subsets, and return the comparison.

    Raises:
        UserError: It cannot be run as it is configured.
    """
    refuse_ranks("compare")
    whole = settings_for(config, request, options_of(config, project, request))
    train.check(whole, project)
    study = _opened(config, project, request)
    evaluate.check(study.config, project, study.run.documents)
    _ = study.question_set
    with without_log_lines():
        for point in study.points:
            study.subset(point)
    return study


def find_comparison(
    config: Config, project: Project, request: ComparisonRequest
) -> ComparisonStudy | None:
    """Return the comparison if its texts are tokenized; nothing is made."""
    looking = ReadOnlyProject(project.root, finished_only=True)
    if not project.ledger_path.is_file():
        return None
    with without_log_lines(), suppress(Unfinished):
        return _opened(config, looking, request)
    return None


def _opened(config: Config, project: Project, request: ComparisonRequest) -> ComparisonStudy:
    options = options_of(config, project, request)
    runs, spent, imported = {}, {}, imported_recipes(project)
    for recipe, own in options.items():
        settings = settings_for(config, request, {recipe: own})
        runs[recipe] = texts_of(settings, project, request)
        spent[recipe] = None if recipe in imported else spent_on(settings, project)
    first = runs[request.recipes[0]]
    shards = {name: each for run in runs.values() for name, each in run.tokenize.items()}
    run = pipeline.PipelineRun(first.documents, tokenize=shards)
    return ComparisonStudy(
        settings_for(config, request, options), project, run, request, runs, spent
    )
