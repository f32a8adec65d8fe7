"""What a comparison of recipes compares, and its texts: as many tokens, or as much money, for each.

Each recipe is generated, filtered and tokenized as if it were the only one of the configuration, so
that a further recipe changes nothing of the others. All calls are in the ledger of the project.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.calls import RAW_RECIPE
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.generation.setup import base_urls, chosen_documents, plan_view, prices_of, project_budget
from steep.ledger.ledger import open_ledger
from steep.recipes.recipe import RecipeOptions
from steep.recipes.registry import kind_of, recipe_names
from steep.stages import documents as documents_stage
from steep.stages import generate, pipeline
from steep.stages.tokenize import imported_recipes
from steep.training.config import InstructConfig

STAGE, VERSION = "spending", 1
Options = Mapping[str, RecipeOptions | None]  # of each recipe; None: its texts are imported


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is compared: recipes at the same training tokens, or at the same cost of generation.

    Attributes:
        tokens: Training tokens per model, without replay; None if `cost_usd` is set.
        cost_usd: Dollars per recipe for generation, preparing calls included.
        epochs: Passes over the texts of a recipe that has enough of them.
        seeds: Models per recipe.
    """

    recipes: tuple[str, ...]
    tokens: int | None
    cost_usd: float | None
    epochs: float
    seeds: int

    @property
    def size(self) -> int | None:
        """The tokens that the texts of each recipe are cut to; None if money decides."""
        return None if self.tokens is None else max(1, round(self.tokens / self.epochs))


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost of a recipe's calls under its plan: those that prepare, and those for texts."""

    preparing_usd: float
    texts_usd: float

    def share(self, usd: float) -> float:
        """Return the share of the texts that an amount pays for, at most 1."""
        left = usd - self.preparing_usd
        return 1.0 if left >= self.texts_usd else max(0.0, left / self.texts_usd)

    def cost_of(self, share: float) -> float:
        """Return the cost of a share of the texts."""
        return self.preparing_usd + self.texts_usd * min(1.0, share)


def request_of(
    config: Config,
    recipes: str,
    tokens: int | None,
    cost_usd: float | None,
    epochs: float | None,
    seeds: int | None,
) -> ComparisonRequest:
    """Return a request with the defaults of a configuration.

    Raises:
        UserError: It cannot be fulfilled by any project.
    """
    names = tuple(filter(None, (each.strip() for each in recipes.split(","))))
    wanted = "two recipes or more, e.g. --recipes entigraph,qa; the documents are always compared"
    if len(set(names)) < 2 or len(set(names)) < len(names) or RAW_RECIPE in names:
        raise UserError(
            "A comparison needs different recipes.",
            where="--recipes",
            expected=wanted,
            found=recipes or "none",
        )
    if (tokens is None) == (cost_usd is None):
        raise UserError(
            "A comparison needs either a number of tokens or an amount of money.",
            where="--tokens, --cost",
            expected="--tokens N (training tokens per model) or --cost USD (per recipe)",
            found="neither of them" if tokens is None else "both of them",
        )
    if config.evaluate.questions is None:
        raise UserError(
            "A comparison needs questions.",
            where="evaluate.questions",
            expected="a file of questions about at least four documents",
            found="null",
        )
    return ComparisonRequest(
        names,
        tokens,
        cost_usd,
        epochs or config.train.epochs or config.scale.epochs,
        seeds or config.scale.seeds,
    )


def options_of(config: Config, project: Project, request: ComparisonRequest) -> Options:
    """Return the options of the recipes: those of the configuration, or the defaults.

    Raises:
        UserError: There is no such recipe, or nothing says what its texts cost.
    """
    imported = imported_recipes(project)
    known = {*config.generate.recipes, *imported, *recipe_names()}
    found: dict[str, RecipeOptions | None] = {}
    for name in request.recipes:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            raise UserError(
                f"There is no recipe '{name}'.",
                where="--recipes",
                expected=", ".join(sorted(known)),
                found=name,
                hint=f"did you mean '{near[0]}'?" if near else "steep import --generations FILE",
            )
        configured = config.generate.recipes.get(name)
        found[name] = configured
        if configured is None and name not in imported:
            found[name] = kind_of(name).options()
    if request.cost_usd is not None:
        _check_prices(config, imported & set(request.recipes))
    return found


def _check_prices(config: Config, imported: set[str]) -> None:
    if imported:
        raise UserError(
            "The cost of imported texts is unknown, so they cannot be compared at equal cost.",
            where="--cost",
            found=", ".join(sorted(imported)),
            hint="compare them at equal training tokens: --tokens N",
        )
    settings = config.generate
    prices = [prices_of(settings, url) for url in base_urls(settings) or (None,)]
    if any(not each.known for each in prices):
        problem = "A comparison at equal cost needs prices, and none is known for this model."
        hint = (
            "set generate.usd_per_million_input_tokens and generate.usd_per_million_output_tokens, "
            "or compare at equal training tokens: --tokens N"
        )
    elif any(not each.usd_per_million_output_tokens for each in prices):
        problem = "This generator is free, so no amount of money limits its texts."
        hint = "compare at equal training tokens: --tokens N"
    else:
        return
    raise UserError(problem, where="--cost", found=f"model '{settings.model}'", hint=hint)


def settings_for(
    config: Config, request: ComparisonRequest, recipes: Options, target: bool = True
) -> Config:
    """Return the configuration in which these recipes are generated and trained, one per arm."""
    size, holdout = request.size, config.tokenize.holdout
    generated = {name: each for name, each in recipes.items() if each is not None}
    stop = None if size is None or not generated else math.ceil(size / (1 - holdout))
    arms = {name: (name,) for name in (RAW_RECIPE, *recipes)}
    lengths = {"epochs": request.epochs, "tokens": None}
    study: dict[str, Any] = {"arms": (), "tokens": (), "seeds": request.seeds}
    study |= {"epochs": request.epochs, "delete_weights": True}
    return config.model_copy(
        update={
            "generate": config.generate.model_copy(
                update={"recipes": generated, "target_tokens": stop if target else None}
            ),
            "train": config.train.model_copy(update={"arms": arms, **lengths}),
            "instruct": InstructConfig(),
            "scale": config.scale.model_copy(update=study),
        }
    )


def limited(config: Config, project: Project, request: ComparisonRequest) -> Config:
    """Return the configuration of one recipe whose generation ends at the money of the request.

    Raises:
        UserError: Nothing says what its calls have cost so far.
    """
    if request.cost_usd is None or not config.generate.recipes:
        return config
    spent = spent_on(config, project)
    if spent is None:
        (recipe,) = config.generate.recipes
        raise UserError(
            "A comparison at equal cost needs the cost of every call.",
            where=f"--cost, recipe '{recipe}'",
            found="answers without a known cost",
            hint="compare at equal training tokens: --tokens N",
        )
    with open_ledger(project) as ledger:
        before = project_budget(config.generate, ledger).spent_usd
    most = before + max(0.0, request.cost_usd - spent.cost_of(1.0))
    own = config.generate.max_cost_usd
    most = most if own is None else min(own, most)
    return config.model_copy(
        update={"generate": config.generate.model_copy(update={"max_cost_usd": most})}
    )


def texts_of(config: Config, project: Project, request: ComparisonRequest) -> pipeline.PipelineRun:
    """Write and tokenize the texts of one recipe, up to the tokens or the money of the request.

    Raises:
        UserError: They cannot be written, or the money was not spent.
    """
    if request.cost_usd is None or project.finished_only:
        return pipeline.run(config, project, "tokenize")
    documents = documents_stage.run(config, project)
    _spend(config, project, documents, request)
    # What the money paid for is all that there is: a later run must not add a cheaper call.
    return pipeline.run(config, _WithoutCalls(project.root, finished_only=True), "tokenize")


class _WithoutCalls(Project):
    """A project in which everything is made but texts."""

    def may_make(self, stage: str) -> bool:
        """Return whether it is not the generation."""
        return stage != "generate"


def _spend(
    config: Config, project: Project, documents: Artifact, request: ComparisonRequest
) -> Artifact:
    """Generate texts of one recipe until the money is spent, once."""

    def make(directory: Path) -> dict[str, Any]:
        generate.check(config, project)
        allowed = limited(config, project, request)
        made = generate.run(allowed, project, documents)
        assert made is not None
        manifest, own = made.manifest, config.generate.max_cost_usd
        short = manifest["ended"] == "budget" and allowed.generate.max_cost_usd == own
        if short or (manifest["ended"] is None and manifest["counts"]["failed"]):
            raise UserError(
                "The generation ended before the money of the comparison was spent.",
                where="generate.max_cost_usd" if short else f"{made.path / 'manifest.json'}",
                expected=f"${request.cost_usd:,.2f} for the recipe '{manifest['recipes'][0]}'",
                found=f"${manifest['known_usd']:,.4f}, and "
                + (
                    f"the limit ${own}" if short else f"{manifest['counts']['failed']} failed calls"
                ),
                hint="raise the limit" if short else "run the same command again",
            )
        return {"cost_usd": manifest["cost_usd"], "ended": manifest["ended"]}

    fields = {**identity_fields("generate", config.generate), "cost_usd": request.cost_usd}
    identity = Identity(STAGE, VERSION, fields, {"documents": documents})
    return build(project, identity, make, one_of_many=True)


def spent_on(config: Config, project: Project) -> Spent | None:
    """Return what the calls of a configuration have cost so far; None if a price is unknown."""
    loaded = documents_stage.peek(config, project)
    with open_ledger(project) as ledger:
        view = plan_view(config.generate, chosen_documents(config.generate, loaded), ledger)
        totals = view.totals()
        if totals.unpriced:
            return None
        preparing = sum(
            planned.record.completion.cost_usd or 0.0
            for recipe in view.recipes
            for document in view.documents
            for planned in view.preparation(recipe, document).planned
            if planned.record is not None
        )
    return Spent(preparing, max(0.0, totals.known_usd - preparing))
