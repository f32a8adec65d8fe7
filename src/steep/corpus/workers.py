"""Map a function over items on all cores, lazily and in order, in processes of our own.

The processes are started by `subprocess`, not by `multiprocessing`: they import neither the
caller's main module nor what this process has loaded, inherit no lock of the ledger, and end when
their input ends, also if this process is killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, TypeVar

from steep.core.errors import UserError

MOST_PROCESSES = 16  # this process prepares and stores no more than so many can filter
T = TypeVar("T")
R = TypeVar("R")
_Worker = subprocess.Popen[bytes]


def usable_cores() -> int:
    """Return the number of cores that this process may use, at most `MOST_PROCESSES`."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def ordered_map(work: Callable[[T], R], items: Iterable[T], processes: int) -> Iterator[R]:
    """Yield `work(item)` of each item, in order; each process has one item at a time.

    Args:
        work: A function that can be pickled: of a module of this package, or a `partial` of one.
        items: What can be pickled; read lazily.
        processes: Number of processes; 1 stands for this process itself.

    Raises:
        UserError: A process was killed, for example for lack of memory.
        RuntimeError: `work` raised an exception; its traceback is on the standard error.
    """
    if processes <= 1:
        yield from map(work, items)
        return
    with ExitStack() as stack:
        idle = deque(stack.enter_context(_worker(work)) for _ in range(processes))
        busy: deque[_Worker] = deque()
        for item in items:
            if not idle:
                yield _answer(busy[0])
                idle.append(busy.popleft())
            worker = idle.popleft()
            _send(worker, item)
            busy.append(worker)
        while busy:
            yield _answer(busy.popleft())


def serve() -> None:
    """Answer each item of the standard input on the standard output, as a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    work = pickle.load(sys.stdin.buffer)
    while True:
        try:
            item = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _dump(work(item), answers)


@contextmanager
def _worker(work: Callable[[Any], Any]) -> Iterator[_Worker]:
    path = os.pathsep.join(filter(None, sys.path))
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        _send(worker, work)
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def _send(worker: _Worker, item: object) -> None:
    assert worker.stdin
    try:
        _dump(item, worker.stdin)
    except BrokenPipeError as error:
        raise _ended(worker) from error


def _answer(worker: _Worker) -> Any:
    assert worker.stdout
    try:
        return pickle.load(worker.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        raise _ended(worker) from error


def _dump(value: object, stream: IO[bytes]) -> None:
    pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _ended(worker: _Worker) -> Exception:
    code = worker.wait()
    if code >= 0:
        return RuntimeError(f"a worker process ended with exit status {code}")
    return UserError(
        "A worker process was killed.",
        where="the corpus",
        found=signal.Signals(-code).name,
        hint="free some memory and run the same command again",
    )
