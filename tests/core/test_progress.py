"""Progress: its state, rates, panel, plain lines and file; time is given, no thread runs."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steep.core import progress
from steep.core.formatting import duration
from steep.core.progress import Progress, ProgressTracker, parts
from steep.core.progress_state import ProgressState, RateWindow
from steep.core.progress_text import PanelStyle, panel_lines, plain_line
from steep.core.progress_views import PlainLines, ProgressFile, TerminalPanel
from steep.core.ranges import Range
from steep.core.run_progress import read_progress
from steep.core.tables import display_width
from terminal_screen import screen_of

STATE = ProgressState(
    label="generate",
    unit="calls",
    done=1240.4,
    total=2000,
    about=True,
    failed=3,
    in_flight=64,
    rate_per_s=12.06,
    seconds_left=63.0,
    elapsed_s=250.0,
    cost_usd=1.2,
    projected_cost_usd=Range(2.1, 2.4, 3.0),
    phase="texts",
    facts={"tokens": "123,456 (2,345/s)", "cached": "80%", "latest": "The lamp 灯 was " * 9},
)
OUTER = ProgressState("scale", "points", 2, 18, seconds_left=7500.0)
GOLDEN = {
    120: """\
scale: 2 of 18 points done, 2 h 05 min left
generate (texts)  ━━━━━━━━━━━━━━━━━━━━━━━━────────────────  62%   4 min 10 s
  1,240 of about 2,000 calls   1 min 03 s left   3 failed   12.1/s   cost $1.20 of about $2.40 ($2.10 to $3.00)
  64 in flight   tokens 123,456 (2,345/s)   cached 80%
  latest The lamp 灯 was The lamp 灯 was The lamp 灯 was The lamp 灯 was The lamp 灯 was The lamp 灯 was The lamp 灯 w…""",  # noqa: E501
    80: """\
scale: 2 of 18 points done, 2 h 05 min left
generate (texts)  ━━━━━━━━━━━━━━━━━━━━━━━━────────────────  62%   4 min 10 s
  1,240 of about 2,000 calls   1 min 03 s left   3 failed   12.1/s
  cost $1.20 of about $2.40 ($2.10 to $3.00)   64 in flight
  tokens 123,456 (2,345/s)   cached 80%
  latest The lamp 灯 was The lamp 灯 was The lamp 灯 was The lamp 灯 was The l…""",
    60: """\
scale: 2 of 18 points done, 2 h 05 min left
generate (texts)  ━━━━━━━━━━━━━━─────────  62%   4 min 10 s
  1,240 of about 2,000 calls   1 min 03 s left   3 failed
  12.1/s   cost $1.20 of about $2.40 ($2.10 to $3.00)
  64 in flight   tokens 123,456 (2,345/s)   cached 80%
  latest The lamp 灯 was The lamp 灯 was The lamp 灯 was T…""",
}


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


class StillTracker(ProgressTracker):
    """Shows the tasks when it is told to."""

    def _start(self) -> None:
        pass


class Terminal(io.StringIO):
    """A terminal without a size."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    @property
    def screen(self) -> list[str]:
        return screen_of(self.getvalue())


def plain(log: io.StringIO) -> StillTracker:
    return StillTracker(lambda now_s: PlainLines(log, now_s))


@pytest.mark.parametrize("columns", sorted(GOLDEN))
def test_the_panel_fits_the_terminal(columns: int) -> None:
    lines = panel_lines([OUTER, STATE], PanelStyle(columns))
    assert "\n".join(lines) == GOLDEN[columns]


@pytest.mark.parametrize("columns", [10, 20, 33, 47, 60, 80, 120, 200])
@pytest.mark.parametrize("rows", [3, 5, 24])
def test_no_line_of_the_panel_wraps_or_leaves_the_screen(columns: int, rows: int) -> None:
    for tasks in ([STATE], [OUTER, STATE], [OUTER] * 5 + [STATE], [ProgressState("a", "b")]):
        lines = panel_lines(tasks, PanelStyle(columns, rows))
        assert max(map(display_width, lines)) < columns
        assert 1 <= len(lines) <= rows - 2


def test_color_changes_no_character() -> None:
    colored = panel_lines([STATE], PanelStyle(color=True))
    assert "\x1b[31m3 failed\x1b[0m" in colored[1]
    bare = [line for line in panel_lines([STATE], PanelStyle())]
    for code in ("1", "31", "32", "2", "0"):
        colored = [line.replace(f"\x1b[{code}m", "") for line in colored]
    assert colored == bare
    assert "####" in panel_lines([STATE], PanelStyle(unicode=False))[0]


def test_a_plain_line_is_complete() -> None:
    found = plain_line([OUTER, STATE])
    assert found.startswith(
        "generate: 1,240 of about 2,000 calls  1 min 03 s left  3 failed  12.1/s  "
        "cost $1.20 of about $2.40 ($2.10 to $3.00)  64 in flight  tokens 123,456 (2,345/s)"
    )
    assert found.endswith("  (scale: 2 of 18 points done, 2 h 05 min left)")
    free = ProgressState("a", "b", 1, cost_usd=0.0, projected_cost_usd=Range.exactly(0.0))
    assert plain_line([free]) == "a: 1 b", "what is free has no cost"


@pytest.mark.parametrize(
    ("done", "shown"), [(2, "2"), (2.99, "2.9"), (2.01, "2"), (999.5, "999.5"), (1240.4, "1,240")]
)
def test_parts_of_few_units_are_shown(done: float, shown: str) -> None:
    assert plain_line([ProgressState("a", "calls", done, 2000)]) == f"a: {shown} of 2,000 calls"


def test_what_counts_nothing_shows_its_time() -> None:
    loading = ProgressState("loading base", "models", elapsed_s=21.4)
    assert plain_line([loading]) == "loading base: 21 s so far"
    assert panel_lines([loading], PanelStyle()) == ["loading base   21 s"]


def test_a_rate_is_that_of_the_last_minute() -> None:
    window = RateWindow()
    window.add(0.0, 900)  # of an earlier run
    assert window.per_s(5.0) is None
    for second in range(1, 201):
        window.add(float(second), 900 + (second if second <= 100 else 100 + 9 * (second - 100)))
    assert window.per_s(200.0) == pytest.approx(9.0, rel=0.02)
    assert window.per_s(300.0) < window.per_s(200.0) / 2  # type: ignore[operator]
    window.add(301.0, 0)
    assert window.per_s(302.0) is None, "a phase of its own"


def test_a_slow_rate_has_more_than_a_minute() -> None:
    window = RateWindow()
    for number in range(20):
        window.add(100.0 * number, number)
    assert window.per_s(1900.0) == pytest.approx(0.01)


def test_elsewhere_there_are_plain_lines_now_and_then(clock: Clock) -> None:
    log = io.StringIO()
    tracker = plain(log)
    shown = Progress("train", None, "steps", tracker)
    for done in range(100):
        shown.update(done)
        tracker.tick()
        clock.now_s += 1
    shown.finish("99 steps")
    lines = log.getvalue().splitlines()
    assert lines[0] == "train: 15 steps  1.0/s"
    assert len(lines) == 7
    assert lines[-1] == "train: 99 steps"
    assert "\r" not in log.getvalue()


def test_what_an_earlier_run_did_is_not_this_runs_speed(clock: Clock) -> None:
    log = io.StringIO()
    tracker = plain(log)
    shown = Progress("train", 1000, "steps", tracker)
    shown.update(900)
    tracker.tick()
    clock.now_s = 20
    shown.update(920)
    tracker.tick()
    assert log.getvalue() == "train: 920 of 1,000 steps  1 min 20 s left  1.0/s\n"


def test_nothing_done_yet_promises_nothing(clock: Clock) -> None:
    log = io.StringIO()
    tracker = plain(log)
    with Progress("train", 10, "steps", tracker):
        tracker.tick()
        clock.now_s = 20
        tracker.tick()
    assert log.getvalue() == "train: 0 of 10 steps\n"


def test_a_slow_rate_is_shown_per_minute(clock: Clock) -> None:
    log = io.StringIO()
    tracker = plain(log)
    shown = Progress("questions", None, "calls", tracker)
    shown.update(0)
    tracker.tick()
    clock.now_s = 60
    shown.update(3, facts={"round": "write 3/16"})
    tracker.tick()
    assert log.getvalue() == "questions: 3 calls  3.0/min  round write 3/16\n"


@pytest.fixture
def terminal(clock: Clock) -> Iterator[tuple[Terminal, StillTracker]]:
    terminal = Terminal()
    tracker = StillTracker(lambda now_s: TerminalPanel(terminal, nullcontext))
    yield terminal, tracker


def test_a_panel_is_drawn_in_place_below_other_lines(
    terminal: tuple[Terminal, StillTracker], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen, tracker = terminal
    with Progress("scale", 18, "points", tracker) as outer:
        outer.update(2)
        shown = Progress("train", 10, "steps", tracker)
        for done in range(4):
            shown.update(done)
            clock.now_s += 10
            tracker.tick()
            with tracker.above():
                screen.write(f"log line {done}\n")
        assert screen.screen[:4] == [f"log line {done}" for done in range(4)]
        assert screen.screen[4] == "scale: 2 of 18 points done"
        assert screen.screen[5].startswith("train  ━━━━")
        assert screen.screen[6:] == ["  3 of 10 steps   1 min 33 s left   4.5/min", ""]
        shown.finish("done")
        assert screen.screen[4] == "train: done", "above the panel"
        assert screen.screen[5].startswith("scale  ━━━━")
    assert screen.screen[4:] == ["train: done", ""], "the panel is gone"
    assert "\x1b[?25l" not in screen.getvalue(), "the cursor is never hidden"


def test_a_task_that_was_given_up_is_shown_no_more(
    terminal: tuple[Terminal, StillTracker],
) -> None:
    screen, tracker = terminal
    Progress("given up", 10, "steps", tracker).update(1)
    tracker.tick()
    assert screen.screen == [""]


def test_a_terminal_that_is_gone_does_not_end_the_work(clock: Clock) -> None:
    screen = Terminal()
    tracker = StillTracker(lambda now_s: TerminalPanel(screen, nullcontext))
    shown = Progress("train", 10, "steps", tracker)
    shown.update(1)
    tracker.tick()
    screen.close()
    shown.update(2)
    tracker.tick()
    with tracker.above():
        pass
    tracker.end("done")


def test_what_python_prints_stands_above_the_panel(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    tracker = StillTracker()
    monkeypatch.setenv("TERM", "xterm")
    with Progress("train", 10, "steps", tracker):
        tracker.tick()
        print("a warn", end="", file=sys.stderr)
        tracker.tick()
        print("ing", file=sys.stderr)
        print("half", end="", file=sys.stderr)
        assert screen.screen[0] == "a warning"
    assert sys.stderr is screen
    assert screen.screen == ["a warning", "half", ""]


def test_only_the_main_rank_shows_something(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    for name, value in {**place, "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    log = io.StringIO()
    tracker = plain(log)
    shown = Progress("train", 10, "steps", tracker)
    shown.update(1)
    assert not tracker._tasks


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_file_tells_the_tasks_of_the_process(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    tracker = plain(io.StringIO())
    tracker.write_to(path, "run")
    tracker.tick()
    first = read(path)
    assert first["state"] == "running" and first["stage"] == "run" and first["tasks"] == []
    tracker.enter_stage("generate")
    Progress("reading", 3, "files", tracker).finish("3 files")
    shown = Progress("generate", 10, "calls", tracker)
    shown.update(0, phase="texts")
    clock.now_s = 0.5
    tracker.tick()
    assert read(path) == first, "at most once per second"
    clock.now_s = 2.0
    shown.update(
        2.5,
        failed=1,
        in_flight=4,
        phase="texts",
        cost_usd=0.5,
        projected_cost_usd=Range(1.0, 2.0, 3.0),
        facts={"cached": "80%"},
    )
    tracker.tick()
    found = read(path)
    assert found["stage"] == "generate" and found["command"] == "run" and found["version"] == 1
    seen = read_progress(tmp_path)
    assert seen is not None and seen.is_running and seen.host == platform.node()
    assert found["tasks"][-1] == {
        "label": "generate",
        "unit": "calls",
        "done": 2.5,
        "total": 10,
        "failed": 1,
        "in_flight": 4,
        "rate_per_s": 1.25,
        "seconds_left": 6.0,
        "cost_usd": 0.5,
        "projected_cost_usd": 2.0,
        "phase": "texts",
        "facts": {"cached": "80%"},
        "finished": False,
    }
    tracker.end("stopped")
    found = read(path)
    assert found["state"] == "stopped" and found["tasks"][-1]["finished"]
    assert [each.name for each in tmp_path.iterdir()] == ["progress.json"]


def test_a_command_beside_a_running_one_leaves_its_file(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    tracker = plain(io.StringIO())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ProgressFile(path, "run").show([], clock.now_s)
        of_other = json.dumps({**read(path), "pid": other.pid})
        path.write_text(of_other)
        tracker.write_to(path, "report")
        tracker.tick()
        tracker.end("failed")
        assert path.read_text() == of_other
        silent = {**json.loads(of_other), "updated": "2026-01-01T00:00:00+00:00"}
        path.write_text(json.dumps(silent))  # its number belongs to another program by now
        tracker.write_to(path, "report")
        tracker.end("done")
        assert read(path)["command"] == "report"
        path.write_text(of_other)
        other.communicate()
    tracker.write_to(path, "report")
    tracker.end("failed")
    assert read(path)["state"] == "failed"


def test_a_file_that_cannot_be_written_does_not_end_the_work(clock: Clock, tmp_path: Path) -> None:
    tracker = plain(io.StringIO())
    tracker.write_to(tmp_path / "gone" / "progress.json", "run")
    tracker.tick()
    tracker.end("done")


def test_parts_are_one_task_if_there_are_more(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = plain(io.StringIO())
    monkeypatch.setattr(progress, "_tracker", tracker)
    assert list(parts("train", ["a"], "models")) == ["a"]
    assert not tracker._tasks
    assert list(parts("train", ["a", "b"], "models")) == ["a", "b"]
    (task,) = tracker._tasks
    assert task.finished and task.report.done == task.report.total == 2


def test_the_thread_shows_tasks_and_ends_with_them() -> None:
    log = io.StringIO()
    tracker = ProgressTracker(lambda now_s: PlainLines(log, now_s - 100.0))
    with Progress("train", 10, "steps", tracker) as shown:
        thread = tracker._thread
        assert thread is not None
        while not log.getvalue():
            shown.update(1)
    thread.join(5.0)
    assert not thread.is_alive() and tracker._thread is None


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.2, "0.2 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_written_as_people_do(seconds: float, written: str) -> None:
    assert duration(seconds) == written
