"""Progress of long work: each stage reports to a `Progress`, and one tracker shows all of them.

    with Progress("corpus", total, "texts") as progress:
        for number, text in enumerate(texts, start=1):
            ...
            progress.update(number, facts={"rejected": rejected})

An update only stores its values, so it may be called per item or per token. A thread looks at them
five times per second while work is under way, computes rates, and shows the tasks on standard error
(a panel on a terminal, otherwise a line every 15 seconds) and in the `progress.json` of the run. A
task that begins while another one is under way is shown as a part of it. In a process with other
ranks, the main one alone shows something.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from steep.core.progress_state import ProgressState, RateWindow
from steep.core.progress_views import ProgressFile, ProgressView, stream_view
from steep.core.ranges import Range
from steep.core.ranks import is_main_rank
from steep.core.run_progress import RunState

INTERVAL_S = 0.2
MOST_KEPT = 100  # finished tasks that progress.json lists

NO_FACTS: Mapping[str, object] = {}

Item = TypeVar("Item")


@dataclass(slots=True)
class _Report:
    """The last values of a task, as they were given."""

    done: float
    total: float | None
    facts: Mapping[str, object]
    about: bool = False
    failed: int = 0
    in_flight: int = 0
    phase: str | None = None
    cost_usd: float | None = None
    projected_cost_usd: Range | None = None
    seconds_left: float | None = None


class _Task:
    """A task of this process; `state` is computed by the tracker."""

    def __init__(self, label: str, total: float | None, unit: str) -> None:
        self.label, self.unit = label, unit
        self.report = _Report(0.0, total, NO_FACTS)
        self.began_s: float | None = None
        self.has_reported = self.finished = False
        self._window = RateWindow()
        self._phase: str | None = None
        self._final: ProgressState | None = None

    def sample(self, now_s: float) -> None:
        """Note how far the task is, for its rate; each phase has its own."""
        if self.report.phase != self._phase:
            self._phase = self.report.phase
            self._window.restart()
        if self.has_reported:
            self._window.add(now_s, self.report.done)

    def state(self, now_s: float) -> ProgressState:
        """Return the state; that of a finished task stays as it is."""
        if self._final is not None:
            return self._final
        report, rate = self.report, self._window.per_s(now_s)
        left = report.seconds_left
        if left is None and report.total is not None and rate:
            left = max(0.0, report.total - report.done) / rate
        found = ProgressState(
            label=self.label,
            unit=self.unit,
            done=report.done,
            total=report.total,
            about=report.about,
            failed=report.failed,
            in_flight=report.in_flight,
            rate_per_s=rate,
            seconds_left=left,
            elapsed_s=now_s - (now_s if self.began_s is None else self.began_s),
            cost_usd=report.cost_usd,
            projected_cost_usd=report.projected_cost_usd,
            phase=report.phase,
            facts={name: str(value) for name, value in report.facts.items()},
            finished=self.finished,
        )
        if self.finished:
            self._final = found = replace(found, seconds_left=None, in_flight=0)
        return found


class ProgressTracker:
    """The tasks of a process, and where they are shown.

    Args:
        open_view: Returns the view of the tasks, given the time; called when work begins.
    """

    def __init__(self, open_view: Callable[[float], ProgressView] | None = None) -> None:
        self._open_view = open_view or (lambda now_s: stream_view(sys.stderr, now_s, self.above))
        self._tasks: list[_Task] = []
        self._view: ProgressView | None = None
        self._is_closed = False  # the view cannot be written
        self._file: ProgressFile | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.RLock()

    def begin(self, task: _Task) -> None:
        """Show a task from now on."""
        if task.began_s is None and is_main_rank():
            with self._lock:
                task.began_s = time.monotonic()
                self._tasks.append(task)
                ended = [each for each in self._tasks if each.finished]
                for each in ended[: len(ended) - MOST_KEPT]:
                    self._tasks.remove(each)
                self._start()

    def finish(self, task: _Task, message: str | None) -> None:
        """End a task, and print a line that stays."""
        with self._lock:
            task.sample(time.monotonic())
            task.finished = True
            if message is not None:
                self._print(f"{task.label}: {message}")
            self.tick()

    def tick(self) -> None:
        """Show the tasks as they are now."""
        with self._lock:
            now_s = time.monotonic()
            for task in self._tasks:
                if not task.finished:
                    task.sample(now_s)
            self._show(now_s)
            if self._file is not None:
                with contextlib.suppress(OSError):  # a full disk does not end the work
                    self._file.show(self._states(now_s), now_s)

    @contextmanager
    def above(self) -> Iterator[None]:
        """Make room for other lines, and show the tasks below them again."""
        with self._lock:
            if self._view is None:
                yield
                return
            with contextlib.suppress(OSError, ValueError):
                self._view.clear()
            yield
            self._show(time.monotonic())

    def write_to(self, path: Path, command: str) -> None:
        """Keep `progress.json` from now on."""
        if is_main_rank():
            with self._lock:
                self._file = ProgressFile(path, command)
                self._start()

    def enter_stage(self, name: str) -> None:
        """Note which stage of the command runs."""
        if self._file is not None:
            self._file.stage = name

    def end(self, state: RunState) -> None:
        """Remove the panel, and write how the command has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)
        with self._lock:
            for task in self._tasks:
                task.finished = True
            self._show(time.monotonic())
            if self._file is not None:
                with contextlib.suppress(OSError):
                    now_s = time.monotonic()
                    self._file.show(self._states(now_s), now_s, state)
            self._file = None
            self._tasks.clear()

    def _print(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._view is not None:
                self._view.print(line)
            else:
                sys.stderr.write(f"{line}\n")

    def _states(self, now_s: float) -> list[ProgressState]:
        return [each.state(now_s) for each in self._tasks]

    def _show(self, now_s: float) -> None:
        shown = [each.state(now_s) for each in self._tasks if not each.finished]
        try:
            if shown and self._view is None and not self._is_closed:
                self._view = self._open_view(now_s)
            if self._view is not None:
                self._view.show(shown, now_s)
        except (OSError, ValueError):  # the terminal is gone
            self._is_closed = True
        if self._view is not None and (self._is_closed or not shown):
            with contextlib.suppress(OSError, ValueError):
                self._view.close()
            self._view = None

    def _start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            with self._lock:
                self.tick()
                if self._file is None and all(each.finished for each in self._tasks):
                    break
        with self._lock:
            self._thread = None


_tracker = ProgressTracker()
above_panel = _tracker.above
write_progress_to = _tracker.write_to
enter_stage = _tracker.enter_stage
end_progress = _tracker.end


class Progress:
    """Reports how far a task is; it ends with `finish`, its `with` block, or its last reference.

    Args:
        label: What is being done.
        total: The amount of work, or None if it is unknown.
        unit: What is counted, in the plural.
        tracker: Shows the task; by default that of the process.
    """

    def __init__(
        self, label: str, total: float | None, unit: str, tracker: ProgressTracker | None = None
    ) -> None:
        self._tracker = tracker or _tracker
        self._task = _Task(label, total, unit)

    def __enter__(self) -> Progress:
        """Show the task from now on."""
        self._tracker.begin(self._task)
        return self

    def __exit__(self, *_: object) -> None:
        """End the task without a message, unless it has ended."""
        if not self._task.finished:
            self._tracker.finish(self._task, None)

    def __del__(self) -> None:
        """End the task of work that was given up."""
        self._task.finished = True

    def update(
        self,
        done: float,
        total: float | None = None,
        *,
        about: bool = False,
        failed: int = 0,
        in_flight: int = 0,
        phase: str | None = None,
        cost_usd: float | None = None,
        projected_cost_usd: Range | None = None,
        seconds_left: float | None = None,
        facts: Mapping[str, object] = NO_FACTS,
    ) -> None:
        """Report the values of `ProgressState`.

        Values that are left out are unknown, except for the total, which stays.
        """
        task = self._task
        task.report = _Report(
            done,
            task.report.total if total is None else total,
            facts,
            about,
            failed,
            in_flight,
            phase,
            cost_usd,
            projected_cost_usd,
            seconds_left,
        )
        if not task.has_reported:
            # What an earlier run did says nothing about this run's rate.
            task.has_reported = True
            task.sample(time.monotonic())
            self._tracker.begin(task)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and report how many have passed; the task ends with them."""
        with self:
            self.update(0)
            for number, item in enumerate(items, start=1):
                yield item
                self.update(number)

    def finish(self, message: str) -> None:
        """End the task, and print a last line."""
        self._tracker.finish(self._task, message)


def parts(label: str, items: Collection[Item], unit: str) -> Iterator[Item]:
    """Yield the items; what is done with each is shown as a part of one task, if there are more."""
    yield from Progress(label, len(items), unit).over(items) if len(items) > 1 else items
