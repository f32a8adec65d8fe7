"""Forgetting: the loss of a model on general text, and its scores on tasks of others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.errors import UserError
from steep.core.files import content_hash, read_json, read_rows, write_json, write_rows
from steep.core.progress import Progress
from steep.documents.general_text import builtin_texts
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.forgetting.general_text import (
    TextLoss,
    loss_difference,
    loss_score,
    read_general_texts,
    text_losses,
)
from steep.evaluation.forgetting.harness_tasks import (
    TaskRow,
    check_tasks,
    compare_tasks,
    run_tasks,
)
from steep.evaluation.methods.common import ROWS_NAME, Method, Session
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.study_results import (
    GeneralTextResult,
    LossDifference,
    ModelLoss,
    ModelTasks,
    TaskScore,
    TasksResult,
)

log = logging.getLogger("steep")

VERSION = 2
LOSS_STAGE, TASK_STAGE = "general-loss", "tasks"
LOSSES_NAME, TASK_SCORES_NAME = "losses.parquet", "scores.json"


def check(setup: EvaluationSetup) -> None:
    """Check the settings of forgetting, before anything is spent.

    Raises:
        UserError: A text or task does not exist, or lm-evaluation-harness is not installed.
    """
    settings = setup.forgetting
    if settings.texts is not None:
        if skipped := read_general_texts(settings.texts).skipped:
            log.warning("general text: %d lines without text", len(skipped))
        if settings.texts == setup.replayed:
            log.warning(
                "forgetting.texts is also the text that training replays: its loss says little "
                "about forgetting"
            )
    if settings.task_folder is not None and not settings.task_folder.is_dir():
        raise UserError(
            "There is no such folder.", where="forgetting.task_folder", found=settings.task_folder
        )
    if settings.tasks:
        check_tasks(settings.tasks, settings.task_folder)


def _is_local(eval_model: EvalModel, what: str) -> bool:
    if eval_model.server is not None:
        log.warning("%s: %s is not measured for a served model", eval_model.name, what)
    return eval_model.server is None


def ask_texts(_: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Compute the loss of one local model on general text."""
    settings = eval_model.setup.forgetting
    if settings.texts is None or not _is_local(eval_model, "general text"):
        return
    path = settings.texts if isinstance(settings.texts, Path) else builtin_texts()
    fields = {
        **eval_model.fields,
        "forgetting.texts": content_hash(path),
        "forgetting.context_tokens": settings.context_tokens,
    }

    def make(directory: Path) -> dict[str, Any]:
        found = read_general_texts(path)
        progress = Progress(f"general text {eval_model.name}", None, "windows")
        rows = text_losses(
            *eval_model.loaded,
            found.texts,
            settings.context_tokens,
            eval_model.setup.evaluate.batch_tokens,
            lambda done, total: progress.update(done, of=total),
        )
        write_rows(directory / LOSSES_NAME, rows, TextLoss)
        return {"texts": len(rows), "skipped": len(found.skipped)}

    identity = Identity(LOSS_STAGE, VERSION, fields, eval_model.inputs)
    yield build(eval_model.setup.project, identity, make)


def ask_tasks(_: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Run the tasks on one local model."""
    settings = eval_model.setup.forgetting
    if not settings.tasks or not _is_local(eval_model, "forgetting"):
        return
    fields = {
        **eval_model.fields,
        "forgetting.tasks": list(settings.tasks),
        "forgetting.task_limit": settings.task_limit,
        "forgetting.task_folder": str(settings.task_folder) if settings.task_folder else None,
    }

    def make(directory: Path) -> dict[str, Any]:
        eval_model.close()  # the harness loads the model itself
        found = run_tasks(
            eval_model.directory,
            settings.tasks,
            limit=settings.task_limit,
            include_path=settings.task_folder,
        )
        write_rows(directory / ROWS_NAME, found.rows, TaskRow)
        scores = [asdict(each) for each in found.scores]
        write_json(directory / TASK_SCORES_NAME, {"scores": scores})
        return {"tasks": len(scores), "without_rows": list(found.without_rows)}

    identity = Identity(TASK_STAGE, VERSION, fields, eval_model.inputs)
    yield build(eval_model.setup.project, identity, make)


def general_text_result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> GeneralTextResult:
    """Compute the loss of each model; later models minus the first, on the same texts."""
    rows = {name_of(each): read_rows(each.path / LOSSES_NAME, TextLoss) for each in artifacts}
    (first, before), *others = rows.items()
    return GeneralTextResult(
        models=tuple(ModelLoss(name=n, **vars(loss_score(each))) for n, each in rows.items()),
        differences=tuple(
            LossDifference(a=name, b=first, **vars(loss_difference(after, before)))
            for name, after in others
        ),
    )


def tasks_result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> TasksResult:
    """Read the scores of each model; compare later models with the first, paired by question."""
    rows = {name_of(each): read_rows(each.path / ROWS_NAME, TaskRow) for each in artifacts}
    (first, before), *others = rows.items()
    return TasksResult(
        models=tuple(_tasks_of(each) for each in artifacts),
        differences=tuple(
            found for name, after in others for found in compare_tasks(after, before, name, first)
        ),
    )


def _tasks_of(artifact: Artifact) -> ModelTasks:
    scores = read_json(artifact.path / TASK_SCORES_NAME)["scores"]
    return ModelTasks(name=name_of(artifact), scores=tuple(TaskScore(**each) for each in scores))


GENERAL_TEXT = Method(LOSS_STAGE, ask_texts, general_text_result, GeneralTextResult, chosen=False)
TASKS = Method(TASK_STAGE, ask_tasks, tasks_result, TasksResult, chosen=False)
