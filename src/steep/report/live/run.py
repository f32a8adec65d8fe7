"""What the live page shows of a run, as frozen types; what is not known is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from steep.core.run_progress import RunProgress, TaskProgress
from steep.report.results import ResultTables

# `interrupted`: the process has gone without saying so. `active`: files change, but the process
# does not write how far it is.
LiveState = Literal[
    "waiting", "running", "active", "done", "failed", "stopped", "interrupted", "idle"
]
StageState = Literal["done", "running", "stopped", "open"]
GOING: tuple[LiveState, ...] = ("running", "active")


@dataclass(frozen=True, slots=True)
class LiveStage:
    """A stage of the run; its artifacts were completed at `finished_at`, in `wall_s` seconds."""

    name: str
    state: StageState
    finished_at: str | None = None
    wall_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LiveCalls:
    """The calls of a step of a recipe, or the requests of a model for a purpose."""

    group: str  # recipe or purpose
    name: str  # step or model
    counts: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class LiveText:
    """An accepted answer, and what it is about."""

    call_id: str
    document_id: str
    recipe: str
    step: str
    subset: tuple[str, ...]
    text: str
    written_at: str


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """Metrics of an optimizer step; `loss` is in nats per predicted token."""

    step: int
    tokens: int
    loss: float | None
    learning_rate: float


@dataclass(frozen=True, slots=True)
class LiveTraining:
    """A training, finished or not; `steps` is the number of all its steps."""

    name: str
    finished: bool
    points: Sequence[TrainingPoint]
    steps: int | None = None
    tokens_per_s: float | None = None
    seconds_left: float | None = None
    validation: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log of the run."""

    time: str
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class LiveRun:
    """Everything that the live page shows.

    Attributes:
        name: The name of the run.
        state: Whether a command runs.
        seen_at: When something of the run was last written, in ISO 8601.
        progress: What the process wrote about itself.
        report_at: When the report was written; None without one.
        report_is_current: Whether the report is that of the last command.
        calls_per_s: Calls that have ended, per second over the last minute.
        tokens_per_s: Tokens of their answers.
        notes: Why parts cannot be shown.
    """

    name: str
    state: LiveState
    seen_at: str | None = None
    progress: RunProgress | None = None
    stages: Sequence[LiveStage] = ()
    calls: Sequence[LiveCalls] = ()
    requests: Sequence[LiveCalls] = ()
    imported: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    texts: Sequence[LiveText] = ()
    trainings: Sequence[LiveTraining] = ()
    log: Sequence[LogLine] = ()
    results: ResultTables | None = None
    report_at: str | None = None
    report_is_current: bool = False
    calls_per_s: float | None = None
    tokens_per_s: float | None = None
    notes: Sequence[str] = ()

    @property
    def is_going(self) -> bool:
        """Whether a command works on the run."""
        return self.state in GOING

    @property
    def task(self) -> TaskProgress | None:
        """The innermost task that has not ended, or the last one."""
        tasks = self.progress.tasks if self.progress else ()
        unfinished = [each for each in tasks if not each.finished]
        return [*tasks, *unfinished][-1] if tasks else None

    @property
    def doing(self) -> str:
        """The current task, or the stage; empty if nothing is known."""
        if self.task is not None:
            return self.task.label
        return self.stage_name

    @property
    def stage_name(self) -> str:
        """The stage that runs, or at which the last command has ended; empty if it is unknown."""
        if self.progress is not None and self.progress.stage != self.progress.command:
            return self.progress.stage
        running = [each.name for each in self.stages if each.state in ("running", "stopped")]
        return running[0] if running else self.command if self.is_going else ""

    @property
    def command(self) -> str:
        """The last command; empty if it is unknown."""
        return f"steep {self.progress.command}" if self.progress else ""

    def as_json(self) -> dict[str, Any]:
        """Return everything but results, which `scores.json` holds, and all points but the last."""
        last = [replace(each, points=each.points[-1:]) for each in self.trainings]
        found = asdict(replace(self, results=None, trainings=last))
        del found["results"]
        return found
