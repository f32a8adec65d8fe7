"""`steep` as its users run it: a process, its arguments, what it says, its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import command_server

PATIENCE_S = 300.0


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """One thread, no colours, a fixed width, and no way to a model hub."""
    quiet = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **quiet, **more}


def wait_until(happened: Callable[[], object]) -> None:
    """Look again and again, a thousand times a second."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < PATIENCE_S, "it never happened"
        time.sleep(0.001)


def real_steep(*arguments: str | Path, cwd: Path, **variables: str) -> Ended:
    """Run `python -m steep` in a fresh process."""
    ended = subprocess.run(
        [sys.executable, "-m", "steep", *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@dataclass
class Running:
    """A command that has been started; only one runs at a time."""

    server: Steep
    pid: int
    folder: Path
    code: int | None = None

    def wait(self) -> Ended:
        if self.code is None:
            self.code = int(self.server.line())
        texts = [(self.folder / name).read_text() for name in ("stdout", "stderr")]
        return Ended(self.code, *texts)

    def kill(self) -> Ended:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(self.pid, signal.SIGKILL)
        return self.wait()


class Steep:
    """Starts commands; see `command_server`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: Running | None = None
        self._process = subprocess.Popen(
            [sys.executable, command_server.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )

    def __call__(self, *arguments: str | Path, cwd: Path, **variables: str) -> Ended:
        return self.start(*arguments, cwd=cwd, variables=variables).wait()

    def start(
        self,
        *arguments: str | Path,
        cwd: Path,
        variables: Mapping[str, str] | None = None,
        die_at: Mapping[str, Any] | None = None,
    ) -> Running:
        if self._running:
            self._running.kill()  # a test that failed has left it behind
        order = {
            "arguments": [*map(str, arguments)],
            "cwd": str(cwd),
            "environment": environment(**(variables or {})),
            "stdout": str(self._folder / "stdout"),
            "stderr": str(self._folder / "stderr"),
            "die_at": die_at,
        }
        for name in ("stdout", "stderr"):  # or a test would see what the last command said
            (self._folder / name).write_text("")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._running = Running(self, int(self.line()), self._folder)
        return self._running

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        if self._running:
            self._running.kill()
        self._process.communicate(timeout=PATIENCE_S)
