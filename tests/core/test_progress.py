from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from steep.core import progress
from steep.core.formatting import duration
from steep.core.progress import Progress, erase_line, fitting


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """Shows what a person would see: the last line, with what was overwritten gone."""

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        line = ""
        for written in self.getvalue().removesuffix("\n").split("\r"):
            line = written.removeprefix("\x1b[K")
        return line


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_a_terminal_shows_one_line_that_changes(clock: Clock) -> None:
    terminal = Terminal()
    shown = Progress("generate", 2000, "calls", terminal)
    for done in (0, 500, 1000):
        shown.update(done, failed=3, cost_usd="$1.20")
        clock.now_s += 10
    assert terminal.shown == (
        "generate: 1,000/2,000 calls  20 s left  50.0/s  failed 3  cost usd $1.20"
    )
    assert "\n" not in terminal.getvalue()
    shown.finish("done")
    assert terminal.shown == "generate: done"
    assert terminal.getvalue().endswith("\n")


def test_a_line_never_wraps_and_loses_its_last_parts_first(clock: Clock) -> None:
    terminal = Terminal()
    shown = Progress("generate", 2000, "calls", terminal)
    for done in (0, 1000):
        shown.update(done, cost="$1.20 of about $2.40", in_flight=16, cached="80%", failed=0)
        clock.now_s += 10
    assert terminal.shown == (
        "generate: 1,000/2,000 calls  10 s left  100.0/s  cost $1.20 of about $2.40"
    )
    assert fitting(["one", "two", "three"], 9, " | ") == "one | two"
    assert fitting(["a very long one"], 6) == "a very"


def test_a_log_line_erases_the_progress_line(clock: Clock) -> None:
    terminal = Terminal()
    shown = Progress("train", 10, "steps", terminal)
    clock.now_s += 10
    shown.update(1)
    erase_line()
    assert terminal.getvalue().endswith("\r\x1b[K")
    erase_line()
    assert terminal.getvalue().count("\x1b[K") == 2, "there is nothing left to erase"


def test_elsewhere_there_are_plain_lines_now_and_then(clock: Clock) -> None:
    log = io.StringIO()
    shown = Progress("train", None, "steps", log)
    for done in range(100):
        shown.update(done)
        clock.now_s += 1
    shown.finish("99 steps")
    lines = log.getvalue().splitlines()
    assert lines[0] == "train: 15 steps  1.0/s"
    assert len(lines) == 7
    assert lines[-1] == "train: 99 steps"
    assert "\r" not in log.getvalue()


def test_what_an_earlier_run_did_is_not_this_runs_speed(clock: Clock) -> None:
    log = io.StringIO()
    shown = Progress("train", 1000, "steps", log)
    shown.update(900)
    clock.now_s = 20
    shown.update(920)
    assert log.getvalue() == "train: 920/1,000 steps  1 min 20 s left  1.0/s\n"


def test_nothing_done_yet_promises_nothing(clock: Clock) -> None:
    log = io.StringIO()
    shown = Progress("train", 10, "steps", log)
    clock.now_s = 20
    shown.update(0)
    assert log.getvalue() == "train: 0/10 steps\n"


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


def test_a_slow_rate_is_shown_per_minute(clock: Clock) -> None:
    log = io.StringIO()
    shown = Progress("questions", None, "calls", log)
    shown.update(0)
    clock.now_s = 60
    shown.update(3, stage="write 3/16")
    assert log.getvalue() == "questions: 3 calls  3.0/min  stage write 3/16\n"
