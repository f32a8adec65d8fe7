"""How much each training run has to compute, from what is finished, planned and configured.

Where shards are finished, their tokens are counted. Otherwise tokens are estimated from the bytes
of documents, imported texts and chats, and from the texts that the plan still expects; texts that
will be rejected are not subtracted, for nobody knows how many there will be.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.stages import documents as documents_stage
from steep.stages import instruct, train
from steep.stages.finished_artifacts import Finished, look
from steep.stages.models import missing_libraries
from steep.stages.plan import Plan
from steep.stages.status import open_ledger
from steep.stages.tokenize import CHATS, INSTRUCTION, REPLAY, VALIDATION, replay_path
from steep.training.checkpoint_files import kept_steps
from steep.training.forecast import Amount, State, total

BYTES_PER_TOKEN = Range(2.5, 4.0, 6.0)  # of prose; English has one byte per character
NONE = Range.exactly(0)


class TrainingAmounts:
    """The training runs of a configuration.

    Args:
        config: The configuration.
        project: Where things lie; nothing is written there.
        plan: What generation has still to do; None where nothing is generated.

    Attributes:
        problems: What keeps runs from being carried out, or from being known.
        begun: Directories of runs that will be continued.
    """

    def __init__(self, config: Config, project: Project, plan: Plan | None) -> None:
        self.config, self.project, self.plan = config, project, plan
        self.problems: list[str] = []
        self.begun: list[Path] = []
        self._finished = self._look()

    def of_training(self) -> tuple[Amount, ...]:
        """The arms."""
        settings, amounts = self.config.train, []
        measured = any(map(self._is_done, settings.arms))  # arms share their first losses
        for arm in settings.arms:
            state, steps_done = self._state(self._identity(arm), self._is_done(arm))
            steps = self._steps(arm)
            validations = self._validations(steps, steps_done, first=not (measured or steps_done))
            measured = measured or state != "done"
            amounts.append(
                Amount(
                    name=arm,
                    state=state,
                    steps=steps,
                    steps_done=steps_done,
                    step_tokens=settings.batch_sequences * settings.context_tokens,
                    validation_tokens=validations,
                )
            )
        return tuple(amounts)

    def of_tuning(self) -> tuple[Amount, ...]:
        """The arms that are tuned on chats, by the names of the models that come of it."""
        settings, amounts = self.config.instruct, []
        for arm in instruct.arms_of(self.config):
            done = self._is_done(arm) and arm in self._finished.tuned
            state, steps_done = self._state(self._tuning_identity(arm), done)
            chats = self._chat_tokens()
            amounts.append(
                Amount(
                    name=arm + instruct.SUFFIX,
                    state=state,
                    steps=chats
                    and chats.map(lambda each: instruct.steps_of(settings, round(each))),
                    steps_done=steps_done,
                    step_tokens=settings.batch_sequences * settings.context_tokens,
                    validation_tokens=NONE,
                )
            )
        return tuple(amounts)

    def _look(self) -> Finished:
        try:
            return look(self.config, self.project)
        except UserError as error:
            self.problems.append(refusal("tokenize", error))
            return Finished(set())

    @cached_property
    def _changing(self) -> set[str]:
        """The recipes whose texts are still to be written; their shards will be made again."""
        if self.plan is None:
            return set()
        return {each.recipe for each in self.plan.forecast.steps if each.to_do.calls.high > 0}

    def _shard(self, name: str) -> Artifact | None:
        """A finished shard that will be used."""
        read = self.config.train.arms.get(name, ())
        changes = self._changing and (self._changing & set(read) or name == VALIDATION)
        return None if changes else self._finished.shards.get(name)

    def _is_done(self, arm: str) -> bool:
        return self._shard(arm) is not None and arm in self._finished.trained

    def _identity(self, arm: str) -> Identity | None:
        if self._shard(arm) is None:
            return None
        return train.identity_of(self.config.train, self._finished.shards, arm)

    def _tuning_identity(self, arm: str) -> Identity | None:
        if not self._is_done(arm):
            return None
        trained, chats = self._finished.trained[arm], self._finished.shards[CHATS]
        return instruct.identity_of(self.config.instruct, trained, chats, arm)

    def _state(self, identity: Identity | None, done: bool) -> tuple[State, int]:
        """Whether a run is done or begun, and how many steps a checkpoint of it has kept."""
        if done or identity is None:
            return ("done" if done else "to do"), 0
        path = self.project.artifact_path(identity.stage, identity.hash8)
        steps = kept_steps(path)
        if steps:
            self.begun.append(path)
        return ("interrupted" if steps else "to do"), steps

    def _steps(self, arm: str) -> Range | None:
        settings = self.config.train
        mixed = {REPLAY, INSTRUCTION} if self.config.tokenize.instructions else {REPLAY}
        rate = sum(train.mixed_rates(settings, mixed).values())
        tokens = NONE if settings.epochs is None else self._arm_tokens(arm)
        try:
            return tokens and tokens.map(lambda each: train.steps_of(settings, round(each), rate))
        except UserError as error:  # the same for every arm
            self.problems.append(refusal("train", error))
            return None

    def _arm_tokens(self, arm: str) -> Range | None:
        if shard := self._shard(arm):
            return Range.exactly(shard.manifest["tokens"])
        return total(map(self._text_tokens, self.config.train.arms[arm]))

    def _text_tokens(self, recipe: str) -> Range | None:
        """Tokens of all texts of a recipe that are trained on; None where there is no such text."""
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

    def _chat_tokens(self) -> Range | None:
        chats = self.config.instruct.chats
        if shard := self._shard(CHATS):
            return Range.exactly(shard.manifest["tokens"])
        return _tokens_of(chats.stat().st_size) if chats is not None and chats.is_file() else None

    def _validations(self, steps: Range | None, done: int, *, first: bool) -> Range | None:
        """Tokens that are read for losses on texts kept out, from step `done` on."""
        settings = self.config.train
        if self.config.tokenize.holdout == 0:
            return NONE
        if steps is None or missing_libraries():
            return None
        every, sets = settings.validation_every, self._validation_sets

        def looks(steps: float) -> int:
            between = (int(steps) - 1) // every - done // every if every else 0
            return first + max(0, between) + 1

        return Range(
            looks(steps.low) * sets.low,
            looks(steps.expected) * sets.expected,
            looks(steps.high) * sets.high,
        )

    @cached_property
    def _validation_sets(self) -> Range:
        """Tokens that one look at all sets reads."""
        from steep.training.validation import rows_read

        context = self.config.train.context_tokens
        if shard := self._shard(VALIDATION):
            sets = [Range.exactly(tokens) for tokens in shard.manifest["tokens"].values()]
        else:
            sets = [*self._expected_sets()]
        rows = (each.map(lambda tokens: rows_read(round(tokens), context)) for each in sets)
        return sum(rows, NONE).times(context)

    def _expected_sets(self) -> Iterable[Range]:
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
    """Tokens of so many bytes of text."""
    return Range(
        size / BYTES_PER_TOKEN.high, size / BYTES_PER_TOKEN.expected, size / BYTES_PER_TOKEN.low
    )


def refusal(verb: str, error: UserError) -> str:
    """What a stage will say, as one warning."""
    problem, *about = (" ".join(line.split()) for line in str(error).splitlines())
    return f"{verb} will refuse to start: {problem.rstrip('.')} ({'; '.join(about)})"
