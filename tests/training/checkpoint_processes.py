"""Processes that save and load checkpoints; some are killed, some meet an unhelpful system.

DIRECTORY: plays all VICTIMS, each in a directory of its own. They are forked, because importing
takes longer than all they do.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from checkpoint_setup import make_state, names, open_alone, write

from steep.core.errors import UserError
from steep.training.checkpoint_io import CheckedWriter

# What Python tells before it is done; of removals it knows only the last part of the path.
CHANGES = {"open", "os.mkdir", "os.rename"}
REMOVALS = {"os.remove", "os.rmdir"}
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def limit(directory: Path) -> None:
    """No file may be larger than 20 kB."""
    write(directory, [1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    _save_large(directory, 30_000)


def full(directory: Path) -> None:
    """A file system of 2 MB, in which the room that was there when the save began is gone."""
    if not _mounted(directory):
        print("no file system can be mounted here", flush=True)
        return
    write(directory, [1])
    real = CheckedWriter.write_data

    def write_data(self: CheckedWriter, *arguments: Any) -> Any:
        (directory / "other").write_bytes(bytes(1_500_000))
        return real(self, *arguments)

    CheckedWriter.write_data = write_data  # type: ignore[method-assign,assignment]
    _save_large(directory, 1_000_000)


def _mounted(directory: Path) -> bool:
    """A place in memory that only this process sees, and for which it need not be root."""
    user, group = os.getuid(), os.getgid()
    system = ctypes.CDLL(None)
    if system.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return not system.mount(b"none", bytes(directory), b"tmpfs", 0, b"size=2m")


def _save_large(directory: Path, size: int) -> None:
    checkpoints = open_alone(directory)
    try:
        checkpoints.save(2, {"large": torch.zeros(size, dtype=torch.uint8)})
        checkpoints.wait()
    except UserError as error:
        print(error.problem, flush=True)
    print(names(directory), flush=True)
    print(open_alone(directory).load(make_state(0)), flush=True)


def kill(directory: Path) -> None:
    """Save over an older checkpoint, killed at the first change of the disk, at the second, ..."""
    for moment in count(1):
        if end(start(partial(_victim, directory / f"{moment:03d}", moment))) == 0:
            break


def _victim(directory: Path, moment: int) -> None:
    write(directory, [1])
    changes = count(1)

    def die(event: str, arguments: tuple[Any, ...]) -> None:
        here = event in CHANGES and str(directory) in str(arguments[0])
        if (here or event in REMOVALS) and next(changes) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)
    checkpoints = open_alone(directory, keep=1)
    checkpoints.save(2, make_state(2))
    checkpoints.wait()


def kill_in_data(directory: Path) -> None:
    """Half of the data is on disk."""

    def victim() -> None:
        write(directory, [1])
        real = torch.save

        def save(tensor: torch.Tensor, file: Any) -> None:
            real(tensor, file)
            if tensor.dtype == torch.int8:
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = save  # type: ignore[assignment]
        write(directory, [2])

    print(end(start(victim)), flush=True)


def start(work: Callable[[], None]) -> int:
    """Run in a child; its number."""
    if (child := os.fork()) == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


def end(child: int) -> int:
    """How a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


VICTIMS = (kill, kill_in_data, limit, full)


def main(directory: Path) -> None:
    torch.set_num_threads(1)
    for victim in VICTIMS:
        print(victim.__name__, flush=True)
        (directory / victim.__name__).mkdir()
        assert end(start(partial(victim, directory / victim.__name__))) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
