"""Tasks for children in tests: one that works, and all kinds that do not."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from steep.documents.child import Unreadable


@dataclass(frozen=True)
class Found:
    """What a task returns."""

    text: str
    process: int


def work(path: str) -> Found:
    """Do what the name of the file says."""
    print("a library that prints")
    kind = Path(path).name
    if kind == "crash":
        ctypes.string_at(0)
    elif kind == "exit":
        os._exit(3)
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "hang":
        re.match(r"(a+)+b", "a" * 40)  # in C, where no signal handler of Python runs
    elif kind == "sleep":
        time.sleep(60)
    elif kind == "bomb":
        bytearray(1 << 40)
    elif kind == "many":
        _ = [bytearray(1 << 20) for _ in range(1 << 20)]
    elif kind == "refused":
        raise Unreadable("no text")
    elif kind == "error":
        raise ValueError("an odd value")
    elif kind == "library":
        raise ImportError("no such library")
    elif kind == "deep":
        return work_deeply(path)
    return Found(kind.upper(), os.getpid())


def work_deeply(path: str) -> Found:
    """Call itself for ever."""
    return work_deeply(path)
