"""Where progress is shown: a panel on a terminal, plain lines elsewhere, and a file.

The panel stands below all other lines. The cursor stays visible, at the start of the line under
the panel, so that the terminal is in order however the process ends. A view that cannot be written
is closed: progress never ends the work.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from steep.core.progress_state import ProgressState
from steep.core.progress_text import PanelStyle, panel_lines, plain_line
from steep.core.run_progress import VERSION, RunState, read_progress
from steep.core.tables import display_width

PLAIN_INTERVAL_S = 15.0
FILE_INTERVAL_S = 1.0


class ProgressView(Protocol):
    """Shows the tasks under way."""

    def show(self, tasks: Sequence[ProgressState], now_s: float) -> None:
        """Show the tasks, the outermost first; called several times per second."""

    def clear(self) -> None:
        """Make room for another line."""

    def print(self, line: str) -> None:
        """Print a line that stays."""

    def close(self) -> None:
        """Leave the stream as it was."""


Above = Callable[[], AbstractContextManager[None]]  # makes room for other lines


def stream_view(stream: TextIO, now_s: float, above: Above) -> ProgressView:
    """Return a panel for a terminal that can move the cursor, otherwise plain lines."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return TerminalPanel(stream, above)
    return PlainLines(stream, now_s)


class TerminalPanel:
    """A panel of a few lines that is drawn again in place.

    While it is open, what Python prints on the terminal appears above it.
    """

    def __init__(self, stream: TextIO, above: Above) -> None:
        self._stream = stream
        self._lines: list[str] = []  # on the screen now, without colors
        self._guards: list[_LinesAbove] = []
        if stream is sys.stderr:
            sys.stderr = self._guarded(sys.stderr, above)
            sys.stdout = self._guarded(sys.stdout, above)

    def _guarded(self, stream: TextIO, above: Above) -> Any:
        """Return what prints above the panel; the stream itself if it is no terminal."""
        if not stream.isatty():
            return stream
        self._guards.append(_LinesAbove(stream, above))
        return self._guards[-1]

    def show(self, tasks: Sequence[ProgressState], now_s: float) -> None:
        """Draw the panel over the one before."""
        style = self._style()
        lines = panel_lines(tasks, style) if tasks else []
        if lines or self._lines:
            # Lines are not overwritten: a terminal that becomes narrower wraps their rests, too.
            text = "".join(f"{line}\n" for line in lines)
            self._write(f"{self._to_start(style.columns)}\x1b[J{text}")
        self._lines = [_uncolored(line) for line in lines]

    def clear(self) -> None:
        """Erase the panel."""
        if self._lines:
            self._write(f"{self._to_start(self._style().columns)}\x1b[J")
            self._lines = []

    def print(self, line: str) -> None:
        """Print a line in the place of the panel; the next panel stands below it."""
        self.clear()
        self._write(f"{line}\n")

    def close(self) -> None:
        """Erase the panel, and give the standard streams back."""
        for each in self._guards:
            each.end()
        if sys.stdout in self._guards:
            sys.stdout = sys.stdout.stream
        if sys.stderr in self._guards:
            sys.stderr = sys.stderr.stream
        self.clear()

    def _to_start(self, columns: int) -> str:
        """Return what moves the cursor to the first row of the panel.

        Terminals wrap the lines on the screen when they become narrower.
        """
        rows = sum(max(1, math.ceil(display_width(line) / columns)) for line in self._lines)
        return f"\r\x1b[{rows}A" if rows else "\r"

    def _style(self) -> PanelStyle:
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):  # a terminal that tells no size
            columns, rows = 0, 0
        encoding = (self._stream.encoding or "ascii").lower()
        return PanelStyle(
            columns or 80,
            rows or 24,
            color="NO_COLOR" not in os.environ,
            unicode=encoding.startswith("utf"),
        )

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _LinesAbove:
    """A standard stream whose lines are printed above the panel, each when it is complete."""

    def __init__(self, stream: TextIO, above: Above) -> None:
        self.stream, self._above = stream, above
        self._begun = ""
        self._ended = False

    def write(self, text: str) -> int:
        if self._ended:  # somebody has kept this object
            return self.stream.write(text)
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            with self._above():
                self.stream.write(lines + newline)
                self.stream.flush()
        return len(text)

    def flush(self) -> None:
        """Leave the rest of a line until its end."""
        if self._ended:
            self.stream.flush()

    def end(self) -> None:
        """Print what waits; from now on, write to the stream as it is."""
        if self._begun:
            self.write("\n")
        self._ended = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class PlainLines:
    """A complete line every 15 seconds."""

    def __init__(self, stream: TextIO, now_s: float) -> None:
        self._stream = stream
        self._shown_s = now_s

    def show(self, tasks: Sequence[ProgressState], now_s: float) -> None:
        """Print the state if it is time."""
        if tasks and now_s - self._shown_s >= PLAIN_INTERVAL_S:
            self._shown_s = now_s
            self.print(plain_line(tasks))

    def clear(self) -> None:
        """Do nothing: lines stay."""

    def print(self, line: str) -> None:
        """Print a line."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: lines stay."""


class ProgressFile:
    """`progress.json` of a run: the tasks of the process that works on it, for other processes.

    A process that is killed leaves the state `running`: whoever reads the file looks whether the
    process `pid` exists, or, on another machine than `host`, when the file was last written. While
    one process works, the file is its own: commands that run beside it leave the file as it is.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.stage = command
        self._path, self._command = path, command
        self._started = _now()
        self._written_s = -math.inf

    def show(
        self, tasks: Sequence[ProgressState], now_s: float, state: RunState = "running"
    ) -> None:
        """Write all tasks of the process in order, at most once per second while it runs."""
        if state == "running" and now_s - self._written_s < FILE_INTERVAL_S:
            return
        self._written_s = now_s
        other = read_progress(self._path.parent)
        if other is not None and other.is_of_other_process:
            return
        self._replace(
            {
                "version": VERSION,
                "host": platform.node(),
                "pid": os.getpid(),
                "updated": _now(),
                "started": self._started,
                "command": self._command,
                "state": state,
                "stage": self.stage,
                "tasks": [each.as_json() for each in tasks],
            }
        )

    def _replace(self, content: dict[str, Any]) -> None:
        """Write the file at once, without waiting for the disk as other files do."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        temporary.replace(self._path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _uncolored(line: str) -> str:
    parts = line.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])
