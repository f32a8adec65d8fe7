"""A process that has imported torch and its like once, and forks a child for every `steep` command.

    python command_server.py

Reads one JSON object a line: arguments, folder, environment, where the output goes, and perhaps at
which moment the child shall die. Answers `pid`, then, when the child has ended, its exit code.
Importing torch and transformers costs eight seconds on a busy machine; a fork costs none.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink"}


def serve() -> None:
    import aiohttp
    import pandas  # type: ignore[import-untyped]
    import pyarrow.parquet
    import scipy.special
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    from steep.cli.app import app
    from steep.documents.language import detect_language
    from steep.stages import pipeline

    del aiohttp, pandas, pyarrow, scipy, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
    del app, pipeline  # all that matters is that they are loaded
    detect_language("It reads its table of languages when it is first asked. " * 3)
    gc.freeze()  # or each collection in a child would traverse the objects of these modules
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(order)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    os._exit(0)  # taking torch down again would cost seconds


def run(order: dict[str, Any]) -> None:
    """Be the command `steep`; never returns."""
    # A shell without job control starts what is in its background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, name in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
    sys.stdin = open(0)  # noqa: SIM115 - the server's own still holds its orders
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [each for each in added if each and each not in sys.path]
    sys.argv = ["steep", *order["arguments"]]
    if order["die_at"] is not None:
        die_at(**order["die_at"])
    code: Any = 1
    try:
        from steep.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_at(part: str, number: int, log: str | None) -> None:
    """Kill this process just before it changes files in a path that holds `part` once too often.

    With `number` 0 it lives, and every change is written to the file `log`.
    """
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if not (event in CHANGES or writes):
            return
        path = str(arguments[1 if event == "os.symlink" else 0])
        in_a_folder_that_goes = event == "os.remove" and not path.startswith("/")
        if part not in path and not in_a_folder_that_goes:
            return
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        if log is not None:
            os.write(descriptor, f"{event} {path}\n".encode())

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT, 0o644) if log else -1
    sys.addaudithook(hook)


if __name__ == "__main__":
    serve()
