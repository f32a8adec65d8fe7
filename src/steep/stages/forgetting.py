"""Stage 6, forgetting: what a model could do before, on general text and tasks of others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, build
from steep.core.errors import UserError
from steep.core.files import content_hash, read_json, write_json
from steep.documents.general_text import builtin_texts
from steep.stages.eval_models import EvalModel, name_of

log = logging.getLogger("steep")

VERSION = 1
TEXTS, TASKS = "general-loss", "tasks"  # stages, as artifacts are named
LOSSES_NAME, ROWS_NAME, TASK_SCORES_NAME = "losses.parquet", "rows.parquet", "scores.json"


def check(config: Config) -> None:
    """Refuse what cannot be measured, before anything is spent.

    Raises:
        UserError: There is no such text or task, or lm-evaluation-harness is not installed.
    """
    settings = config.forgetting
    if settings.texts is not None:
        from steep.evaluation.forgetting.general_text import read_general_texts

        skipped = read_general_texts(settings.texts).skipped
        if skipped:
            log.warning("general text: %d lines hold none", len(skipped))
        if settings.texts == config.tokenize.replay and config.train.replay_rate:
            log.warning(
                "forgetting.texts is also what training replays: its loss says little of forgetting"
            )
    if settings.task_folder is not None and not settings.task_folder.is_dir():
        raise UserError(
            "There is no such folder.", where="forgetting.task_folder", found=settings.task_folder
        )
    if settings.tasks:
        from steep.evaluation.forgetting.harness_tasks import check_tasks

        check_tasks(settings.tasks, settings.task_folder)


def run(eval_model: EvalModel) -> Iterator[Artifact]:
    """Measure one model, if it is loaded here."""
    settings = eval_model.config.forgetting
    if not (settings.texts or settings.tasks):
        return
    if eval_model.server is not None:
        log.warning("%s: forgetting is not measured of a served model", eval_model.name)
        return
    if settings.texts is not None:
        yield _text_losses(eval_model)
    if settings.tasks:
        yield _tasks(eval_model)


def _text_losses(eval_model: EvalModel) -> Artifact:
    settings = eval_model.config.forgetting
    path = settings.texts if isinstance(settings.texts, Path) else builtin_texts()
    fields = {
        **eval_model.fields,
        "forgetting.texts": content_hash(path),
        "forgetting.context_tokens": settings.context_tokens,
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.core.progress import Progress
        from steep.evaluation.forgetting.general_text import (
            read_general_texts,
            text_losses,
            write_losses,
        )

        found = read_general_texts(path)
        progress = Progress(f"general text {eval_model.name}", None, "windows")
        rows = text_losses(
            *eval_model.loaded,
            found.texts,
            settings.context_tokens,
            eval_model.config.evaluate.batch_tokens,
            lambda done, total: progress.update(done, of=total),
        )
        write_losses(directory / LOSSES_NAME, rows)
        return {"texts": len(rows), "skipped": len(found.skipped)}

    identity = Identity(TEXTS, VERSION, fields, eval_model.inputs)
    return build(eval_model.project, identity, make)


def _tasks(eval_model: EvalModel) -> Artifact:
    settings = eval_model.config.forgetting
    fields = {
        **eval_model.fields,
        "forgetting.tasks": list(settings.tasks),
        "forgetting.task_limit": settings.task_limit,
        "forgetting.task_folder": str(settings.task_folder) if settings.task_folder else None,
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.evaluation.forgetting.harness_tasks import run_tasks
        from steep.evaluation.forgetting.task_rows import write_task_rows

        eval_model.close()  # the harness loads the model itself
        found = run_tasks(
            eval_model.directory,
            settings.tasks,
            limit=settings.task_limit,
            include_path=settings.task_folder,
        )
        write_task_rows(directory / ROWS_NAME, found.rows)
        scores = [asdict(each) for each in found.scores]
        write_json(directory / TASK_SCORES_NAME, {"scores": scores})
        return {"tasks": len(scores), "without_rows": list(found.without_rows)}

    return build(eval_model.project, Identity(TASKS, VERSION, fields, eval_model.inputs), make)


def texts_table(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """The loss of each model on general text; a later model minus the first, on the same texts."""
    from steep.evaluation.forgetting.general_text import loss_difference, loss_score, read_losses

    rows = {name_of(each): read_losses(each.path / LOSSES_NAME) for each in artifacts}
    (first, before), *others = rows.items()
    models = [{"name": name, **asdict(loss_score(each))} for name, each in rows.items()]
    differences = [
        {"a": name, "b": first, **asdict(loss_difference(after, before))} for name, after in others
    ]
    return {"models": models, "differences": differences}


def tasks_table(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """The tasks of each model as the harness counts them; a later model minus the first, paired."""
    from steep.evaluation.forgetting.task_rows import compare_tasks, read_task_rows

    rows = {name_of(each): read_task_rows(each.path / ROWS_NAME) for each in artifacts}
    (first, before), *others = rows.items()
    return {
        "models": [
            {"name": name_of(each), **read_json(each.path / TASK_SCORES_NAME)} for each in artifacts
        ],
        "differences": [
            {"a": name, "b": first, **asdict(found)}
            for name, after in others
            for found in compare_tasks(after, before)
        ],
    }
