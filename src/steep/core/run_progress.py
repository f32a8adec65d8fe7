"""The file by which another process follows a run: `runs/<name>/progress.json`.

The process that works writes it, at most once per second; `steep view` reads it. Without it, or
when it cannot be written, the work is the same.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

PROGRESS_NAME = "progress.json"
VERSION = 1
SILENT_S = 120.0  # without an update from another machine, after which a run counts as ended

RunState = Literal["running", "done", "failed", "stopped"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How far one piece of long work is; what is not known is None.

    Attributes:
        label: What is being done.
        unit: What `done` and `total` count.
        in_flight: How many of them were begun and have not ended.
        rate_per_s: Units per second, over the last minute or so.
        cost_usd: What this process has spent on it.
        projected_cost_usd: About what it will have spent when the task is done.
        facts: More that a person wants to see: texts by name.
    """

    label: str
    unit: str
    done: float = 0
    total: float | None = None
    failed: int = 0
    in_flight: int = 0
    rate_per_s: float | None = None
    seconds_left: float | None = None
    cost_usd: float | None = None
    projected_cost_usd: float | None = None
    phase: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    finished: bool = False


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a command is; the last task is the current one. Times are ISO 8601, in UTC."""

    pid: int
    started: str
    updated: str
    command: str
    state: RunState
    stage: str = ""
    tasks: Sequence[TaskProgress] = ()
    host: str = ""  # the machine, as a process number means nothing on another; empty: this one

    @property
    def is_running(self) -> bool:
        """Whether the process still works, as far as this machine can see."""
        if self.state != "running":
            return False
        if self.host in ("", platform.node()):
            return _is_alive(self.pid)
        return self.silent_s < SILENT_S

    @property
    def is_of_other_process(self) -> bool:
        """Whether another process works on the run; the PID of a silent one may be reused."""
        is_own = self.pid == os.getpid() and self.host in ("", platform.node())
        return not is_own and self.is_running and self.silent_s < SILENT_S

    @property
    def silent_s(self) -> float:
        """The seconds since the last update."""
        return (datetime.now(UTC) - _time_of(self.updated)).total_seconds()


def read_progress(directory: Path) -> RunProgress | None:
    """Return what the last process wrote; None without a file that this version understands."""
    try:
        found = json.loads((directory / PROGRESS_NAME).read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            return None
        tasks = tuple(_known(TaskProgress, each) for each in found["tasks"])
        progress = _known(RunProgress, {**found, "tasks": tasks})
        _time_of(progress.updated)
        int(progress.pid)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return progress


def _known(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return a dataclass from its fields among `values`; a newer version may write more."""
    names = {each.name for each in fields(cast("Any", kind))}
    return kind(**{name: value for name, value in values.items() if name in names})


def _time_of(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).astimezone(UTC)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # PermissionError: it is another user's
        return True
    return True
