"""Points of a study as independent jobs: a Slurm array, or tasks of a Ray cluster.

Jobs share one file system. Texts, tokens and subsets are made before they start, and each job makes
the artifacts of its own point.
"""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from steep.core.artifacts import Project, Unfinished
from steep.core.errors import UserError
from steep.core.files import disk_errors, write_text
from steep.core.formatting import plural
from steep.stages.finished_artifacts import without_log_lines
from steep.stages.scale import Study, look_at, open_study, run_numbered

log = logging.getLogger("steep")

FOLDER = "slurm"  # in the run's directory: scripts and outputs of jobs


class Submitted(NamedTuple):
    """A submitted array of points, and the job that fits them afterwards."""

    array: str
    fit: str
    numbers: tuple[int, ...]
    script: Path


def left(study: Study) -> tuple[int, ...]:
    """Return the numbers of unfinished points; 0 is the base."""
    numbers = [
        number
        for number, point in enumerate(study.points, start=1)
        if look_at(study, point) is None
    ]
    try:
        with without_log_lines():
            study.looking().ask_base()
    except Unfinished:
        numbers.insert(0, 0)
    return tuple(numbers)


def submit_to_slurm(study: Study, command: Sequence[str], last: str = "--fit") -> Submitted | None:
    """Write the scripts and submit them; None if every point is finished.

    Args:
        study: The study.
        command: The arguments of the command for the same configuration, from its name on.
        last: The option with which the command shows the result of the finished points.

    Raises:
        UserError: There is no `sbatch`, or it refuses.
    """
    numbers = left(study)
    if not numbers:
        return None
    folder = study.project.run_directory(study.config.name) / FOLDER
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    options = study.config.scale.slurm_options
    name = f"steep-{study.config.name}"
    array = [f"--job-name={name}", f"--output={folder}/%A_%a.log", *options]
    array.append(f"--array={','.join(map(str, numbers))}")
    points = _script(array, [*command, "--point"], ' "$SLURM_ARRAY_TASK_ID"')
    write_text(folder / "points.sh", points)
    array_id = _sbatch(folder / "points.sh")
    after = [f"--job-name={name}-fit", f"--output={folder}/fit-%j.log", *options]
    after.append(f"--dependency=afterany:{array_id}")
    write_text(folder / "fit.sh", _script(after, [*command, last], ""))
    fit_id = _sbatch(folder / "fit.sh")
    return Submitted(array_id, fit_id, numbers, folder / "points.sh")


def _script(options: Sequence[str], arguments: Sequence[str], end: str) -> str:
    lines = ["#!/bin/bash", *(f"#SBATCH {each}" for each in options)]
    lines += ["set -e", f"cd {shlex.quote(str(Path.cwd()))}"]
    lines.append(f"exec {shlex.join([sys.executable, '-m', 'steep', *arguments])}{end}")
    return "\n".join(lines) + "\n"


def _sbatch(script: Path) -> str:
    """Submit a script; return the number of its job."""
    try:
        ended = subprocess.run(
            ["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UserError(
            "The study cannot be submitted to Slurm from this machine.",
            where="sbatch",
            expected="the command sbatch, as on a login node",
            found=error,
            hint=f"copy the project to a login node, or run the study here; script: {script}",
        ) from error
    if ended.returncode:
        raise UserError(
            "Slurm did not accept the study.",
            where=script,
            found=ended.stderr.strip() or f"exit code {ended.returncode}",
            hint="set the options of your cluster in scale.slurm_options, e.g. --partition=gpu",
        )
    return ended.stdout.strip().partition(";")[0]


def run_on_ray(study: Study, reopen: Callable[[], Study] | None = None) -> None:
    """Run every point that is left as a task of a Ray cluster, the base first.

    Args:
        study: The study.
        reopen: Opens it in a worker; by default, as a scaling study. It is sent to the workers.

    Raises:
        UserError: There is no cluster, training has its own launcher, or a task failed.
    """
    settings = study.config.train
    if settings.launcher != "here":
        raise UserError(
            "Points of a study as Ray tasks are trained by one worker each.",
            where="train.launcher",
            expected="here",
            found=settings.launcher,
        )
    numbers = left(study)
    if not numbers:
        return
    from steep.llm.ray_cluster import connect

    reopen = reopen or partial(open_study, study.config, Project(study.project.root))
    started = connect(settings.ray_address, "train")
    import ray

    try:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        options = {"num_cpus": study.config.scale.ray_cpus, "num_gpus": gpus, "max_retries": 0}
        task = ray.remote(_work).options(**options)
        waiting = {task.remote(reopen, number): number for number in numbers}
        log.info("%s: %s submitted to Ray", study.command, plural(len(waiting), "task"))
        failed: dict[int, str] = {}
        while waiting:
            (done, *_), _ = ray.wait(list(waiting))
            number = waiting.pop(done)
            if error := ray.get(done):
                failed[number] = error
            name = study.points[number - 1].name if number else "base"
            state = "failed" if number in failed else "is finished"
            log.info("%s: %s %s", study.command, name, state)
    finally:
        if started:
            ray.shutdown()
    if failed:
        number, error = min(failed.items())
        raise UserError(
            f"{plural(len(failed), 'point')} of the study failed; the others are kept.",
            where=f"point {number}",
            found=error,
            hint=f"steep {study.command} with --point {number} shows the whole error",
        )


def _work(reopen: Callable[[], Study], number: int) -> str | None:
    """Run a point in a worker; return the error of the user, if one ended it."""
    try:
        run_numbered(reopen(), number)
    except UserError as error:
        return str(error)
    return None
