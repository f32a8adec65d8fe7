"""The command line: one file per command; each parses its options, calls a stage and prints.

Heavy imports are inside the commands, so that `steep --help` stays fast.
"""

from __future__ import annotations

import contextlib
import os
import sys

INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended


def main() -> None:
    """Run a command; an error of the user is printed without a traceback, with exit code 2."""
    # PyTorch's OpenMP threads spin while they wait. When another process has one of the cores,
    # that costs a factor of eight. Fewer turns cost little when all cores are free.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Without it, fragmentation of GPU memory can end a run that fits.
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    from steep.cli.app import app
    from steep.core.errors import UserError
    from steep.core.progress import end_progress

    try:
        app()
    except UserError as error:
        end_progress("failed")
        _print_last(f"steep: {error}")
        sys.exit(2)
    except ModuleNotFoundError as error:
        from steep.core.extras import missing_extra

        if (missing := missing_extra(error)) is None:
            raise
        _print_last(f"steep: {missing}")
        sys.exit(2)
    except SystemExit as end:
        # typer has caught the KeyboardInterrupt
        end_progress("stopped" if end.code == INTERRUPTED else "failed" if end.code else "done")
        if end.code == INTERRUPTED:
            _print_last("steep: interrupted; run the same command again to resume")
        raise
    except BaseException:
        end_progress("failed")
        raise


def _print_last(message: str) -> None:
    """Print the last message to the terminal, and to the log of the run if there is one."""
    import logging

    from steep.core.errors import UserError
    from steep.core.tables import wrap_text

    log = logging.getLogger("steep")
    if not log.handlers:
        sys.stderr.write(f"{wrap_text(message) if sys.stderr.isatty() else message}\n")
        return
    with contextlib.suppress(UserError):  # the log cannot be written, as the terminal already shows
        log.error(message)
