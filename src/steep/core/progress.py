"""Progress of long work: one line that rewrites itself on a terminal, plain lines elsewhere.

The line never wraps: what does not fit is dropped from the right, so the most important parts stand
first. Whoever prints something else calls `erase_line` before; the next update shows the line
again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from steep.core.formatting import duration

TERMINAL_INTERVAL_S = 0.2
PLAIN_INTERVAL_S = 15.0
LEAST_RATE = 0.1  # per second; below, a rate is shown per minute
USUAL_COLUMNS = 80
SEPARATOR = "  "
CLEAR = "\r\x1b[K"  # to the start of the line, and erase it

_open_lines: set[TextIO] = set()  # terminals on which a line stands that was not ended


def erase_line() -> None:
    """Remove the progress line from the terminal, before a log line is printed there."""
    while _open_lines:
        stream = _open_lines.pop()
        stream.write(CLEAR)
        stream.flush()


class Progress:
    """Shows done/total, a rate over the whole work, facts, and the time that is left.

    Args:
        label: What is being done.
        total: The amount of work, or None if it is unknown.
        unit: What is counted.
        stream: Where to write; by default standard error.
    """

    def __init__(
        self, label: str, total: int | None, unit: str, stream: TextIO | None = None
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._began = self._shown = time.monotonic()
        self._first: int | None = None

    def update(self, done: int, **facts: object) -> None:
        """Show how far the work is, the most important facts first; cheap enough per item."""
        if self._first is None:
            self._first = done  # what an earlier run did says nothing about this run's rate
        if self._is_due():
            self._write(self._parts(done, self._shown, facts))

    def show(self, parts: Sequence[str], separator: str = SEPARATOR) -> None:
        """Show a line of the caller's own instead, as often as `update` would."""
        if self._is_due():
            self._write([f"{self.label}: {parts[0]}", *parts[1:]], separator)

    def finish(self, message: str) -> None:
        """Replace the line by a last one."""
        if self._terminal:
            erase_line()
        self._stream.write(f"{self.label}: {message}\n")
        self._stream.flush()

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._shown < (TERMINAL_INTERVAL_S if self._terminal else PLAIN_INTERVAL_S):
            return False
        self._shown = now
        return True

    def _parts(self, done: int, now: float, facts: dict[str, object]) -> list[str]:
        of_total = f"{done:,}" if self.total is None else f"{done:,}/{self.total:,}"
        rate = (done - (self._first or 0)) / max(now - self._began, 1e-9)
        parts = [f"{self.label}: {of_total} {self.unit}"]
        if self.total is not None and rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} left")
        if rate > 0:
            parts.append(f"{rate:,.1f}/s" if rate >= LEAST_RATE else f"{60 * rate:,.1f}/min")
        parts += [f"{key.replace('_', ' ')} {value}" for key, value in facts.items()]
        return parts

    def _write(self, parts: Sequence[str], separator: str = SEPARATOR) -> None:
        if self._terminal:
            line = fitting(parts, self._columns() - 1, separator)  # the last column would wrap
            self._stream.write(CLEAR + line)
            _open_lines.add(self._stream)
        else:
            self._stream.write(separator.join(parts) + "\n")
        self._stream.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS
        except (OSError, ValueError):  # a terminal that tells no size
            return USUAL_COLUMNS


def fitting(parts: Sequence[str], columns: int, separator: str = SEPARATOR) -> str:
    """Join the first parts as far as they fit; the very first one is cut if need be."""
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(separator) + len(part) > columns:
            break
        line += separator + part
    return line[:columns]
