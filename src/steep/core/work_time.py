"""Measure the wall time of work over all of its runs, on disk: a kill loses only seconds of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

FLUSH_S = 5.0


@contextmanager
def work_time(path: Path, flush_s: float = FLUSH_S) -> Iterator[Callable[[], float]]:
    """Count the seconds inside, after those that earlier runs have left in a file.

    Args:
        path: The file; its directory is there. A file that cannot be read counts as none, and one
            that cannot be written loses the time, not the work.
        flush_s: Seconds between two writes.

    Yields:
        What returns the seconds so far, over all runs.
    """
    before_s, began_s, ended = _read(path), time.monotonic(), Event()

    def seconds() -> float:
        return before_s + time.monotonic() - began_s

    def write() -> None:
        temporary = path.with_name(f"{path.name}.tmp")  # not synced: only a crash of the system
        with suppress(OSError):  # would lose it
            temporary.write_text(f"{seconds():.2f}\n")
            temporary.replace(path)

    def keep_writing() -> None:
        while not ended.wait(flush_s):
            write()

    writer = Thread(target=keep_writing, name="work-time", daemon=True)
    writer.start()
    try:
        yield seconds
    finally:
        ended.set()
        writer.join()
        write()


def _read(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return 0.0
