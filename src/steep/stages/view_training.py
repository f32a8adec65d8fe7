"""Follow trainings by the metrics that they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import MANIFEST, Project
from steep.core.jsonl_tail import JsonlTail
from steep.core.run_progress import RunProgress
from steep.report.live.run import LiveTraining, TrainingPoint
from steep.stages.view_artifacts import FinishedArtifact, newest_by_arm
from steep.training.metrics import METRICS, VALIDATION

TRAINED = ("train", "instruct")
NEEDED = {"step", "tokens", "loss", "learning_rate", "tokens_per_s", "left_s"}
MOST_SHOWN = 8  # as many as there are colors


class TrainingFollower:
    """Finds the trainings of a project again and again, and reads their new metrics."""

    def __init__(self, config: Config, project: Project) -> None:
        self._models = [*config.train.models]
        self._store = project.store
        self._files: dict[Path, _MetricFiles] = {}

    def changed_s(self) -> float | None:
        """Return when the metrics of any training were last written."""
        times = self._unfinished().values()
        return max(times, default=None)

    def look(
        self,
        finished: Mapping[str, Sequence[FinishedArtifact]],
        progress: RunProgress | None,
    ) -> tuple[LiveTraining, ...]:
        """Return the newest finished training of each arm, and the current one, if any, last."""
        done = [each for stage in TRAINED for each in newest_by_arm(finished[stage])]
        done.sort(key=lambda each: each.finished_s)
        shown = [self._training(each.path, _name(each)) for each in done[-MOST_SHOWN:]]
        unfinished = self._unfinished()
        if unfinished:
            path, changed_s = max(unfinished.items(), key=lambda each: each[1])
            if not done or changed_s > done[-1].finished_s:
                name = _label(progress) or self._next(done) or path.name
                shown.append(self._training(path, name, finished=False))
        return tuple(each for each in shown if each.points)

    def _next(self, done: Sequence[FinishedArtifact]) -> str | None:
        """Return the first model that has no finished training: they are trained in order."""
        names = {each.arm for each in done}
        return next((name for name in self._models if name not in names), None)

    def _unfinished(self) -> dict[Path, float]:
        found = {}
        for stage in TRAINED:
            for path in self._store.glob(f"{stage}-*/{METRICS}"):
                try:
                    if not (path.parent / MANIFEST).exists():
                        found[path.parent] = path.stat().st_mtime
                except OSError:  # removed in this moment
                    continue
        return found

    def _training(self, path: Path, name: str, finished: bool = True) -> LiveTraining:
        files = self._files.setdefault(path, _MetricFiles(path))
        points, validation = files.look()
        found = LiveTraining(name, finished, points, validation=validation)
        if not points or (last := files.last_timed) is None:
            return found
        per_step = last["tokens"] / last["step"]
        left = 0 if finished else round(last["left_s"] * last["tokens_per_s"] / per_step)
        return LiveTraining(
            name,
            finished,
            points,
            last["step"] + left,
            last["tokens_per_s"],
            None if finished else last["left_s"],
            validation,
        )


class _MetricFiles:
    """The metrics and validation losses of one training."""

    def __init__(self, directory: Path) -> None:
        self._metrics = JsonlTail(directory / METRICS)
        self._losses = JsonlTail(directory / VALIDATION)
        self._points: tuple[TrainingPoint, ...] = ()
        self._validation: tuple[dict[str, float], ...] = ()
        self.last_timed: dict[str, Any] | None = None  # the last row of a step that was not skipped

    def look(self) -> tuple[Sequence[TrainingPoint], Sequence[Mapping[str, float]]]:
        """Return all rows so far."""
        rows, follows = self._metrics.look()
        rows = [row for row in rows if row.keys() >= NEEDED]  # an older Steep wrote fewer fields
        if rows or not follows:
            self._points = (*(self._points if follows else ()), *map(_point, rows))
        self.last_timed = next(
            (row for row in reversed(rows) if row["tokens_per_s"]), self.last_timed
        )
        losses, follows = self._losses.look()
        if losses or not follows:
            self._validation = (*(self._validation if follows else ()), *losses)
        return self._points, self._validation


def _point(row: Mapping[str, Any]) -> TrainingPoint:
    return TrainingPoint(row["step"], row["tokens"], row["loss"], row["learning_rate"])


def _name(artifact: FinishedArtifact) -> str:
    return artifact.arm or artifact.path.name


def _label(progress: RunProgress | None) -> str | None:
    """Return the name of the arm in the label of the current task: `train NAME`."""
    for task in reversed(progress.tasks if progress else ()):
        stage, _, arm = task.label.partition(" ")
        if stage in TRAINED and arm:
            return arm
    return None
