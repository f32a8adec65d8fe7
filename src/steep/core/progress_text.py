"""The state of long work as text: the lines of a panel, or one plain line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steep.core.formatting import dollars, duration, span
from steep.core.progress_state import ProgressState
from steep.core.tables import display_width, fitted

LEAST_RATE = 0.1  # per second; below, a rate is shown per minute
MANY = 100  # per second; from here on, a rate is a whole number
FEW = 1000  # units
GAP = "   "
INDENT = "  "
LEAST_BAR, MOST_BAR = 8, 40  # columns
MOST_LINES = 8  # of a panel
BOLD, RED, GREEN, DIM, RESET = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class PanelStyle:
    """What a terminal can show."""

    columns: int = 80
    rows: int = 24
    color: bool = False
    unicode: bool = True


def panel_lines(tasks: Sequence[ProgressState], style: PanelStyle) -> list[str]:
    """Return the lines of the panel, each narrower than the terminal.

    Args:
        tasks: The tasks under way; each is a part of the one before it. The last one is shown in
            full, the others by one line each.
        style: The terminal.
    """
    *outer, current = tasks
    most = max(1, min(MOST_LINES, style.rows - 2))
    lines = [fitted(_outer_line(each), style.columns - 1) for each in outer]
    lines = [*lines[max(0, len(lines) - most + 1) :], _title(current, style)]
    return [*lines, *_details(current, style)][:most]


def plain_line(tasks: Sequence[ProgressState]) -> str:
    """Return the state of the last task as one line, and how far the tasks are that it is in."""
    *outer, current = tasks
    within = [f"({_outer_line(each)})" for each in outer]
    found = [*_parts(current)] or [f"{_clock(current.elapsed_s)} so far"]
    return f"{current.label}: {'  '.join([*found, *within])}"


def _outer_line(state: ProgressState) -> str:
    parts = [f"{state.label}: {_count(state)} done"]
    if state.seconds_left is not None:
        parts.append(f"{duration(state.seconds_left)} left")
    if cost := _cost(state):
        parts.append(cost)
    return ", ".join(parts)


def _title(state: ProgressState, style: PanelStyle) -> str:
    """Return the name, the bar and the share, and the time since the start."""
    phase = f" ({state.phase})" if state.phase else ""
    share, elapsed = state.share, _clock(state.elapsed_s)
    percent = "" if share is None else f" {math.floor(100 * share):3d}%"
    room = style.columns - 1
    label = fitted(f"{state.label}{phase}", max(1, room - LEAST_BAR - len(percent) - 2))
    bar_columns = room - display_width(label) - len(percent) - len(elapsed) - len(GAP) - 2
    if bar_columns < LEAST_BAR:
        elapsed, bar_columns = "", room - display_width(label) - len(percent) - 2
    name = _painted(label, BOLD, style)
    if share is None:
        return f"{name}{GAP}{elapsed}".rstrip()
    bar = _bar(share, min(bar_columns, MOST_BAR), style)
    return f"{name}  {bar}{percent}{GAP}{elapsed}".rstrip()


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else duration(seconds)


def _bar(share: float, columns: int, style: PanelStyle) -> str:
    filled, empty = ("━", "─") if style.unicode else ("#", "-")
    done = math.floor(share * columns)
    return _painted(filled * done, GREEN, style) + _painted(empty * (columns - done), DIM, style)


def _details(state: ProgressState, style: PanelStyle) -> Iterator[str]:
    """Yield the parts in as many lines as they need."""
    line: list[str] = []
    room = style.columns - 1 - len(INDENT)
    for part in _parts(state):
        cut = fitted(part, room)
        if line and display_width(GAP.join([*line, cut])) > room:
            yield INDENT + GAP.join(_failed_in_red(each, style) for each in line)
            line = []
        line.append(cut)
    if line:
        yield INDENT + GAP.join(_failed_in_red(each, style) for each in line)


def _failed_in_red(part: str, style: PanelStyle) -> str:
    return _painted(part, RED, style) if part.endswith(" failed") else part


def _painted(text: str, code: str, style: PanelStyle) -> str:
    return f"{code}{text}{RESET}" if style.color and text else text


def _count(state: ProgressState) -> str:
    done = _units(state.done)
    if state.total is None:
        return f"{done} {state.unit}"
    about = "about " if state.about else ""
    return f"{done} of {about}{round(state.total):,} {state.unit}"


def _units(done: float) -> str:
    """Return a number of units; parts of one are shown while there are few."""
    whole = math.floor(done + 1e-6)
    if done - whole < 0.05 or whole >= FEW:
        return f"{whole:,}"
    return f"{math.floor(10 * done) / 10:.1f}"


def _parts(state: ProgressState) -> Iterator[str]:
    """Yield the values, the most important first."""
    if state.done or state.total is not None:
        yield _count(state)
    if state.seconds_left is not None:
        yield f"{duration(state.seconds_left)} left"
    if state.failed:
        yield f"{state.failed:,} failed"
    if state.rate_per_s is not None:
        yield rate(state.rate_per_s)
    if cost := _cost(state):
        yield cost
    if state.in_flight:
        yield f"{state.in_flight:,} in flight"
    for name, value in state.facts.items():
        yield f"{name} {value}"


def _cost(state: ProgressState) -> str:
    projected = state.projected_cost_usd
    if state.cost_usd is None or not (state.cost_usd or (projected and projected.high)):
        return ""
    if projected is None:
        return f"cost {dollars(state.cost_usd)}"
    return f"cost {dollars(state.cost_usd)} of about {span(projected, dollars)}"


def rate(per_s: float) -> str:
    """Return a rate: `1,250/s`, `12.1/s`, or `3.0/min` if it is slow."""
    if per_s >= MANY:
        return f"{per_s:,.0f}/s"
    return f"{per_s:,.1f}/s" if per_s >= LEAST_RATE else f"{60 * per_s:,.1f}/min"
