"""Generations in processes of their own that start at once, for tests that kill them.

They are forked from a process that has imported everything: a start of Python takes seconds, and a
test of twenty-five kills would take minutes. Every line on standard input, `[module, argument,
...]`, runs the coroutine `run` of a module of this folder; the process id is printed, and then the
exit code.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60.0


@dataclass
class Forked:
    """A generation that has been started; only one runs at a time."""

    server: ForkServer
    pid: int
    code: int | None = None

    def running(self) -> bool:
        """Return whether it has not ended by itself."""
        return self.code is None and not self.server.has_line()

    def wait(self) -> int:
        """Wait for its end; return the exit code, or the signal that ended it as -9."""
        if self.code is None:
            self.code = int(self.server.line())
        return self.code

    def kill(self) -> int:
        """Kill it; return how it ended."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()


class ForkServer:
    """Starts generations."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._last: Forked | None = None

    def start(self, module: str, base_url: str, path: Path) -> Forked:
        """Run `module.run(base_url, path)`."""
        self._end_last()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([module, base_url, str(path)]).encode() + b"\n")
        self._last = Forked(self, int(self.line()))
        return self._last

    def _end_last(self) -> None:
        if self._last is not None:
            self._last.kill()  # a test that failed has left it behind

    def has_line(self) -> bool:
        return bool(select.select([self._stdout], [], [], 0)[0])

    def line(self) -> bytes:
        assert select.select([self._stdout], [], [], PATIENCE_S)[0], "it never ended"
        return self._stdout.readline()

    def close(self) -> None:
        self._end_last()
        self._process.communicate(timeout=PATIENCE_S)


def serve() -> None:
    for name in ("kill_worker", "storm_worker", "batch_worker"):
        importlib.import_module(name)
    for line in sys.stdin:
        module, base_url, path = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(importlib.import_module(module).run(base_url, Path(path)))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
