"""Points of measured curves: from a JSON file, or from the latest scaling study of a project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from steep.core.errors import UserError
from steep.scaling.config import POINTER_NAME
from steep.scaling.results import StudyResult, find_study, read_study


class MeasuredCurve(NamedTuple):
    """A curve by name: synthetic tokens and the accuracy of each model."""

    name: str
    tokens: list[float]
    accuracies: list[float]


def read_points(path: Path) -> list[MeasuredCurve]:
    """Read `[{"tokens": ..., "accuracy": ...}, ...]`, a study's result, or a project's latest one.

    Of a study, arms with unfinished models are left out, and arms that read only documents, whose
    tokens are not synthetic.

    Raises:
        UserError: There is no such file or study, or it holds no points.
    """
    try:
        curves = list(_of_study(_latest(path))) if path.is_dir() else _of_file(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        known = {FileNotFoundError: "no such file", ValidationError: "no study of this version"}
        raise _no_points(path, known.get(type(error), repr(error))) from error
    if not curves:
        raise _no_points(path, "a study without a finished arm of synthetic texts")
    return curves


def _no_points(path: Path, found: str) -> UserError:
    return UserError(
        "No points of a curve could be read.",
        where=path,
        expected='a project with a study, its result, or [{"tokens": 1000, "accuracy": 0.4}, ...]',
        found=found,
    )


def _latest(project: Path) -> StudyResult:
    """Return the result of the run whose study was fitted last."""
    pointers = (project / "runs").glob(f"*/{POINTER_NAME}")
    for pointer in sorted(pointers, key=lambda path: path.stat().st_mtime, reverse=True):
        if study := find_study(project / ".steep", pointer.parent):
            return study
    raise UserError(
        "This project has no scaling study.",
        where=project / "runs",
        hint="run steep scale, or give a JSON file of points",
    )


def _of_file(path: Path) -> list[MeasuredCurve]:
    data: Any = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, dict):
        return list(_of_study(read_study(path)))
    tokens = [float(row["tokens"]) for row in data]
    accuracies = [float(row["accuracy"]) for row in data]
    return [MeasuredCurve(path.stem, tokens, accuracies)]


def _of_study(study: StudyResult) -> Iterator[MeasuredCurve]:
    """Yield a curve for each metric and arm, with a point for each model."""
    unfinished = {name.partition("@")[0] for name in study.missing}
    for metric in study.metrics:
        for curve in metric.curves:
            if curve.matched or curve.arm in unfinished:
                continue
            pairs = [
                (float(size.tokens), accuracy)
                for size in curve.sizes
                for accuracy in size.by_seed.values()
            ]
            tokens, accuracies = ([*column] for column in zip(*pairs, strict=True))
            yield MeasuredCurve(f"{curve.arm}, {metric.metric}", tokens, accuracies)
