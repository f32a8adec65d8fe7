"""The command line: one file a verb; each parses, calls a stage and prints.

Heavy imports live inside the verbs, so that `steep --help` answers in a third of a second.
"""

from __future__ import annotations

import os
import sys


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
        sys.stderr.write(f"steep: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("steep: interrupted; the same command continues where it was\n")
        sys.exit(130)
