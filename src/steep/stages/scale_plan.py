"""The forecast of a scaling study: models, hours, dollars and disk. Nothing is made or loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from steep.config import Config
from steep.core.artifacts import Project, Unfinished
from steep.core.ranges import Range
from steep.scaling.study import StudyPoint, study_points
from steep.stages.finished_artifacts import without_log_lines
from steep.stages.plan import make_plan
from steep.stages.scale import FinishedPoint, Study, find_study, look_at, other_models, settings_of
from steep.stages.training_plan import TextTokens, devices_of, model_shape
from steep.tokens.build import INSTRUCTION, REPLAY, VALIDATION
from steep.training.checkpoint_files import kept_steps
from steep.training.forecast import (
    RunForecast,
    SectionForecast,
    TrainingForecast,
    disk_warnings,
    forecast_section,
    total,
    validation_tokens_of,
)

LEAST_SIZES = 4  # two more than the log-linear form has parameters


@dataclass(frozen=True, slots=True)
class SizeForecast:
    """All models of one size; hours and dollars are what is left, None if unknown."""

    tokens: int  # of the texts
    training_tokens: int  # of each model
    models: int
    done: int  # models that are trained and evaluated
    hours: Range | None
    cost_usd: Range | None


@dataclass(frozen=True, slots=True)
class StudyForecast:
    """What is left of a study.

    Attributes:
        exact: Whether the sizes are those of tokenized texts, and not estimated ones.
        evaluation_hours: Of the models that are left, as long as finished ones took; None if none
            is finished.
        room_bytes: Most bytes on disk at once; None if unknown.
        generation_usd: Cost of texts that are not written yet; None if a price is unknown.
        calls: Number of calls for these texts.
        warnings: What will be refused, is unknown, or cannot be used again.
    """

    exact: bool
    sizes: tuple[SizeForecast, ...]
    training: TrainingForecast
    evaluation_hours: float | None
    room_bytes: int | None
    delete_weights: bool
    generation_usd: Range | None
    calls: float
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(replace(self, training=None)) | {"training": self.training.as_json()}  # type: ignore[arg-type]


def forecast_study(config: Config, project: Project, gpus: str | None = None) -> StudyForecast:
    """Estimate what is left of a study.

    Args:
        config: The configuration.
        project: The project, with what is finished.
        gpus: GPUs to train on, as "8xH100"; by default those of this machine.

    Raises:
        UserError: The study cannot be run as it is configured, or the GPUs are not known.
    """
    study = find_study(config, project)
    plan = make_plan(config, project) if config.generate.recipes else None
    points = study.points if study else _estimated_points(config, project, plan)
    finished = {each.name: look_at(study, each) for each in points} if study else {}
    section, problems = forecast_points(config, project, study, points, finished, gpus)
    training = TrainingForecast(config.train.model, config.train.gpu_hour_usd, (section,), ())
    deletes, room = config.scale.delete_weights, training.room_bytes
    if deletes and training.to_do and room is not None:
        room = section.disk_bytes
    begun = [] if deletes else disk_warnings(training, project.store, [])
    earlier = other_models(study) if study else ()
    calls = plan.forecast.to_do.calls.expected if plan else 0.0
    return StudyForecast(
        exact=study is not None,
        sizes=_sizes(points, section.runs, finished),
        training=training,
        evaluation_hours=evaluation_hours(points, finished),
        room_bytes=room,
        delete_weights=deletes,
        generation_usd=plan.forecast.to_do.cost_usd if plan else Range.exactly(0.0),
        calls=calls,
        warnings=(*problems, *_shortfalls(config, points), *begun, *earlier),
    )


def forecast_points(
    config: Config,
    project: Project,
    study: Study | None,
    points: Sequence[StudyPoint],
    finished: Mapping[str, FinishedPoint | None],
    gpus: str | None,
) -> tuple[SectionForecast, list[str]]:
    """Return the forecast of training the points that are left, and why it is not known."""
    runs = [_run(config, study, point, finished.get(point.name)) for point in points]
    return forecast_section(
        config.train,
        SectionForecast("train", devices_of(config, "train", gpus), tuple(runs)),
        partial(model_shape, config.train.model, project, config.train),
        project.store,
        config.train.gpu_hour_usd,
    )


def _shortfalls(config: Config, points: Sequence[StudyPoint]) -> Iterator[str]:
    """Yield what this study lacks for a result."""
    if config.evaluate.questions is None:
        yield "a study needs questions: set evaluate.questions"
    sizes = len({point.tokens for point in points})
    if 0 < sizes < LEAST_SIZES:
        yield f"no curve is fitted to fewer than {LEAST_SIZES} sizes; this study has {sizes}"


def _estimated_points(config: Config, project: Project, plan: Any) -> tuple[StudyPoint, ...]:
    texts = TextTokens(config, project, plan)
    estimates = {arm: texts.of_arm(arm) for arm in config.train.arms}
    totals = {arm: round(each.expected) if each else 0 for arm, each in estimates.items()}
    return study_points(config.scale, config.train.reads, totals, config.train.seed)


def _run(
    config: Config, study: Study | None, point: StudyPoint, finished: FinishedPoint | None
) -> RunForecast:
    available = study.run.tokenize if study else {REPLAY: None, INSTRUCTION: None}
    settings = settings_of(config, available, point)
    step_tokens = settings.batch_sequences * settings.context_tokens
    assert settings.tokens is not None
    steps, kept = settings.tokens // step_tokens, 0
    state: Any = "done" if finished else "to do"
    if study and not finished:
        with without_log_lines(), suppress(Unfinished):
            identity = study.identity(point)
            path = study.project.artifact_path(identity.stage, identity.hash8)
            state = "done" if study.project.find(identity.stage, identity.hash8) else state
            if state != "done" and (kept := kept_steps(path)):
                state = "interrupted"
    run = RunForecast(point.name, state, Range.exactly(steps), kept, step_tokens)
    if study and (validation := study.run.tokenize.get(VALIDATION)):
        sets = [Range.exactly(each) for each in validation.manifest["tokens"].values()]
        run = replace(run, validation_tokens=validation_tokens_of(settings, run, sets, False))
    return run


def _sizes(
    points: Sequence[StudyPoint],
    runs: Sequence[RunForecast],
    finished: dict[str, FinishedPoint | None],
) -> tuple[SizeForecast, ...]:
    by_name = {run.name: run for run in runs}
    sizes = []
    for tokens in sorted({point.tokens for point in points}):
        names = [point.name for point in points if point.tokens == tokens]
        own = [by_name[name] for name in names]
        assert own[0].tokens is not None
        sizes.append(
            SizeForecast(
                tokens=tokens,
                training_tokens=round(own[0].tokens.expected),
                models=len(own),
                done=sum(finished.get(name) is not None for name in names),
                hours=total(run.hours for run in own),
                cost_usd=total(run.cost_usd for run in own),
            )
        )
    return tuple(sizes)


def evaluation_hours(
    points: Sequence[StudyPoint], finished: Mapping[str, FinishedPoint | None]
) -> float | None:
    """Return the hours of evaluating the points that are left; None if none is finished."""
    done = [each for each in finished.values() if each]
    if not done:
        return None
    seconds = sum(float(row.manifest["wall_s"]) for each in done for row in each.rows)
    return seconds / len(done) * (len(points) - len(done)) / 3600
