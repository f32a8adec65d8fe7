"""What training will take, for `steep plan`; nothing is loaded, downloaded, measured or written.

Tokens of finished shards are counted. Others are estimated from the bytes of documents, imported
texts and chats, and from the texts that generation still has to write; texts that will be rejected
are not subtracted. A model of the Hub is not looked up if its configuration is not on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.formatting import gib
from steep.core.ranges import Range
from steep.core.ranks import ranks
from steep.generation.planning import Plan
from steep.ledger.ledger import open_ledger
from steep.llm.local.weights import DIRECTORY, cache_directory
from steep.llm.model_names import check_libraries, find_model, missing_libraries
from steep.stages import documents as documents_stage
from steep.stages import instruct
from steep.stages.finished_artifacts import Finished, look
from steep.stages.tokenize import replay_path
from steep.tokens.build import CHATS, INSTRUCTION, REPLAY, VALIDATION
from steep.training.checkpoint_files import kept_steps
from steep.training.config import OptimizationConfig
from steep.training.forecast import (
    RunForecast,
    SectionForecast,
    SectionName,
    TrainingForecast,
    forecast_section,
    refusal,
    total,
    validations_left,
)
from steep.training.runs import (
    SUFFIX,
    mixed_rates,
    training_identity,
    training_steps,
    tuning_identity,
    tuning_steps,
)
from steep.training.throughput import Devices, local_devices, named_devices

if TYPE_CHECKING:
    from steep.training.model_dims import ModelShape

__all__ = ["RunForecast", "SectionForecast", "TrainingForecast", "forecast"]

BYTES_PER_TOKEN = Range(2.5, 4.0, 6.0)  # of prose; English has one byte per character
NONE = Range.exactly(0)


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
    runs = _Runs(config, project, plan)
    listed: dict[SectionName, tuple[RunForecast, ...]] = {"train": tuple(runs.trained())}
    if tuned := tuple(runs.tuned()):
        listed["instruct"] = tuned
    sections, warnings = [], runs.problems
    for name, of_section in listed.items():
        settings = config.train if name == "train" else config.instruct
        section, refused = forecast_section(
            settings,
            SectionForecast(name, _devices(config, name, gpus), of_section),
            partial(_shape, config.train.model, project, settings),
            project.store,
            config.train.gpu_hour_usd,
        )
        sections.append(section)
        warnings += refused
    found = TrainingForecast(config.train.model, config.train.gpu_hour_usd, tuple(sections), ())
    if not found.to_do:
        return found
    warnings += _disk_warnings(found, project, runs.begun)
    return replace(found, warnings=tuple(dict.fromkeys(warnings)))


class _Runs:
    """The training runs of a configuration.

    Attributes:
        problems: What will be refused.
        begun: Directories of interrupted runs.
    """

    def __init__(self, config: Config, project: Project, plan: Plan | None) -> None:
        self.config, self.project, self.plan = config, project, plan
        self.problems: list[str] = []
        self.begun: list[Path] = []
        self._finished = Finished(set())
        try:
            self._finished = look(config, project)
        except UserError as error:
            self.problems.append(refusal("tokenize", error))

    def trained(self) -> Iterator[RunForecast]:
        """Return the runs of the arms."""
        settings, shards = self.config.train, self._finished.shards
        measured = any(map(self._is_done, settings.arms))  # arms share their first losses
        for arm in settings.arms:
            identity = (
                partial(training_identity, settings, shards, arm) if self._shard(arm) else None
            )
            run = self._run(arm, settings, identity, self._is_done(arm), self._steps(arm))
            first = not (measured or run.steps_done)
            measured = measured or run.state != "done"
            yield replace(run, validation_tokens=self._validation_tokens(run, first))

    def tuned(self) -> Iterator[RunForecast]:
        """Return the runs that tune arms on chats."""
        settings, done = self.config.instruct, self._finished
        for arm in instruct.arms_of(self.config):
            identity, is_trained = None, self._is_done(arm)
            if is_trained:
                identity = partial(
                    tuning_identity, settings, done.trained[arm], done.shards[CHATS], arm
                )
            steps = self._chat_tokens and self._chat_tokens.map(
                lambda tokens: tuning_steps(settings, round(tokens))
            )
            is_tuned = is_trained and arm in done.tuned
            yield self._run(arm + SUFFIX, settings, identity, is_tuned, steps)

    def _run(
        self,
        name: str,
        settings: OptimizationConfig,
        identity: Callable[[], Identity] | None,
        is_done: bool,
        steps: Range | None,
    ) -> RunForecast:
        kept = 0
        if identity is not None and not is_done:
            found = identity()
            path = self.project.artifact_path(found.stage, found.hash8)
            if kept := kept_steps(path):
                self.begun.append(path)
        return RunForecast(
            name=name,
            state="done" if is_done else "interrupted" if kept else "to do",
            steps=steps,
            steps_done=kept,
            step_tokens=settings.batch_sequences * settings.context_tokens,
            validation_tokens=NONE,
        )

    @cached_property
    def _unwritten(self) -> set[str]:
        """The recipes whose texts are not complete; shards with their texts will change."""
        if self.plan is None:
            return set()
        return {each.recipe for each in self.plan.forecast.steps if each.to_do.calls.high > 0}

    def _shard(self, name: str) -> Artifact | None:
        """Return a finished shard that will not change."""
        recipes = self.config.train.arms.get(name, ())
        changes = self._unwritten and (self._unwritten & set(recipes) or name == VALIDATION)
        return None if changes else self._finished.shards.get(name)

    def _is_done(self, arm: str) -> bool:
        return self._shard(arm) is not None and arm in self._finished.trained

    def _steps(self, arm: str) -> Range | None:
        settings = self.config.train
        mixed = {REPLAY, INSTRUCTION} if self.config.tokenize.instructions else {REPLAY}
        rate = sum(mixed_rates(settings, mixed).values())
        tokens: Range | None = NONE
        if settings.epochs is not None and (shard := self._shard(arm)):
            tokens = Range.exactly(shard.manifest["tokens"])
        elif settings.epochs is not None:
            tokens = total(map(self._text_tokens, settings.arms[arm]))
        try:
            return tokens and tokens.map(lambda each: training_steps(settings, round(each), rate))
        except UserError as error:  # the same for every arm
            self.problems.append(refusal("train", error))
            return None

    def _text_tokens(self, recipe: str) -> Range | None:
        """Return the tokens of all texts of a recipe that are trained on; None without texts."""
        if recipe == RAW_RECIPE:
            return self._document_tokens
        parts = [_tokens_of(size) for name, size in self._imported.items() if name == recipe]
        if recipe in self.config.generate.recipes and self.plan is not None:
            parts.append(self.plan.text_tokens(recipe))
        texts = total(parts) if parts else None
        return texts and texts.times(1 - self.config.tokenize.holdout)

    @cached_property
    def _document_tokens(self) -> Range:
        documents = documents_stage.peek(self.config, self.project)
        return _tokens_of(sum(len(each.text.encode()) for each in documents))

    @cached_property
    def _imported(self) -> dict[str, int]:
        """Bytes of imported texts, by recipe."""
        sizes: dict[str, int] = {}
        with open_ledger(self.project) as ledger:
            for record in ledger.imported():
                sizes[record.recipe] = sizes.get(record.recipe, 0) + len(record.text.encode())
        return sizes

    @cached_property
    def _chat_tokens(self) -> Range | None:
        chats = self.config.instruct.chats
        if shard := self._shard(CHATS):
            return Range.exactly(shard.manifest["tokens"])
        return _tokens_of(chats.stat().st_size) if chats is not None and chats.is_file() else None

    def _validation_tokens(self, run: RunForecast, first: bool) -> Range | None:
        """Return the tokens of all validations that are left."""
        settings, steps = self.config.train, run.steps
        if self.config.tokenize.holdout == 0:
            return NONE
        if steps is None or missing_libraries():
            return None
        once, done = self._validation_once, run.steps_done
        low, expected, high = (
            validations_left(settings, each, done, first) * size
            for each, size in (
                (steps.low, once.low),
                (steps.expected, once.expected),
                (steps.high, once.high),
            )
        )
        return Range(low, expected, high)

    @cached_property
    def _validation_once(self) -> Range:
        """Tokens of one validation on all sets."""
        from steep.training.validation import rows_read

        context = self.config.train.context_tokens
        if shard := self._shard(VALIDATION):
            sets = [Range.exactly(tokens) for tokens in shard.manifest["tokens"].values()]
        else:
            sets = [*self._expected_sets()]
        rows = (each.map(lambda tokens: rows_read(round(tokens), context)) for each in sets)
        return sum(rows, NONE).times(context)

    def _expected_sets(self) -> Iterator[Range]:
        holdout = self.config.tokenize.holdout
        recipes = {name for names in self.config.train.arms.values() for name in names}
        texts = [self._text_tokens(name) for name in recipes - {RAW_RECIPE}]
        known = sum((each for each in texts if each is not None), NONE)
        if known.high:
            yield known.times(holdout / (1 - holdout))
        yield self._document_tokens
        path = replay_path(self.config)
        if self.config.train.replay_rate and path.is_file():
            yield _tokens_of(path.stat().st_size).times(holdout)


def _tokens_of(size: int) -> Range:
    """Return the tokens of `size` bytes of text."""
    per_token = BYTES_PER_TOKEN
    return Range(size / per_token.high, size / per_token.expected, size / per_token.low)


def _devices(config: Config, section: SectionName, gpus: str | None) -> Devices:
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


def _shape(name: str, project: Project, settings: OptimizationConfig) -> ModelShape:
    """Return the shape of the model as it is trained, without any network.

    Raises:
        UserError: Its configuration is not on this machine, or it cannot be trained.
    """
    check_libraries()
    from steep.training.loading import load_model_config
    from steep.training.preflight import trained_shape

    where = find_model(name, project.root, "train.model") or cache_directory() / DIRECTORY
    if isinstance(where, Path):
        if not where.is_dir():
            raise UserError(
                "the embedded model has not been converted on this machine yet",
                hint="the first steep generate or train does it",
            )
        return trained_shape(load_model_config(where), settings)
    try:
        found = load_model_config(where, local_only=True)
    except UserError as error:
        raise UserError(
            f"the configuration of '{where}' is not on this machine, and steep plan does not "
            "use the network",
            hint=f"hf download {where} config.json, or correct train.model",
        ) from error
    return trained_shape(found, settings)


def _disk_warnings(found: TrainingForecast, project: Project, begun: list[Path]) -> Iterator[str]:
    """Warn of a full disk; checkpoints of interrupted runs are part of what is needed."""
    is_here = all(section.devices.is_here for section in found.sections)
    if found.room_bytes is None or not is_here:  # the disk may not be here either
        return
    from steep.training.preflight import free_bytes

    free = free_bytes(project.store, begun)
    if found.room_bytes > free:
        yield (
            f"the disk has {gib(free)} free, and checkpoints and models of all runs take up to "
            f"{gib(found.room_bytes)}; free some space, or lower train.keep_checkpoints"
        )
