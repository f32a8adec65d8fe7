"""Progress of long work: one line that rewrites itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

TERMINAL_INTERVAL_S = 0.2
PLAIN_INTERVAL_S = 15.0


class Progress:
    """Shows done/total, a rate over the whole work, facts, and the time that is left.

    Args:
        label: What is being done.
        total: How much of it there is, or None when nobody knows.
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
        self._width = 0

    def update(self, done: int, **facts: object) -> None:
        """Say how far it is; cheap enough to be called for every item."""
        if self._first is None:
            self._first = done  # what an earlier run did says nothing about this run's rate
        if self._is_due():
            self._write(self._line(done, self._shown, facts))

    def show(self, text: str) -> None:
        """Say something of the caller's own instead, as often as `update` would."""
        if self._is_due():
            self._write(f"{self.label}: {text}")

    def finish(self, message: str) -> None:
        """Replace the line by a last one."""
        self._write(f"{self.label}: {message}")
        if self._terminal:
            self._stream.write("\n")
        self._stream.flush()

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._shown < (TERMINAL_INTERVAL_S if self._terminal else PLAIN_INTERVAL_S):
            return False
        self._shown = now
        return True

    def _line(self, done: int, now: float, facts: dict[str, object]) -> str:
        of_total = f"{done:,}" if self.total is None else f"{done:,}/{self.total:,}"
        rate = (done - (self._first or 0)) / max(now - self._began, 1e-9)
        parts = [f"{self.label}: {of_total} {self.unit}"]
        if rate > 0:
            parts.append(f"{rate:,.1f}/s")
        parts += [f"{key.replace('_', ' ')} {value}" for key, value in facts.items()]
        if self.total is not None and rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} left")
        return "  ".join(parts)

    def _write(self, line: str) -> None:
        if self._terminal:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """Write seconds as people do: 48 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
