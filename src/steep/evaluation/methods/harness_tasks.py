"""Tasks of lm-evaluation-harness, run by its own package, and their comparison by question.

`run_tasks(directory, ["arc_easy", "mmlu_*"])` returns the harness's scores as it counts them, and
one row per question. The package is an extra, as it is heavy, and most tasks fetch their data from
the Hugging Face Hub; with `include_path`, tasks of your own run from local files.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import read_json, write_json, write_rows
from steep.core.progress import Progress
from steep.evaluation.compare import grouped
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.local_model import load_for_scoring
from steep.evaluation.methods.common import ROWS_NAME, Method, Session, is_local, rows_by_model
from steep.evaluation.results import Interval, from_json
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.statistics import (
    bootstrap_interval,
    mcnemar_exact,
    paired_difference,
    ratio_difference,
)
from steep.evaluation.study_results import ModelTasks, TaskDifference, TaskScore, TasksResult
from steep.llm.local.devices import PrecisionSetting, scoring_device
from steep.training.loading import load_tokenizer

STAGE, VERSION = "tasks", 2
SCORES_NAME = "scores.json"
BATCH_SIZE = 8  # sequences of one forward pass
BOOTSTRAP_RESAMPLES = 1000  # of the harness, for metrics that are no means
NEAR_NAMES = 5
# Metrics of which a question gives a log-likelihood and what it is divided by after summing. Other
# pairs are no ratio: F1 gets the right class and the chosen one.
RATIOS = frozenset({"word_perplexity", "byte_perplexity", "bits_per_byte"})


@dataclass(frozen=True, slots=True)
class TaskRow:
    """The value of one question; `weight` is its bytes or words if the metric is a ratio of sums.

    `metric` is the harness's name, with that of the filter after a comma where it has one.
    """

    task: str
    question_id: str
    metric: str
    value: float
    weight: float = 1.0


class TaskRun(NamedTuple):
    """Scores, and the rows behind them.

    Metrics that are no sums over questions (F1 over a whole task) have no rows: `without_rows`.
    """

    scores: list[TaskScore]
    rows: list[TaskRow]
    without_rows: list[str]


def run_tasks(
    model_directory: Path | str,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    include_path: Path | None = None,
    precision: PrecisionSetting = "auto",
) -> TaskRun:
    """Run tasks on a model, with the settings that each task has.

    Args:
        model_directory: A Hugging Face directory, or a name on the Hub.
        tasks: Names of tasks, groups or tags; `*` stands for anything.
        limit: Only the first questions of each task.
        include_path: A folder with more tasks, as `steep export lm-eval` writes.
        precision: Of the model, as `evaluate.precision`.

    Raises:
        UserError: The package is not installed, a task is unknown or its data is not available, or
            the model cannot be loaded.
    """
    manager = _task_manager(tasks, include_path, model_directory)
    from lm_eval import simple_evaluate

    names = match_names(tasks, manager.all_tasks)
    model = _load(model_directory, precision)
    try:
        found = simple_evaluate(
            model,
            tasks=names,
            task_manager=manager,
            limit=limit,
            bootstrap_iters=BOOTSTRAP_RESAMPLES,
            log_samples=True,
        )
    except (OSError, ValueError) as error:
        raise _not_run(names, error) from error
    assert found is not None, "the harness reports on its first rank only"
    return TaskRun(list(_scores(found)), *_rows(found["samples"]))


def _task_manager(
    tasks: Sequence[str], folder: Path | None, model: Path | str | None = None
) -> Any:
    """Return an index of tasks; those of the harness, 20 seconds to index, only if necessary."""
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(
            "lm-evaluation-harness is not installed.",
            expected="the package lm-eval",
            hint="pip install 'steep[lm-eval]'",
        )
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it logs every step
    # A task of our own export needs the model to know which token training texts begin with.
    metadata = {"pretrained": str(model)} if model else None
    include_path = str(folder) if folder else None
    if include_path:
        own = TaskManager(include_path=include_path, include_defaults=False, metadata=metadata)
        if {*tasks} <= {*own.all_subtasks}:  # no patterns, and no groups of other tasks
            return own
    return TaskManager(include_path=include_path, metadata=metadata)


def match_names(tasks: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the known names that match these names or patterns, each once.

    Raises:
        UserError: One of them matches nothing.
    """
    found: dict[str, None] = {}
    for task in tasks:
        matching = fnmatch.filter(known, task)
        if not matching:
            near = difflib.get_close_matches(task, known, n=NEAR_NAMES)
            raise UserError(
                f"lm-evaluation-harness has no task '{task}'.",
                expected=", ".join(near) or "a name that 'lm_eval ls tasks' lists",
                found=task,
                hint="correct the name, or name the folder of your own tasks",
            )
        found |= dict.fromkeys(matching)
    return [*found]


def _load(model_directory: Path | str, precision: PrecisionSetting) -> Any:
    from lm_eval.models.huggingface import HFLM

    model = load_for_scoring(model_directory, *scoring_device(precision))
    tokenizer = load_tokenizer(model_directory)
    return HFLM(model.eval(), tokenizer=tokenizer, batch_size=BATCH_SIZE)


def _not_run(names: Sequence[str], error: Exception) -> Exception:
    """Return an error that the user can act on, or else the error as it is."""
    if "unsafe" in str(error):
        return UserError(
            "A task runs code that the model writes; Steep does not.",
            found=error,
            hint="leave it out, or run it with lm_eval --confirm_run_unsafe_code",
        )
    if isinstance(error, OSError):
        return UserError(
            "The data of a task is not available.",
            where=", ".join(names[:NEAR_NAMES]),
            expected="the Hugging Face Hub within reach, or the data in its cache",
            found=f"{type(error).__name__}: {error}",
            hint="check the network and HF_HUB_OFFLINE, or fetch the data on another machine",
        )
    return error


def _scores(found: Mapping[str, Any]) -> Iterator[TaskScore]:
    groups = found.get("groups", {})
    for task, metrics in {**found["results"], **groups}.items():
        for key, value in metrics.items():
            metric, comma, rule = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue  # its name, and what goes with another line
            error = metrics.get(f"{metric}_stderr,{rule}")
            yield TaskScore(
                task=task,
                metric=_metric_name(metric, rule),
                value=float(value),
                stderr=float(error) if isinstance(error, int | float) else None,
                n=_questions(found, task),
            )


def _questions(found: Mapping[str, Any], task: str) -> int:
    if counts := found["n-samples"].get(task):
        return int(counts["effective"])
    return sum(_questions(found, each) for each in found["group_subtasks"].get(task, ()))


def _rows(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[TaskRow], list[str]]:
    rows: list[TaskRow] = []
    without: dict[str, None] = {}
    for task, each in samples.items():
        for sample in sorted(each, key=lambda sample: sample["doc_id"]):
            for key in sample["metrics"]:
                metric = _metric_name(key, sample["filter"])
                value, weight = sample[key] if key in RATIOS else (sample[key], 1.0)
                number = _number(value)
                if number is None or not weight:
                    without[f"{task}: {metric}"] = None
                else:
                    id_ = str(sample["doc_id"])
                    rows.append(TaskRow(task, id_, metric, number, float(weight)))
    return rows, [*without]


def _number(value: Any) -> float | None:
    """Return a number of any type as a float; None for anything else."""
    try:
        return None if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return None


def _metric_name(metric: str, rule: str) -> str:
    return metric if rule == "none" else f"{metric},{rule}"


def compare_tasks(
    after: Sequence[TaskRow], before: Sequence[TaskRow], a: str, b: str
) -> list[TaskDifference]:
    """Compare model `a` with the earlier model `b` on each task and metric, paired by question.

    The harness itself compares two models by their standard errors, as if they had answered
    different questions.

    Raises:
        ValueError: They did not answer the same questions.
    """
    groups_after, groups_before = (
        grouped(rows, lambda row: (row.task, row.metric)) for rows in (after, before)
    )
    if groups_after.keys() != groups_before.keys():
        odd = groups_after.keys() ^ groups_before.keys()
        raise ValueError(f"only one of the models has {sorted(odd)[:3]}")
    return [_difference(rows, groups_before[key], a, b) for key, rows in groups_after.items()]


def _difference(
    after: Sequence[TaskRow], before: Sequence[TaskRow], name: str, earlier: str
) -> TaskDifference:
    ids, others = ([(row.question_id, row.weight) for row in rows] for rows in (after, before))
    if ids != others:
        raise ValueError(f"other questions of '{after[0].task}' after ({len(ids)}) than before")
    a, b = ([row.value for row in rows] for rows in (after, before))
    weight = sum(row.weight for row in after)
    right_or_wrong = {*a, *b} <= {0.0, 1.0} and weight == len(after)
    return TaskDifference(
        a=name,
        b=earlier,
        task=after[0].task,
        metric=after[0].metric,
        before=sum(b) / weight,
        after=sum(a) / weight,
        difference=_interval(after, before),
        p_mcnemar=mcnemar_exact([x == 1 for x in a], [x == 1 for x in b])
        if right_or_wrong
        else None,
    )


def _interval(after: Sequence[TaskRow], before: Sequence[TaskRow]) -> Interval:
    ids = [row.question_id for row in after]
    pairs = [(x.value, y.value) for x, y in zip(after, before, strict=True)]
    if all(row.weight == 1 for row in after) and all(0 <= min(p) <= max(p) <= 1 for p in pairs):
        return paired_difference([a for a, _ in pairs], [b for _, b in pairs], ids)
    columns = [[a, row.weight, b, row.weight] for row, (a, b) in zip(after, pairs, strict=True)]
    return bootstrap_interval(columns, ids, ratio_difference)


def check(setup: EvaluationSetup) -> None:
    """Check the settings of tasks, before anything is spent."""
    settings = setup.forgetting
    if settings.task_folder is not None and not settings.task_folder.is_dir():
        raise UserError(
            "There is no such folder.", where="forgetting.task_folder", found=settings.task_folder
        )
    if settings.tasks:
        match_names(settings.tasks, _task_manager(settings.tasks, settings.task_folder).all_tasks)


def ask(_: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Run the tasks on one local model."""
    settings = eval_model.setup.forgetting
    if not settings.tasks or not is_local(eval_model, "forgetting"):
        return
    fields = {
        "forgetting.tasks": list(settings.tasks),
        "forgetting.task_limit": settings.task_limit,
        "forgetting.task_folder": str(settings.task_folder) if settings.task_folder else None,
    }

    def make(directory: Path) -> dict[str, Any]:
        eval_model.close()  # the harness loads the model itself
        with Progress(f"tasks {eval_model.name}", len(settings.tasks), "tasks"):
            found = run_tasks(
                eval_model.directory,
                settings.tasks,
                limit=settings.task_limit,
                include_path=settings.task_folder,
                precision=eval_model.setup.evaluate.precision,
            )
        write_rows(directory / ROWS_NAME, found.rows, TaskRow)
        scores = [asdict(each) for each in found.scores]
        write_json(directory / SCORES_NAME, {"scores": scores})
        return {"tasks": len(scores), "without_rows": found.without_rows}

    yield eval_model.build(STAGE, VERSION, fields, make)


def tasks_result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> TasksResult:
    """Read the scores of each model; compare later models with the first, paired by question."""
    rows = rows_by_model(artifacts, TaskRow)
    (first, before), *others = rows.items()
    return TasksResult(
        models=tuple(
            from_json(ModelTasks, {"name": name_of(each), **read_json(each.path / SCORES_NAME)})
            for each in artifacts
        ),
        differences=tuple(
            found for name, after in others for found in compare_tasks(after, before, name, first)
        ),
    )


METHOD = Method(STAGE, ask, tasks_result, chosen=False, about=None)
