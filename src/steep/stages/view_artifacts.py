"""Which stages of a run are done, as far as its artifacts and its progress tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import MANIFEST, Project
from steep.core.run_progress import RunProgress
from steep.report.live.run import LiveStage, StageState
from steep.stages import instruct
from steep.stages.pipeline import STAGES

WHOLE = ("run", "report", "demo")  # commands that end with the report


@dataclass(frozen=True, slots=True)
class FinishedArtifact:
    """A finished artifact: its directory, its arm if it has one, and when and how long."""

    stage: str
    path: Path
    arm: str | None
    finished_s: float  # of the epoch
    wall_s: float


class FinishedArtifacts:
    """Finds finished artifacts again and again; each manifest is read once."""

    def __init__(self, project: Project) -> None:
        self._store = project.store
        self._known: dict[Path, tuple[float, FinishedArtifact | None]] = {}

    def look(self) -> dict[str, list[FinishedArtifact]]:
        """Return the finished artifacts of the stages of a run, the newest of an arm last."""
        found: dict[str, list[FinishedArtifact]] = {stage: [] for stage in STAGES}
        for stage in STAGES:
            for path in self._store.glob(f"{stage}-*/{MANIFEST}"):
                if (artifact := self._read(stage, path)) is not None:
                    found[stage].append(artifact)
            found[stage].sort(key=lambda each: each.finished_s)
        return found

    def _read(self, stage: str, path: Path) -> FinishedArtifact | None:
        try:
            changed_s = path.stat().st_mtime
            if self._known.get(path, (None,))[0] != changed_s:
                manifest = json.loads(path.read_text(encoding="utf-8"))
                self._known[path] = changed_s, _artifact(stage, path, changed_s, manifest)
        except (OSError, ValueError):  # removed in this moment, or not ours
            return None
        return self._known[path][1]


def _artifact(
    stage: str, path: Path, finished_s: float, manifest: Mapping[str, Any]
) -> FinishedArtifact:
    arm = manifest.get("arm") or manifest["identity"]["fields"].get("arm")
    wall_s = float(manifest.get("wall_s", 0.0))
    return FinishedArtifact(stage, path.parent, arm, finished_s, wall_s)


def newest_by_arm(found: Sequence[FinishedArtifact]) -> list[FinishedArtifact]:
    """Return the newest artifact of each arm."""
    return list({each.arm: each for each in found}.values())


def stages_of(
    config: Config,
    progress: RunProgress | None,
    finished: Mapping[str, Sequence[FinishedArtifact]],
    report_s: float | None,
    is_active: bool,
) -> tuple[LiveStage, ...]:
    """Return the stages of a run with their states.

    Stages run one after another, so those before the current one are done. Artifacts of later ones
    may be those of other settings, and do not count. Without progress, `is_active` says whether
    something of the run changes.
    """
    models = {"train": len(config.train.models), "instruct": len(instruct.models_of(config))}
    names: list[str] = [name for name in STAGES if models.get(name, 1)]
    own = {name: newest_by_arm(finished[name]) for name in names}
    done = [len(own[name]) >= models.get(name, 1) for name in names[:-1]] + [report_s is not None]
    current = _current(progress, names)
    states: list[StageState]
    if progress is not None and current is not None:
        at = names.index(current)
        states = [_state(index, at, progress) for index in range(len(names))]
    else:
        states = ["done" if each else "open" for each in done]
        if is_active and not done[-1]:  # the stage after those of which there are artifacts
            begun = [index for index, name in enumerate(names) if own[name]]
            at = begun[-1] if begun else 0
            states[at + done[at]] = "running"
    return tuple(
        _report(state, report_s)
        if name == "report"
        else _stage(name, state, own[name], models.get(name))
        for name, state in zip(names, states, strict=True)
    )


def _state(index: int, at: int, progress: RunProgress) -> StageState:
    if index < at or (index == at and progress.state == "done"):
        return "done"
    if index > at:
        return "open"
    return "running" if progress.is_running else "stopped"


def _current(progress: RunProgress | None, names: Sequence[str]) -> str | None:
    """Return the stage at which the last command is, or has ended."""
    if progress is None:
        return None
    if progress.state == "done" and progress.command in WHOLE:
        return names[-1]
    labels = [task.label for task in progress.tasks[-1:]]
    words = [text.partition(" ")[0] for text in (progress.stage, *labels, progress.command)]
    return next((word for word in words if word in names), None)


def _report(state: StageState, report_s: float | None) -> LiveStage:
    at = iso(report_s) if report_s is not None and state == "done" else None
    return LiveStage("report", state, at)


def _stage(
    name: str, state: StageState, own: Sequence[FinishedArtifact], models: int | None
) -> LiveStage:
    if state == "open" or not own:
        return LiveStage(name, state)
    detail = f"{min(len(own), models)} of {models} models" if models else ""
    if state != "done":
        return LiveStage(name, state, detail=detail)
    last_s = max(each.finished_s for each in own)
    return LiveStage(name, state, iso(last_s), sum(each.wall_s for each in own), detail)


def iso(seconds: float) -> str:
    """Return a time of the epoch as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
