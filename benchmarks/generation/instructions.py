"""Instructions per call of Steep's client: a measure that other work on the machine does not move.

    python -m benchmarks.generation.instructions

Needs `perf` (Linux). The same run with 2,000 and with 10,000 calls; the difference leaves start-up
out. To compare two commits, run it in a work tree of each.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from benchmarks.generation import instant_server
from benchmarks.generation.clients import CLIENT_CORE, SERVER_CORE

FEW, MANY = 2_000, 10_000


def instructions(calls: int) -> int:
    """Count the instructions of so many calls in user space."""
    with (
        instant_server.running(SERVER_CORE) as url,
        tempfile.TemporaryDirectory(prefix="steep-instructions-") as folder,
    ):
        command = ["perf", "stat", "-e", "instructions:u", sys.executable]
        command += ["-m", "benchmarks.generation.contestants", "steep", "--url", url]
        command += ["--folder", folder, "--core", str(CLIENT_CORE)]
        command += ["--calls", str(calls), "--concurrency", "64"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"([\d,]+)\s+instructions", said)
    assert found, said
    return int(found[1].replace(",", ""))


if __name__ == "__main__":
    per_call = (instructions(MANY) - instructions(FEW)) / (MANY - FEW)
    print(f"{per_call / 1e6:.3f} million instructions per call")
