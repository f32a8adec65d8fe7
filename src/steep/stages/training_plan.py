"""The forecast of training for `steep plan`. Nothing is loaded, downloaded, measured or written.

Tokens of finished shards are counted. Others are estimated from the bytes of documents, imported
texts and chats, and from the texts that generation still has to write; texts that will be rejected
are not subtracted. A model of the Hub is not looked up if its configuration is not on this machine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from steep.config import Config
from steep.core.arms import recipe_of
from steep.core.artifacts import Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.core.ranks import ranks
from steep.generation.planning import Plan
from steep.ledger.ledger import open_ledger
from steep.llm.model_names import (
    check_libraries,
    embedded_path,
    find_model,
    missing_libraries,
)
from steep.stages import documents as documents_stage
from steep.stages import instruct, tokenize
from steep.stages.finished_artifacts import Finished, look
from steep.tokens.build import INSTRUCTION, REPLAY, VALIDATION
from steep.training.config import OptimizationConfig
from steep.training.forecast import (
    ZERO,
    RunForecast,
    RunLister,
    SectionForecast,
    SectionName,
    TrainingForecast,
    disk_warnings,
    forecast_section,
    refusal,
    total,
)
from steep.training.throughput import Devices, local_devices, named_devices

if TYPE_CHECKING:
    from steep.training.model_dims import ModelShape

BYTES_PER_TOKEN = Range(2.5, 4.0, 6.0)  # of prose; English has one byte per character


def forecast(
    config: Config, project: Project, plan: Plan | None = None, gpus: str | None = None
) -> TrainingForecast | None:
    """Estimate what is left of training; None without arms.

    Args:
        config: The configuration.
        project: The project, with the shards, models and measured steps that exist.
        plan: What generation still has to do.
        gpus: GPUs to train on, as "8xH100"; by default those of this machine.

    Raises:
        UserError: The GPUs are not known.
    """
    if not config.train.arms:
        return None
    runs = _lister(config, project, plan)
    texts = TextTokens(config, project, plan)
    mixed = {REPLAY, INSTRUCTION} if config.tokenize.instructions else {REPLAY}
    listed: dict[SectionName, tuple[RunForecast, ...]] = {
        "train": runs.train(config.train, mixed, texts.of_arm, texts.of_validation)
    }
    if models := instruct.models_of(config):
        listed["instruct"] = runs.tune(models, texts.of_chats())
    sections, warnings = [], runs.problems
    for name, of_section in listed.items():
        settings = config.train if name == "train" else config.instruct
        section, refused = forecast_section(
            settings,
            SectionForecast(name, devices_of(config, name, gpus), of_section),
            partial(model_shape, config.train.model, project, settings),
            project.store,
            config.train.gpu_hour_usd,
        )
        sections.append(section)
        warnings += refused
    found = TrainingForecast(config.train.model, config.train.gpu_hour_usd, tuple(sections), ())
    if not found.to_do:
        return found
    warnings += disk_warnings(found, project.store, runs.begun)
    return replace(found, warnings=tuple(dict.fromkeys(warnings)))


def _lister(config: Config, project: Project, plan: Plan | None) -> RunLister:
    """Return the finished artifacts; shards change if a recipe they read is not complete."""
    problems: list[str] = []
    found = Finished(set())
    try:
        tokenize.check(config, project)
    except UserError as error:
        problems.append(refusal("tokenize", error))
    try:
        found = look(config, project)
    except UserError as error:
        problems = problems or [refusal("tokenize", error)]
    steps = plan.forecast.steps if plan else ()
    unwritten = {each.recipe for each in steps if each.to_do.calls.high > 0}
    change = {arm for arm, recipes in config.train.reads.items() if unwritten & set(recipes)}
    if unwritten:
        change.add(VALIDATION)
    shards = {name: shard for name, shard in found.shards.items() if name not in change}
    models = config.train.models
    trained = {name: each for name, each in found.trained.items() if models[name].arm in shards}
    return RunLister(project, shards, trained, found.tuned, problems)


class TextTokens:
    """Tokens of texts that are not tokenized yet; None without texts."""

    def __init__(self, config: Config, project: Project, plan: Plan | None) -> None:
        self._config, self._project, self._plan = config, project, plan

    def of_arm(self, arm: str) -> Range | None:
        """Return the tokens of an arm; with shares, as many as they allow.

        Parts of a recipe are taken to be of the same size, and those that are named to be all.
        """
        sources = self._config.train.arms[arm]
        if not isinstance(sources, dict):
            return total(map(self._of_recipe, sources))
        recipes = Counter(map(recipe_of, sources))
        most = []
        for source, weight in sources.items():
            whole = self._of_recipe(recipe_of(source))
            if whole is None:
                return None
            share = weight / sum(sources.values())
            most.append(whole.times(1 / share / recipes[recipe_of(source)]))
        return min(most, key=lambda each: each.expected)

    def of_chats(self) -> Range | None:
        """Return the tokens of the chats."""
        chats = self._config.instruct.chats
        return _tokens_of(chats.stat().st_size) if chats is not None and chats.is_file() else None

    def of_validation(self) -> list[Range]:
        """Return the tokens of each validation set."""
        config, holdout = self._config, self._config.tokenize.holdout
        if not holdout:
            return []
        recipes = {name for names in config.train.reads.values() for name in names}
        texts = filter(None, map(self._written, sorted(recipes - {RAW_RECIPE})))
        held_out = sum(texts, ZERO).times(holdout)
        sets = [held_out] if held_out.high else []
        sets.append(self._documents())
        replay = tokenize.replay_path(config)
        if config.train.replay_rate and replay.is_file():
            sets.append(_tokens_of(replay.stat().st_size).times(holdout))
        return sets

    def _of_recipe(self, recipe: str) -> Range | None:
        if recipe == RAW_RECIPE:
            return self._documents()
        texts = self._written(recipe)
        return texts and texts.times(1 - self._config.tokenize.holdout)

    def _documents(self) -> Range:
        documents = documents_stage.peek(self._config, self._project)
        return _tokens_of(sum(len(each.own_text.encode()) for each in documents))

    def _written(self, recipe: str) -> Range | None:
        """Return the tokens of all texts of a recipe, those that are held out included."""
        parts = [_tokens_of(self._imported[recipe])] if recipe in self._imported else []
        if recipe in self._config.generate.recipes and self._plan is not None:
            parts.append(self._plan.text_tokens(recipe))
        return total(parts) if parts else None

    @cached_property
    def _imported(self) -> Counter[str]:
        """Bytes of imported texts, by recipe."""
        sizes: Counter[str] = Counter()
        with open_ledger(self._project) as ledger:
            for record in ledger.imported():
                sizes[record.recipe] += len(record.text.encode())
        return sizes


def _tokens_of(size: int) -> Range:
    """Return the tokens of `size` bytes of text."""
    per_token = BYTES_PER_TOKEN
    return Range(size / per_token.high, size / per_token.expected, size / per_token.low)


def devices_of(config: Config, section: SectionName, gpus: str | None) -> Devices:
    """Return the GPUs that are named, those of the Ray cluster, or those of this machine."""
    settings = config.train
    on_ray = section == "train" and settings.launcher == "ray"
    count = settings.ray_workers if on_ray else ranks()
    if missing_libraries():
        return Devices(None, count, False, None, False)
    if gpus is not None:
        return named_devices(gpus)
    elsewhere = on_ray and settings.ray_address is not None
    return Devices(None, count, True, None, False) if elsewhere else local_devices(count)


def model_shape(name: str, project: Project, settings: OptimizationConfig) -> ModelShape:
    """Return the shape of the model as it is trained, without any network.

    Raises:
        UserError: Its configuration is not on this machine, or it cannot be trained.
    """
    check_libraries()
    from steep.training.loading import load_model_config
    from steep.training.memory import trained_shape

    where = find_model(name, project.root, "train.model") or embedded_path()
    if isinstance(where, Path) and not where.is_dir():
        raise UserError(
            "the embedded model has not been converted on this machine yet",
            hint="the first steep generate or train does it",
        )
    try:
        found = load_model_config(where, local_only=True)
    except UserError as error:
        if isinstance(where, Path):
            raise
        raise UserError(
            f"the configuration of '{where}' is not on this machine, and steep plan does not "
            "use the network",
            hint=f"hf download {where} config.json, or correct train.model",
        ) from error
    return trained_shape(found, settings)
