"""The scores of an evaluation: the results of all methods, as `scores.json` holds them.

This is the only place where a result is plain data. `methods.registry.METHODS` names the type of
each method's result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from steep.core.files import read_json, write_json
from steep.evaluation.results import MethodResult


class SkippedQuestion(NamedTuple):
    """A question (or a `file:line` where it has no id) that is not asked, and the reason."""

    question_id: str
    reason: str


@dataclass(frozen=True)
class Scores:
    """The results of an evaluation.

    Attributes:
        results: By method, of those methods that were used.
        skipped: Questions that were not asked.
    """

    results: Mapping[str, MethodResult]
    skipped: tuple[SkippedQuestion, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain data."""
        found = {name: as_json(result) for name, result in self.results.items()}
        return {**found, "skipped": [each._asdict() for each in self.skipped]}


def write_scores(path: Path, scores: Scores) -> None:
    """Write `scores.json` atomically."""
    write_json(path, scores.as_json())


def read_scores(path: Path) -> Scores:
    """Read `scores.json`."""
    from steep.evaluation.methods.registry import METHODS

    plain = read_json(path)
    found = {
        name: from_json(method.kind, plain[name])
        for name, method in METHODS.items()
        if name in plain
    }
    return Scores(found, tuple(SkippedQuestion(**each) for each in plain.get("skipped", ())))


def as_json(result: Any) -> dict[str, Any]:
    """Return a result as plain data."""
    plain: dict[str, Any] = finite(asdict(result))
    return plain


def from_json(kind: type[Any], plain: Any) -> Any:
    """Return the result of this type that `as_json` wrote."""
    return TypeAdapter(kind).validate_python(plain)


def finite(value: Any) -> Any:
    """Return the same tree with null for infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
