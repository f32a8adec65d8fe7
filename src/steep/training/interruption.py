"""Ctrl-C and SIGTERM during training: the step that is under way is finished and kept.

A measurement of the validation loss is given up instead; the next run does it first.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("steep")


@dataclass
class InterruptFlag:
    """Whether somebody has asked."""

    asked: bool = False


@contextmanager
def asked_to_stop(section: str) -> Iterator[InterruptFlag]:
    """Ctrl-C, or a scheduler's SIGTERM: finish the step and keep it; a second one ends at once."""
    stop = InterruptFlag()

    def ask(number: int, frame: Any) -> None:
        stop.asked = True
        for each in handlers:
            signal.signal(each, handlers[each])
        log.info(
            "%s: stopping after this step, whose checkpoint is kept; press Ctrl-C again to stop "
            "at once and lose the steps since the last checkpoint",
            section,
        )

    handlers: dict[signal.Signals, Any] = {}
    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            handlers[each] = signal.signal(each, ask)
    except ValueError:  # not the main thread: a launcher's worker is told otherwise
        pass
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
