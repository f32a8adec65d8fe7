"""Run untrusted parsers in child processes with limits of time and memory.

A file that crashes its parser, never ends or takes all memory costs only itself. Children are
reused for many files, at most one per core at a time; each ends itself at a limit (a timer of the
system, which also stops C code), when its input closes, and when this process ends.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

from steep.core.formatting import file_size

WALL_FACTOR = 10  # seconds on the clock per second of processor time, on a busy machine
CHUNK_BYTES = 1 << 20
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT}


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one file may take.

    Attributes:
        seconds: Processor time; ten times as much on the clock.
        bytes: Memory on top of the parser itself.
    """

    seconds: float = 120.0
    bytes: int = 2 << 30


class Unreadable(Exception):
    """A file that cannot be read; the message says why and, if known, what to do."""


@dataclass(frozen=True, slots=True)
class Task:
    """A call of `function(path)` in `module`, which returns a dataclass of plain data."""

    module: str
    function: str
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task returned, or why it did not.

    Attributes:
        value: The fields of the returned dataclass.
        failure: The reason, if there is no value.
        limited: Whether other limits could change that.
        passing: Whether the same task may well succeed next time.
    """

    value: Mapping[str, Any] | None = None
    failure: str = ""
    limited: bool = False
    passing: bool = False


@dataclass(eq=False, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    limits: ChildLimits
    output: bytearray = field(default_factory=bytearray)


_idle: list[_Child] = []
_taking = Lock()


def run_tasks(
    tasks: Iterable[Task], limits: ChildLimits | None = None, children: int | None = None
) -> Iterator[tuple[Task, Answer]]:
    """Yield each task with its answer, in the order in which they end.

    Args:
        tasks: What to run.
        limits: Of each task.
        children: The number of tasks at a time, by default one per core.
    """
    waiting = iter(tasks)
    at_once = children or os.cpu_count() or 1
    running: dict[_Child, Task] = {}
    try:
        with selectors.DefaultSelector() as selector:
            while True:
                while len(running) < at_once and (task := next(waiting, None)):
                    child = _start(task, limits or ChildLimits())
                    running[child] = task
                    selector.register(_stdout(child), selectors.EVENT_READ, child)
                if not running:
                    return
                for key, _ in selector.select():
                    if answer := _read(key.data):
                        selector.unregister(key.fileobj)
                        yield running.pop(key.data), answer
    finally:
        for child in running:
            _end(child)


def _start(task: Task, limits: ChildLimits) -> _Child:
    """Give the task to an idle child, or to a new one if there is none or it has gone."""
    line = json.dumps([task.module, task.function, task.path]).encode() + b"\n"
    while True:
        child = _take(limits) or _new(limits)
        assert child.process.stdin
        try:
            child.process.stdin.write(line)
            child.process.stdin.flush()
            return child
        except BrokenPipeError:
            _end(child)


def _take(limits: ChildLimits) -> _Child | None:
    with _taking:  # two threads must not take the same one
        for child in _idle:
            if child.limits == limits:
                _idle.remove(child)
                return child
    return None


def _new(limits: ChildLimits) -> _Child:
    path = os.pathsep.join(filter(None, sys.path))
    code = f"from {__name__} import serve; serve({limits.seconds!r}, {limits.bytes!r})"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )
    return _Child(process, limits)


def _stdout(child: _Child) -> int:
    assert child.process.stdout
    return child.process.stdout.fileno()


def _read(child: _Child) -> Answer | None:
    """Return the answer if it is complete; the child is then idle, or has ended."""
    data = os.read(_stdout(child), CHUNK_BYTES)
    child.output += data
    if not data:
        return _ended(child)
    if not data.endswith(b"\n"):
        return None
    answer = Answer(**json.loads(child.output))
    child.output.clear()
    if answer.limited:  # it ran out of memory: start the next file in a fresh one
        _end(child)
    else:
        _idle.append(child)
    return answer


def _ended(child: _Child) -> Answer:
    """Say why a child ended instead of answering."""
    _end(child, kill=False)
    code = child.process.returncode
    seconds = child.limits.seconds
    if -code == signal.SIGPROF:
        return Answer(failure=f"it took more than {seconds:g} s of processor time", limited=True)
    if -code == signal.SIGALRM:
        return Answer(failure=f"it took more than {WALL_FACTOR * seconds:g} s", limited=True)
    if -code == signal.SIGKILL:
        return Answer(failure="its process was killed, as when memory runs out", passing=True)
    if -code in _CRASHES:
        return Answer(failure=f"its process crashed ({signal.Signals(-code).name})", limited=True)
    return Answer(failure=f"its process ended with exit code {code}", passing=True)


def _end(child: _Child, kill: bool = True) -> None:
    if kill:
        child.process.kill()
    child.process.wait()
    for stream in (child.process.stdin, child.process.stdout):
        assert stream
        with suppress(BrokenPipeError):  # a task may still be in the buffer
            stream.close()


@atexit.register
def end_idle_children() -> None:
    """End the children that wait for files."""
    while _idle:
        _end(_idle.pop())


def serve(seconds: float, memory_bytes: int) -> None:
    """Answer each task of the standard input with one line on the standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints is no answer
    limited = False
    for line in sys.stdin:
        module, function, path = json.loads(line)
        work = getattr(import_module(module), function)
        if not limited:  # after the import, which takes address space of its own
            _limit_memory(memory_bytes)
            limited = True
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, WALL_FACTOR * seconds)
        answer = _answer(work, path, memory_bytes)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(answer, answers)


def _end_with(parent: int) -> None:
    """End this process when its parent has ended without a word, within a second."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answer(work: Any, path: str, memory_bytes: int) -> dict[str, Any]:
    try:
        return {"value": asdict(work(path))}
    except Unreadable as error:
        return {"failure": str(error)}
    except MemoryError:
        reason = f"it needs more than {file_size(memory_bytes)} of memory"
        return {"failure": reason, "limited": True}
    except RecursionError:
        return {"failure": "its elements are nested too deeply"}
    except Exception as error:
        passing = isinstance(error, (ImportError, OSError))  # a library, or the disk
        return {"failure": f"{type(error).__name__}: {error}"[:300], "passing": passing}


def _write(answer: Mapping[str, Any], answers: TextIO) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _limit_memory(memory_bytes: int) -> None:
    """Limit the address space to what is used now and `memory_bytes` more, on Linux.

    A lower limit of the shell (`ulimit -v`) holds.
    """
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return
    used = int(pages) * resource.getpagesize()
    given = resource.getrlimit(resource.RLIMIT_AS)
    most = (each for each in given if each != resource.RLIM_INFINITY)
    limit = min([used + memory_bytes, *most])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
