"""The scaling study: subsets of the arms' texts are trained and evaluated, one point at a time.

Each point has artifacts of its own, so an interrupted study continues at the point that it was at,
and points can be made by independent processes on one file system. The last step fits the curves.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from steep.config import Config
from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, Unfinished, refuse_ranks
from steep.core.errors import UserError
from steep.core.formatting import plural
from steep.core.progress import parts
from steep.evaluation.config import BASE, OpenBookConfig, SummariesConfig
from steep.evaluation.setup import EvaluationSetup
from steep.llm.model_names import model_directory
from steep.scaling.study import StudyPoint, study_points
from steep.stages import evaluate, pipeline, train
from steep.stages.finished_artifacts import ReadOnlyProject, without_log_lines
from steep.tokens.subset import build_subset
from steep.training.config import TrainConfig
from steep.training.models import MODEL_NAME, delete_weights
from steep.training.runs import mixed_rates, train_arm, training_identity, training_steps

if TYPE_CHECKING:
    from steep.evaluation.question_set import QuestionSet

log = logging.getLogger("steep")


KEPT = ("train", "subset")  # stages of which a study keeps artifacts


class FinishedPoint(NamedTuple):
    """A point that is trained and evaluated."""

    trained: Artifact
    rows: Sequence[Artifact]


@dataclass(frozen=True)
class Study:
    """A study whose texts are tokenized."""

    command: ClassVar[str] = "scale"  # the name of the command, in log lines

    config: Config
    project: Project
    run: pipeline.PipelineRun

    @cached_property
    def points(self) -> tuple[StudyPoint, ...]:
        """The points, in the order in which they are made."""
        arms = self.config.train.reads
        totals = {arm: int(self.run.tokenize[arm].manifest["tokens"]) for arm in arms}
        return study_points(self.config.scale, arms, totals, self.config.train.seed)

    def train(self, point: StudyPoint) -> Artifact:
        """Train the model of a point, or find it."""
        settings = self._settings(point)
        find = partial(model_directory, project=self.project)
        launch = partial(train.launch, settings)
        shards, subset = self._shards(point), self.subset(point)
        return train_arm(self.project, settings, shards, point.name, find, launch, subset)

    def ask(self, point: StudyPoint, trained: Artifact) -> list[Artifact]:
        """Ask the model of a point, or find its answers; return the artifacts of rows."""
        return self._ask(self.setup({point.name: point.arm}), {point.name: trained}, point.name)

    def ask_base(self) -> list[Artifact]:
        """Ask the base model, with retrieved texts, too, or find its answers."""
        book = self.config.open_book.model_copy(update={"models": ()})
        return self._ask(replace(self.setup(), open_book=book), {}, BASE)

    def subset(self, point: StudyPoint) -> Artifact | None:
        """Choose the texts of a point, or find them; None: all texts of its arm."""
        if point.matched:
            return None
        return build_subset(
            self.project,
            self.corpus(point),
            self.run.tokenize[point.arm],
            self.config.train.reads[point.arm],
            self.config.tokenize.holdout,
            point.tokens,
        )

    def corpus(self, point: StudyPoint) -> Artifact:
        """Return the corpus with the texts of a point."""
        assert self.run.corpus is not None
        return self.run.corpus

    def identity(self, point: StudyPoint) -> Identity:
        """Return what decides the weights of a point's model."""
        shards, subset = self._shards(point), self.subset(point)
        return training_identity(self._settings(point), shards, point.name, subset)

    def looking(self) -> Study:
        """Return the same study with a project in which nothing is made."""
        return replace(self, project=replace(self.project, finished_only=True))

    @cached_property
    def question_set(self) -> QuestionSet:
        """The questions.

        Raises:
            UserError: There are none.
        """
        from steep.evaluation.question_set import read_question_set

        found = read_question_set(self.setup(), self.run.documents)
        if found is None or not (found.questions or found.short):
            raise UserError("A scaling study needs questions.", where="evaluate.questions")
        return found

    def setup(self, arms: Mapping[str, str] = MappingProxyType({})) -> EvaluationSetup:
        """Return what models are asked: closed book, and what they forgot."""
        whole = evaluate.setup_of(self.config, self.project)
        return replace(
            whole,
            evaluate=whole.evaluate.model_copy(update={"servers": {}}),
            open_book=OpenBookConfig(),
            summaries=SummariesConfig(),
            arms={name: self.config.train.reads[arm] for name, arm in arms.items()},
            seeds={name: (name,) for name in arms},
            tuned=frozenset(),
        )

    def _ask(
        self, setup: EvaluationSetup, trained: Mapping[str, Artifact], only: str
    ) -> list[Artifact]:
        from steep.evaluation.run import ask_all

        return ask_all(setup, self.run.documents, trained, self.question_set, only)

    def _settings(self, point: StudyPoint) -> TrainConfig:
        return settings_of(self.config, self.run.tokenize, point)

    def _shards(self, point: StudyPoint) -> dict[str, Artifact]:
        return {**self.run.tokenize, point.name: self.run.tokenize[point.arm]}


def settings_of(config: Config, available: Container[str], point: StudyPoint) -> TrainConfig:
    """Return the settings of a point's training, given the shards that can be mixed in."""
    lengths = {"epochs": config.scale.epochs, "tokens": None, "seed": point.seed}
    settings = config.train.model_copy(update=lengths)
    rate = sum(mixed_rates(settings, available).values())
    steps = training_steps(settings, point.tokens, rate)
    tokens = steps * settings.batch_sequences * settings.context_tokens
    return settings.model_copy(update={"tokens": tokens, "epochs": None})


def find_study(config: Config, project: Project) -> Study | None:
    """Return the study if its texts are tokenized; nothing is made."""
    looking = ReadOnlyProject(project.root, finished_only=True)
    if not project.ledger_path.is_file():
        return None
    with without_log_lines(), suppress(Unfinished):
        return Study(config, looking, pipeline.run(config, looking, "tokenize"))
    return None


def finished_study(config: Config, project: Project) -> Study:
    """Return the study to be fitted, without generating, tokenizing, training or asking.

    Raises:
        UserError: Its texts are not tokenized, so nothing of it is finished.
    """
    found = find_study(config, project)
    if found is None:
        raise UserError(
            "Nothing of the study is finished.",
            where=project.store,
            expected="tokenized texts, the base and points of the study",
            found="no tokenized texts of this configuration",
            hint="run steep scale; steep scale --plan shows what it takes",
        )
    _ = found.question_set
    return replace(found, project=project)


def names_of_study(config: Config, project: Project) -> set[str]:
    """Return the names of the subsets and models of this configuration's study, made or not."""
    names: set[str] = set()
    study = find_study(config, project)
    if study is None:
        return names
    with without_log_lines():
        try:
            points = study.points
        except UserError:  # no study, or one that cannot be run as it is configured: all are kept
            return {each.path.name for stage in KEPT for each in _of_studies(project, stage)}
        for point in points:
            if identity := _known_identity(study, point):
                names.add(project.artifact_path(identity.stage, identity.hash8).name)
                names |= {each.path.name for each in identity.inputs.values()}
    return names


def _of_studies(project: Project, stage: str) -> Iterator[Artifact]:
    """Yield the finished models or subsets of any study: their arms have an @ in their names."""
    for artifact in project.finished(stage):
        if stage != "train" or "@" in str(artifact.manifest["identity"]["fields"]["arm"]):
            yield artifact


def open_study(config: Config, project: Project) -> Study:
    """Run every stage up to the tokens, choose all subsets, and return the study.

    Raises:
        UserError: The study cannot be run as it is configured.
    """
    refuse_ranks("scale")
    if config.evaluate.questions is None:
        raise UserError("A scaling study needs questions.", where="evaluate.questions")
    if config.instruct.chats is not None:
        log.warning("scale: models of a study are not tuned on chats (instruct.chats)")
    lengths = {"epochs": config.scale.epochs, "tokens": None}
    trained = config.train.model_copy(update=lengths)
    train.check(config.model_copy(update={"train": trained}), project)
    study = Study(config, project, pipeline.run(config, project, "tokenize"))
    evaluate.check(config, project, study.run.documents)
    _ = study.question_set
    with without_log_lines():
        for point in study.points:
            study.subset(point)
    for line in other_models(study):
        log.warning("scale: %s", line)
    return study


def run_point(study: Study, point: StudyPoint) -> FinishedPoint:
    """Train and evaluate one point, or find it."""
    if found := look_at(study, point):
        finished = found
        log.info("%s: %s was done before", study.command, point.name)
    else:
        trained = study.train(point)
        if not (trained.path / MODEL_NAME).is_dir():
            log.info(
                "%s: %s is trained again, as its weights were deleted", study.command, point.name
            )
            (trained.path / MANIFEST).unlink()
            trained = study.train(point)
        finished = FinishedPoint(trained, study.ask(point, trained))
        gc.collect()
    if study.config.scale.delete_weights and (finished.trained.path / MODEL_NAME).is_dir():
        delete_weights(finished.trained.path, study.project)
    return finished


def look_at(study: Study, point: StudyPoint) -> FinishedPoint | None:
    """Return a point if it is trained and evaluated, without making anything."""
    looking = study.looking()
    with without_log_lines(), suppress(Unfinished):
        trained = looking.train(point)
        return FinishedPoint(trained, looking.ask(point, trained))
    return None


def run_all(study: Study) -> None:
    """Run every point that is left, after the base."""
    study.ask_base()
    points = parts(study.command, study.points, "points")
    for number, point in enumerate(points, start=1):
        of = (study.command, number, len(study.points), point.name)
        log.info("%s: point %d of %d, %s", *of)
        run_point(study, point)


def run_numbered(study: Study, number: int) -> None:
    """Run one point, counted from 1; 0 is the base.

    Raises:
        UserError: There is no such point.
    """
    if number > len(study.points):
        raise UserError(
            "There is no point of this number in the study.",
            where="--point",
            expected=f"0 (the base) to {len(study.points)}",
            found=number,
        )
    if number == 0:
        study.ask_base()
    else:
        run_point(study, study.points[number - 1])


def other_models(study: Study) -> Iterator[str]:
    """Yield how models of this project's earlier studies differ from those of this one."""
    from steep.core.artifacts import changes_between

    points = {point.name: _known_identity(study, point) for point in study.points}
    arms = set(study.config.train.arms)
    reasons: dict[str, int] = {}
    for artifact in study.project.finished("train"):
        identity = artifact.manifest["identity"]
        name = str(identity["fields"]["arm"])
        arm, mark, _ = name.rpartition("@")
        if not mark or arm not in arms:
            continue
        if name not in points:
            why = "their sizes or seeds are no longer part of the study"
        elif (own := points[name]) is None or own.hash8 == artifact.hash8:
            continue
        else:
            why = "; ".join(changes_between(identity, own.table))
        reasons[why] = reasons.get(why, 0) + 1
    for why, number in reasons.items():
        yield f"{plural(number, 'trained model')} of an earlier study cannot be used: {why}"


def _known_identity(study: Study, point: StudyPoint) -> Identity | None:
    """Return the identity of a point's model; None if its subset has not been chosen."""
    with without_log_lines(), suppress(Unfinished):
        return study.identity(point)
    return None
