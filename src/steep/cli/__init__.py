"""The command line: one file a verb; each parses, calls a stage and prints.

Heavy imports live inside the verbs, so that `steep --help` answers in a third of a second.
"""

from __future__ import annotations

import contextlib
import os
import sys

INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended


def main() -> None:
    """Run a verb; what the user can put right is said without a traceback, exit code 2."""
    # PyTorch's OpenMP threads spin while they wait. When another process has one of the cores,
    # that costs a factor of eight. Fewer turns cost little when all cores are free.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from steep.cli.app import app
    from steep.core.errors import UserError

    try:
        app()
    except UserError as error:
        _tell(f"steep: {error}")
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has caught the KeyboardInterrupt
            _tell("steep: interrupted; the same command continues where it was")
        raise


def _tell(message: str) -> None:
    """Say the last word on the terminal, and in the log of the run if there is one."""
    import logging

    from steep.core.errors import UserError

    log = logging.getLogger("steep")
    if not log.handlers:
        sys.stderr.write(f"{message}\n")
        return
    with contextlib.suppress(UserError):  # the log cannot be written, as the terminal has just said
        log.error(message)
