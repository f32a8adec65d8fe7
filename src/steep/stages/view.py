"""What is going on in a run: a look at the files that its process writes; nothing is written.

Each look reads what has changed since the last one, so that it takes milliseconds also beside a
ledger of a million calls. It works on the file of the progress (`progress.json`), the ledger, the
artifacts, the metrics of training and the log; each may be missing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.files import read_json
from steep.core.jsonl_tail import JsonlTail
from steep.core.run_progress import RunProgress, read_progress
from steep.evaluation.setup import SCORES_NAME
from steep.evaluation.study_results import read_scores
from steep.ledger.following import Key, LedgerFollower, LedgerState
from steep.ledger.queries import Sums
from steep.ledger.records import LedgerStatus
from steep.report.live.run import LiveCalls, LiveRun, LiveState, LiveText, LogLine
from steep.report.results import ResultTables
from steep.stages.evaluate import POINTER_NAME
from steep.stages.view_artifacts import FinishedArtifacts, iso, stages_of
from steep.stages.view_training import TrainingFollower

RATE_WINDOW_S = 60.0
RECENT_S = 60.0  # without progress.json, a run whose files changed since then counts as going
LOG_LINES, LOG_BYTES = 15, 32_768
CLOCK_S = 2.0  # by which the clocks of a file server and of a process may differ
REPORT_NAME = "report.html"


class RunFollower:
    """Looks at a run again and again; to be used by one thread."""

    def __init__(self, config: Config, project: Project) -> None:
        self._config, self._project = config, project
        self._directory = project.run_directory(config.name)
        self._ledger = LedgerFollower(project.ledger_path)
        self._artifacts = FinishedArtifacts(project)
        self._training = TrainingFollower(config, project)
        self._log = JsonlTail(self._directory / "log.jsonl", LOG_BYTES)
        self._log_lines: deque[LogLine] = deque(maxlen=LOG_LINES)
        self._rates = _Rates()
        self._results_path: Path | None = None
        self._read_results: tuple[ResultTables | None, str] = (None, "")

    @property
    def report_path(self) -> Path:
        """The page that `steep run` and `steep report` write."""
        return self._directory / REPORT_NAME

    def look(self) -> LiveRun:
        """Return what is going on now."""
        progress = read_progress(self._directory)
        ledger, note = self._look_at_ledger()
        seen = self._last_change(progress)
        report_s = _changed(self.report_path)
        state = _state(progress, seen, report_s)
        finished = self._artifacts.look()
        stages = stages_of(self._config, progress, finished, report_s, state == "active")
        by_name = {each.name: each for each in stages}
        trained = by_name["train"].state != "open"
        calls_per_s, tokens_per_s = self._rates.of(ledger)
        results, why = self._results() if by_name["evaluate"].state == "done" else (None, "")
        return LiveRun(
            name=self._config.name,
            state=state,
            seen_at=None if seen is None else iso(seen),
            progress=progress,
            stages=stages,
            calls=_calls(ledger.calls),
            requests=_calls(ledger.requests),
            imported=ledger.imported,
            failures=ledger.failures,
            texts=_texts(ledger),
            trainings=self._training.look(finished, progress) if trained else (),
            log=self._look_at_log(),
            results=results,
            report_at=None if report_s is None else iso(report_s),
            report_is_current=_is_current(report_s, progress, state),
            calls_per_s=calls_per_s,
            tokens_per_s=tokens_per_s,
            notes=tuple(each for each in (note, why) if each),
        )

    def _look_at_ledger(self) -> tuple[LedgerState, str]:
        try:
            return self._ledger.look(), ""
        except UserError as error:
            return LedgerState(), str(error)

    def _look_at_log(self) -> tuple[LogLine, ...]:
        rows, follows = self._log.look()
        if not follows:
            self._log_lines.clear()
        for row in rows:
            fields = (str(row.get(name, "")) for name in ("time", "level", "message"))
            self._log_lines.append(LogLine(*fields))
        return tuple(self._log_lines)

    def _last_change(self, progress: RunProgress | None) -> float | None:
        """Return when something of the run was last written, in seconds of the epoch."""
        if progress is not None:
            return datetime.fromisoformat(progress.updated).timestamp()
        ledger = self._project.ledger_path
        paths = (self._log.path, ledger, ledger.with_name(f"{ledger.name}-wal"))
        times = [*map(_changed, paths), self._training.changed_s()]
        return max((each for each in times if each is not None), default=None)

    def _results(self) -> tuple[ResultTables | None, str]:
        """Return the results of the latest evaluation of the run, or why there are none."""
        try:
            name = read_json(self._directory / POINTER_NAME)["evaluate"]
        except FileNotFoundError:
            return None, ""
        path = self._project.store / str(name) / SCORES_NAME
        if path != self._results_path:
            self._results_path, self._read_results = path, _read_results(path)
        return self._read_results


def _read_results(path: Path) -> tuple[ResultTables | None, str]:
    try:
        return ResultTables.of(read_scores(path)), ""
    except FileNotFoundError:  # deleted by steep clean
        return None, ""
    except UserError as error:
        return None, str(error)


class _Sample(NamedTuple):
    at_s: float
    calls: int
    tokens: int


class _Rates:
    """Calls and tokens per second, over the last minute of looks."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def of(self, ledger: LedgerState) -> tuple[float | None, float | None]:
        """Return both rates; None before they are known and while nothing comes."""
        sums = ledger.calls.values()
        calls = sum(_ended(each.counts) for each in sums)
        tokens = sum(each.usage.completion_tokens for each in sums)
        samples = self._samples
        if samples and calls < samples[-1].calls:  # another ledger
            samples.clear()
        samples.append(_Sample(time.monotonic(), calls, tokens))
        while samples[0].at_s < samples[-1].at_s - RATE_WINDOW_S:
            samples.popleft()
        first, last = samples[0], samples[-1]
        seconds = last.at_s - first.at_s
        if last.calls == first.calls or not seconds:
            return None, None
        return (last.calls - first.calls) / seconds, (last.tokens - first.tokens) / seconds


def _ended(counts: Mapping[LedgerStatus, int]) -> int:
    return sum(number for status, number in counts.items() if status != "submitted")


def _calls(found: Mapping[Key, Sums]) -> tuple[LiveCalls, ...]:
    return tuple(
        LiveCalls(
            group,
            name,
            {str(status): number for status, number in sums.counts.items()},
            sums.usage.prompt_tokens,
            sums.usage.completion_tokens,
            sums.known_usd,
            sums.unpriced,
        )
        for (group, name), sums in found.items()
    )


def _texts(ledger: LedgerState) -> tuple[LiveText, ...]:
    return tuple(
        LiveText(
            each.call_id,
            each.document_id,
            each.recipe,
            each.stage,
            each.subset,
            each.text,
            each.finished_at,
        )
        for each in ledger.latest
    )


def _state(progress: RunProgress | None, seen_s: float | None, report_s: float | None) -> LiveState:
    if progress is None:
        if seen_s is None:
            return "waiting"
        if report_s is not None and report_s > seen_s - CLOCK_S:
            return "done"  # the report is written last
        return "active" if time.time() - seen_s < RECENT_S else "idle"
    if progress.state != "running":
        return progress.state
    return "running" if progress.is_running else "interrupted"


def _is_current(report_s: float | None, progress: RunProgress | None, state: LiveState) -> bool:
    """Return whether a report is that of the last command, and this one has ended well."""
    if report_s is None:
        return False
    if progress is None:
        return state == "done"
    started_s = datetime.fromisoformat(progress.started).timestamp()
    return state == "done" and report_s >= started_s - CLOCK_S


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
