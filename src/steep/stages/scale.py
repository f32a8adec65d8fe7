"""The scaling study: subsets of the arms' texts are trained and evaluated, one point at a time.

Each point has artifacts of its own, so an interrupted study continues at the point that it was at,
and points can be made by independent processes on one file system. The last step fits the curves.
"""

from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.evaluation.config import BASE, OpenBookConfig, SummariesConfig
from steep.evaluation.setup import EvaluationSetup
from steep.ledger.ledger import open_ledger
from steep.llm.model_names import model_directory
from steep.scaling.study import (
    RESULT_NAME,
    RETRIEVAL,
    STAGE,
    Forgotten,
    Price,
    StudyPoint,
    StudyResult,
    metric_study,
    study_points,
    training_tokens_of,
    write_study,
)
from steep.stages import evaluate, pipeline, train
from steep.tokens.subset import build_subset
from steep.training.models import MODEL_NAME
from steep.training.runs import mixed_rates, train_arm, training_identity

if TYPE_CHECKING:
    from steep.evaluation.methods.common import Graded
    from steep.evaluation.question_set import QuestionSet

log = logging.getLogger("steep")

VERSION = 1


@dataclass(frozen=True)
class Study:
    """A study whose texts are tokenized."""

    config: Config
    project: Project
    run: pipeline.PipelineRun

    @cached_property
    def points(self) -> tuple[StudyPoint, ...]:
        """The points, in the order in which they are made."""
        totals = {arm: int(self.run.tokenize[arm].manifest["tokens"]) for arm in self._arms}
        return study_points(self.config.scale, self._arms, totals, self.config.train.seed)

    @property
    def _arms(self) -> Mapping[str, tuple[str, ...]]:
        return self.config.train.arms

    def training_tokens(self, point: StudyPoint) -> int:
        """Return the tokens that a point's model is trained on."""
        settings = self.config.train
        own = sum(mixed_rates(settings, self.run.tokenize).values())
        share = own if settings.replay_mode == "add" else 0.0
        batch_tokens = settings.batch_sequences * settings.context_tokens
        return training_tokens_of(point.tokens, self.config.scale.epochs, share, batch_tokens)

    def identity(self, point: StudyPoint) -> Identity:
        """Return what decides the weights of a point's model."""
        return training_identity(
            self._settings(point).train, self._shards(point), point.name, self._subset(point)
        )

    def train(self, point: StudyPoint) -> Artifact:
        """Train the model of a point, or find it."""
        config = self._settings(point)
        find = partial(model_directory, project=self.project)
        launch = partial(train.launch, config.train)
        shards, subset = self._shards(point), self._subset(point)
        return train_arm(
            self.project, config.train, shards, point.name, find, launch, subset
        )

    def setup(self, point: StudyPoint) -> EvaluationSetup:
        """Return what the model of a point is asked: closed book, and what it forgot."""
        whole = evaluate.setup_of(self.config, self.project)
        return replace(
            whole,
            evaluate=whole.evaluate.model_copy(update={"servers": {}}),
            open_book=OpenBookConfig(),
            summaries=SummariesConfig(),
            arms={point.name: self._arms[point.arm]},
            tuned=frozenset(),
        )

    def base_setup(self) -> EvaluationSetup:
        """Return what the base model is asked: the same, and with retrieved texts."""
        whole = evaluate.setup_of(self.config, self.project)
        return replace(
            whole,
            evaluate=whole.evaluate.model_copy(update={"servers": {}}),
            summaries=SummariesConfig(),
            arms={},
            tuned=frozenset(),
        )

    @cached_property
    def question_set(self) -> QuestionSet:
        """The questions.

        Raises:
            UserError: There are none.
        """
        from steep.evaluation.question_set import read_question_set

        found = read_question_set(self.base_setup(), self.run.documents)
        if found is None or not found.questions:
            raise UserError("A scaling study needs questions.", where="evaluate.questions")
        return found

    def ask(self, point: StudyPoint, trained: Artifact) -> list[Artifact]:
        """Ask the model of a point, or find its answers; return the artifacts of rows."""
        from steep.evaluation.run import ask_all

        rows = ask_all(
            self.setup(point), self.run.documents, {point.name: trained}, self.question_set
        )
        return [each for each in rows if _arm(each) == point.name]

    def ask_base(self) -> list[Artifact]:
        """Ask the base model, or find its answers."""
        from steep.evaluation.run import ask_all

        return ask_all(self.base_setup(), self.run.documents, {}, self.question_set)

    def _settings(self, point: StudyPoint) -> Config:
        update = {"tokens": self.training_tokens(point), "epochs": None, "seed": point.seed}
        return self.config.model_copy(update={"train": self.config.train.model_copy(update=update)})

    def _shards(self, point: StudyPoint) -> dict[str, Artifact]:
        return {**self.run.tokenize, point.name: self.run.tokenize[point.arm]}

    def _subset(self, point: StudyPoint) -> Artifact | None:
        if point.matched:
            return None
        assert self.run.corpus is not None
        return build_subset(
            self.project,
            self.run.corpus,
            self.run.tokenize[point.arm],
            self._arms[point.arm],
            self.config.tokenize.holdout,
            point.tokens,
        )


def open_study(config: Config, project: Project) -> Study:
    """Run every stage up to the tokens, and return the study.

    Raises:
        UserError: The study is not configured as it can be run.
    """
    _check(config)
    study = Study(config, project, pipeline.run(config, project, "tokenize"))
    train.check(config, project)
    evaluate.check(config, project, study.run.documents)
    assert study.points and study.question_set
    return study


def _check(config: Config) -> None:
    if config.evaluate.questions is None:
        raise UserError("A scaling study needs questions.", where="evaluate.questions")
    if config.instruct.chats is not None:
        log.warning("scale: models of a study are not tuned on chats (instruct.chats)")


def run_point(study: Study, point: StudyPoint) -> tuple[Artifact, list[Artifact]]:
    """Train and evaluate one point, or find it; return its model and its answers."""
    trained = study.train(point)
    model = trained.path / MODEL_NAME
    if not model.is_dir() and not _is_asked(study, point, trained):
        log.info("scale: %s is trained again: its weights were deleted", point.name)
        (trained.path / MANIFEST).unlink()
        trained = study.train(point)
    rows = study.ask(point, trained)
    if study.config.scale.delete_weights and model.is_dir():
        shutil.rmtree(model)
    gc.collect()
    return trained, rows


def _is_asked(study: Study, point: StudyPoint, trained: Artifact) -> bool:
    """Return True if all answers of a model are there, so that its weights are not needed."""
    looking = replace(study, project=replace(study.project, finished_only=True))
    from steep.core.artifacts import Unfinished

    try:
        looking.ask(point, trained)
    except Unfinished:
        return False
    return True


def run_all(study: Study) -> tuple[StudyResult, Artifact]:
    """Run every point that is left, and fit the curves."""
    rows = {BASE: study.ask_base()}
    trained = {}
    for number, point in enumerate(study.points, start=1):
        log.info("scale: point %d of %d, %s", number, len(study.points), point.name)
        trained[point.name], rows[point.name] = run_point(study, point)
    return collect(study, trained, rows)


def collect(
    study: Study, trained: Mapping[str, Artifact], rows: Mapping[str, Sequence[Artifact]]
) -> tuple[StudyResult, Artifact]:
    """Fit the curves of all points, and keep the result."""
    result: list[StudyResult] = []

    def make(directory: Path) -> dict[str, Any]:
        result.append(_result(study, trained, rows))
        write_study(directory / RESULT_NAME, result[0])
        return {"models": len(trained)}

    flat = [each for own in rows.values() for each in own]
    inputs = {f"{each.stage}-{each.hash8}": each for each in [*flat, *trained.values()]}
    fields = {
        "scale.targets": list(study.config.scale.targets),
        "evaluate.normalizer": study.config.evaluate.normalizer,
    }
    artifact = build(study.project, Identity(STAGE, VERSION, fields, inputs), make)
    if not result:
        from steep.scaling.study import read_study

        result.append(read_study(artifact.path / RESULT_NAME))
    return result[0], artifact


def _result(
    study: Study, trained: Mapping[str, Artifact], rows: Mapping[str, Sequence[Artifact]]
) -> StudyResult:
    graded = _graded(study, rows)
    points = [point for point in study.points if point.name in trained]
    tokens = {name: int(artifact.manifest["tokens"]) for name, artifact in trained.items()}
    targets = study.config.scale.targets
    metrics = tuple(
        metric_study(metric, points, by_model, tokens, BASE, targets)
        for metric, by_model in graded.items()
    )
    every = [*trained.values(), *(each for own in rows.values() for each in own)]
    seconds = sum(artifact.manifest["wall_s"] for artifact in every)
    return StudyResult(
        models=len(trained),
        hours=seconds / 3600,
        metrics=metrics,
        prices=tuple(_prices(study, trained)),
        forgotten=tuple(_forgotten(study, points, rows)),
    )


def _graded(
    study: Study, rows: Mapping[str, Sequence[Artifact]]
) -> dict[str, dict[str, Graded]]:
    """Return the grades by metric and model; those with retrieval under `RETRIEVAL`."""
    from steep.evaluation.methods.registry import graded_of

    setup = study.base_setup()
    found: dict[str, dict[str, Graded]] = {}
    for name, own in rows.items():
        for artifact in own:
            for metric, graded in graded_of(artifact, setup).items():
                found.setdefault(metric, {})[name] = graded
    if retrieved := _retrieved(rows[BASE], setup):
        metric, graded = retrieved
        if metric in found:
            found[metric][RETRIEVAL] = graded
    return found


def _retrieved(
    rows: Sequence[Artifact], setup: EvaluationSetup
) -> tuple[str, Graded] | None:
    from steep.evaluation.methods import answers, likelihood
    from steep.evaluation.methods.common import Graded
    from steep.evaluation.methods.open_book import METHOD
    from steep.evaluation.methods.open_book_result import best_cell, cell_of, is_by_likelihood

    cells = [each for each in rows if each.stage == METHOD.stage]
    if not cells:
        return None
    best = best_cell([cell_of(each, setup) for each in cells], BASE)
    if best is None or not best.grades:
        return None
    metric = likelihood.METRIC if is_by_likelihood(cells[0]) else answers.METRIC
    return metric, Graded(best.grades, best.chance or 0.0)


def _prices(study: Study, trained: Mapping[str, Artifact]) -> Iterator[Price]:
    """Yield what the largest model of each arm took, averaged over its seeds."""
    hourly = study.config.train.gpu_hour_usd
    for arm in dict.fromkeys(point.arm for point in study.points):
        own = [point for point in study.points if point.arm == arm and point.name in trained]
        most = max(point.tokens for point in own)
        largest = [trained[point.name] for point in own if point.tokens == most]
        hours = sum(each.manifest["wall_s"] for each in largest) / len(largest) / 3600
        yield Price(
            arm=arm,
            tokens=most,
            generation_usd=_generation_usd(study, arm),
            training_hours=hours,
            training_usd=None if hourly is None else hours * hourly,
        )


def _generation_usd(study: Study, arm: str) -> float | None:
    """Return what the texts of an arm's recipes cost; None if a price is unknown."""
    from steep.ledger.queries import costs_by_recipe

    with open_ledger(study.project) as ledger:
        costs = costs_by_recipe(ledger)
    own = [costs.get(recipe, 0.0) for recipe in study.config.train.arms[arm]]
    return None if None in own else sum(cost or 0.0 for cost in own)


def _forgotten(
    study: Study, points: Sequence[StudyPoint], rows: Mapping[str, Sequence[Artifact]]
) -> Iterator[Forgotten]:
    """Yield the loss on general text of each size, less that of the base."""
    from steep.evaluation.methods.general_text import METHOD, bits_per_byte

    losses = {
        name: bits_per_byte(each)
        for name, own in rows.items()
        for each in own
        if each.stage == METHOD.stage
    }
    if BASE not in losses:
        return
    by_size: dict[tuple[str, int], list[float]] = {}
    for point in points:
        if point.name in losses:
            more = losses[point.name] - losses[BASE]
            by_size.setdefault((point.arm, point.tokens), []).append(more)
    for (arm, tokens), own in by_size.items():
        yield Forgotten(
            arm=arm,
            tokens=tokens,
            mean=sum(own) / len(own),
            lowest=min(own),
            highest=max(own),
        )


def _arm(artifact: Artifact) -> str:
    from steep.evaluation.eval_models import name_of

    return name_of(artifact)
