"""Points of measured curves: from a JSON file, or from the latest scaling study of a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.errors import UserError

STUDY_FILES = ".steep/scale-*/study.json"


class MeasuredCurve(NamedTuple):
    """A curve by name: synthetic tokens and the accuracy of each model."""

    name: str
    tokens: list[float]
    accuracies: list[float]


def read_points(path: Path) -> list[MeasuredCurve]:
    """Read `[{"tokens": ..., "accuracy": ...}, ...]`, a study's result, or a project's latest one.

    Raises:
        UserError: There is no such file or study, or it holds no points.
    """
    if path.is_dir():
        path = _latest(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        curves = _of_study(data) if isinstance(data, dict) else [_of_points(data, path)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else repr(error)
        raise UserError(
            "No points of a curve could be read.",
            where=path,
            expected='a project with a study, its result, or [{"tokens": 1000, "accuracy": 0.4}, '
            "...]",
            found=found,
        ) from error
    return curves


def _latest(project: Path) -> Path:
    found = [*project.glob(STUDY_FILES)]
    if not found:
        raise UserError(
            "This project has no scaling study.",
            where=project / STUDY_FILES,
            hint="run steep scale, or give a JSON file of points",
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _of_points(rows: Any, path: Path) -> MeasuredCurve:
    tokens = [float(row["tokens"]) for row in rows]
    return MeasuredCurve(path.stem, tokens, [float(row["accuracy"]) for row in rows])


def _of_study(data: Any) -> list[MeasuredCurve]:
    """One curve for each metric and arm, with a point for each model."""
    found = []
    for metric in data["metrics"]:
        for curve in metric["curves"]:
            pairs = [
                (float(size["tokens"]), float(accuracy))
                for size in curve["sizes"]
                for accuracy in size["by_seed"].values()
            ]
            name = f"{curve['arm']}, {metric['metric']}"
            found.append(MeasuredCurve(name, [x for x, _ in pairs], [y for _, y in pairs]))
    return found
