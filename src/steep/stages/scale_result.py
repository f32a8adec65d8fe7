"""The result of a scaling study, from the finished points; nothing is trained or asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.core.arms import recipe_of
from steep.core.artifacts import Artifact, Identity, Unfinished, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.files import write_json, write_text
from steep.evaluation.config import BASE
from steep.evaluation.environment import environments_of
from steep.evaluation.protocols import reading_fields
from steep.evaluation.setup import EvaluationSetup
from steep.ledger.ledger import open_ledger
from steep.report.render import study_page
from steep.scaling.config import POINTER_NAME
from steep.scaling.results import (
    RESULT_NAME,
    RETRIEVAL,
    STAGE,
    Forgotten,
    Price,
    StudyResult,
    read_study,
    write_study,
)
from steep.scaling.study import metric_study
from steep.stages.finished_artifacts import without_log_lines
from steep.stages.scale import FinishedPoint, Study, look_at

if TYPE_CHECKING:
    from steep.evaluation.methods.common import Graded

VERSION = 4
PAGE_NAME = "scaling.html"  # in the run's directory


def fit_study(study: Study) -> StudyResult:
    """Fit the curves through all finished points, and keep the result.

    Raises:
        UserError: The base, or every point, is unfinished.
    """
    base, finished = finished_points(study, "No point of the study is finished.")
    rows = {BASE: base} | {name: each.rows for name, each in finished.items()}
    artifacts = [each for own in rows.values() for each in own]
    artifacts += [each.trained for each in finished.values()]

    def make(directory: Path) -> dict[str, Any]:
        write_study(directory / RESULT_NAME, _result(study, finished, rows))
        return {"models": len(finished), "planned": len(study.points)}

    fields = {
        **identity_fields("scale", study.config.scale),
        **reading_fields(study.config.evaluate),
        "points": [point.name for point in study.points],
        "train.gpu_hour_usd": study.config.train.gpu_hour_usd,
    }
    inputs = {f"{each.stage}-{each.hash8}": each for each in artifacts}
    made = build(study.project, Identity(STAGE, VERSION, fields, inputs), make, one_of_many=True)
    directory = study.project.run_directory(study.config.name)
    write_json(directory / POINTER_NAME, {STAGE: made.path.name})
    result = read_study(made.path / RESULT_NAME)
    series = {name: place for place, name in enumerate([BASE, *study.config.train.arms])}
    write_text(directory / PAGE_NAME, study_page(result, study.config.name, series))
    return result


def finished_points(study: Study, problem: str) -> tuple[list[Artifact], dict[str, FinishedPoint]]:
    """Return the rows of the base, and the finished points by their names.

    Raises:
        UserError: The base, or every point, is unfinished; `problem` says the latter.
    """
    base, finished = base_rows(study), {}
    for point in study.points:
        if found := look_at(study, point):
            finished[point.name] = found
    if not finished:
        raise unfinished(study, problem)
    return base, finished


def base_rows(study: Study) -> list[Artifact]:
    """Return the rows of the base.

    Raises:
        UserError: It has not been evaluated.
    """
    try:
        with without_log_lines():
            return study.looking().ask_base()
    except Unfinished as error:
        raise unfinished(study, "The base of the study has not been evaluated.") from error


def unfinished(study: Study, problem: str) -> UserError:
    """Return the error that points of a study are missing."""
    return UserError(
        problem,
        where=study.project.store,
        expected=f"the base and {len(study.points)} points",
        hint=f"steep {study.command} makes what is missing; --point 0 asks the base alone",
    )


def _result(
    study: Study, finished: Mapping[str, FinishedPoint], rows: Mapping[str, Sequence[Artifact]]
) -> StudyResult:
    tokens = {name: int(each.trained.manifest["tokens"]) for name, each in finished.items()}
    metrics = tuple(
        metric_study(metric, study.points, by_model, tokens, study.config.scale.targets)
        for metric, by_model in graded_by_metric(rows, study.setup()).items()
    )
    every = [each.trained for each in finished.values()]
    every += [each for own in rows.values() for each in own]
    seconds = sum(artifact.manifest["wall_s"] for artifact in every)
    return StudyResult(
        models=len(finished),
        missing=tuple(each.name for each in study.points if each.name not in finished),
        hours=seconds / 3600,
        metrics=metrics,
        prices=tuple(_prices(study, finished)),
        forgotten=tuple(_forgotten(study, rows)),
        environments=environments_of(each for own in rows.values() for each in own),
    )


def graded_by_metric(
    rows: Mapping[str, Sequence[Artifact]], setup: EvaluationSetup
) -> dict[str, dict[str, Graded]]:
    """Return the grades by metric and model; those with retrieval under `RETRIEVAL`."""
    from steep.evaluation.methods.registry import graded_of

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


def _retrieved(rows: Sequence[Artifact], setup: EvaluationSetup) -> tuple[str, Graded] | None:
    from steep.evaluation.methods import answers, likelihood
    from steep.evaluation.methods.common import Graded
    from steep.evaluation.methods.open_book_result import (
        STAGE,
        best_cell,
        cell_of,
        is_by_likelihood,
    )

    cells = [each for each in rows if each.stage == STAGE]
    best = best_cell([cell_of(each, setup) for each in cells], BASE)
    if best is None or not best.grades:
        return None
    metric = likelihood.METRIC if is_by_likelihood(cells[0]) else answers.METRIC
    return metric, Graded(best.grades, best.chance or 0.0)


def _prices(study: Study, finished: Mapping[str, FinishedPoint]) -> Iterator[Price]:
    """Yield what the largest model of each arm took, averaged over its seeds."""
    settings = study.config.train
    for arm in dict.fromkeys(point.arm for point in study.points):
        own = [point for point in study.points if point.arm == arm and point.name in finished]
        if not own:
            continue
        most = max(point.tokens for point in own)
        largest = [finished[point.name] for point in own if point.tokens == most]
        hours = device_hours(study, [each.trained for each in largest])
        asking = sum(row.manifest["wall_s"] for each in largest for row in each.rows)
        usd = settings.gpu_hour_usd
        fields = [row.manifest["identity"]["fields"] for each in largest for row in each.rows]
        on_gpu = any(each.get("device") == "cuda" for each in fields)
        yield Price(
            arm=arm,
            tokens=most,
            generation_usd=_generation_usd(study, arm, most),
            training_hours=hours,
            evaluation_hours=asking / len(largest) / 3600,
            training_usd=hours * usd if usd is not None and on_gpu else None,
        )


def device_hours(study: Study, models: Sequence[Artifact]) -> float:
    """Return the hours of training of a model, averaged over some, times its devices."""
    settings = study.config.train
    devices = settings.ray_workers if settings.launcher == "ray" else 1
    seconds = [float(each.manifest["wall_s"]) for each in models]
    return devices * sum(seconds) / len(seconds) / 3600


def _generation_usd(study: Study, arm: str, tokens: int) -> float | None:
    """Return what the texts of a size cost, as a share of all; None if a price is unknown."""
    from steep.ledger.queries import recipes_cost

    shard = study.run.tokenize[arm].manifest
    available, taken = Counter[str](), Counter[str]()
    for each in shard.get("mix", ()):
        available[recipe_of(each["source"])] += each["available_tokens"]
        taken[recipe_of(each["source"])] += each["tokens"]
    usd = 0.0
    with open_ledger(study.project) as ledger:
        for recipe in study.config.train.reads[arm]:
            cost = recipes_cost(ledger, [recipe])
            if cost is None:
                return None
            usd += cost * (taken[recipe] / available[recipe] if available else 1.0)
    return usd * min(1.0, tokens / int(shard["tokens"]))


def _forgotten(study: Study, rows: Mapping[str, Sequence[Artifact]]) -> Iterator[Forgotten]:
    """Yield the loss on general text of each size minus that of the base."""
    from steep.evaluation.methods.general_text import METHOD, bits_per_byte

    losses = {
        name: bits_per_byte(each)
        for name, own in rows.items()
        for each in own
        if each.stage == METHOD.stage
    }
    by_size: dict[tuple[str, int], list[float]] = {}
    for point in study.points:
        if point.name in losses and BASE in losses:
            more = losses[point.name] - losses[BASE]
            by_size.setdefault((point.arm, point.tokens), []).append(more)
    for (arm, tokens), own in by_size.items():
        mean = sum(own) / len(own)
        yield Forgotten(arm=arm, tokens=tokens, mean=mean, lowest=min(own), highest=max(own))
