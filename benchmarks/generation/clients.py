"""Calls/s, CPU and memory of Steep's generation beside other clients, against one instant server.

    python -m benchmarks.generation.clients --calls 20000 --concurrency 64 \
        --venv curator=/path/a --venv datatrove=/path/b --venv openai=/path/c

All get the same prompts (4 KB, most of it shared by 100 calls) and the same answers (2 KB) with the
same number of calls in flight; the server is pinned to one core and the client to the other, in a
process of its own with an empty folder. The measure is CPU: a call's cost in a process that shares
its machine with a model. A contestant that is not installed is left out. What each keeps when it is
killed is in the table (and measured by `kill_loss`): a fast client that loses what was paid for is
no use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.generation import instant_server
from benchmarks.generation.contestants import CONTESTANTS, environment_of
from benchmarks.generation.measuring import conditions, table

REPOSITORY = Path(__file__).parents[2]
SERVER_CORE, CLIENT_CORE = 0, 1
COLUMNS = (
    "client", "version", "calls/s", "CPU s / 1,000 calls", "calls / CPU s", "peak MB",
    "server busy", "durable", "steep over it",
)  # fmt: skip


class Result(NamedTuple):
    """What one run of one contestant took."""

    name: str
    version: str
    calls_per_s: float
    cpu_s_per_1000: float
    peak_mb: float
    server_busy: float

    @property
    def calls_per_cpu_s(self) -> float:
        """The figure by which contestants are ranked."""
        return 1000 / self.cpu_s_per_1000

    @property
    def durable(self) -> str:
        """What survives a crash."""
        return CONTESTANTS[self.name].durable


def main() -> None:
    """Run all contestants and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), choices=CONTESTANTS)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; the median is shown")
    options = parser.parse_args()
    venvs = dict(each.split("=", 1) for each in options.venv)
    print(conditions(["aiohttp", "uvloop"]), end="\n\n", flush=True)
    runs: dict[str, list[Result]] = {}
    for _ in range(options.repeat):
        for name in options.only:
            if result := one_run(name, venvs, options.calls, options.concurrency):
                runs.setdefault(name, []).append(result)
    print(report([median(results) for results in runs.values()]))


def median(results: list[Result]) -> Result:
    """The run in the middle, by CPU."""
    return sorted(results, key=lambda each: each.cpu_s_per_1000)[len(results) // 2]


def one_run(name: str, venvs: dict[str, str], calls: int, concurrency: int) -> Result | None:
    """Run a contestant against a fresh server, with an empty folder."""
    with (
        instant_server.running(SERVER_CORE) as url,
        tempfile.TemporaryDirectory(prefix="steep-clients-") as folder,
    ):
        command = command_of(name, venvs, url, Path(folder), calls, concurrency)
        cost = _measured(command, name, folder) if command else None
        served = instant_server.statistics(url)
    if cost is None:
        return None
    assert served.requests >= calls, f"{name} made {served.requests} of {calls} calls"
    result = Result(
        name,
        cost["version"],
        calls / cost["wall_s"],
        cost["cpu_s"] / calls * 1000,
        cost["peak_mb"],
        served.cpu_s / cost["wall_s"],
    )
    print(*result, sep="  ", file=sys.stderr, flush=True)
    return result


def command_of(
    name: str, venvs: dict[str, str], url: str, folder: Path, calls: int, concurrency: int
) -> list[str] | None:
    """How a contestant is run; None when there is no environment for it."""
    environment = environment_of(name)
    if environment != "steep" and environment not in venvs:
        print(f"{name}: left out, no --venv {environment}=...", file=sys.stderr)
        return None
    python = sys.executable if environment == "steep" else f"{venvs[environment]}/bin/python"
    command = [python, "-m", "benchmarks.generation.contestants", name, "--url", url]
    command += ["--folder", str(folder), "--core", str(CLIENT_CORE)]
    return [*command, "--calls", str(calls), "--concurrency", str(concurrency)]


def variables(folder: str) -> dict[str, str]:
    """The environment variables of a contestant: caches go into its own folder."""
    return {**os.environ, "HOME": folder, "OMP_NUM_THREADS": "1"}


def _measured(command: list[str], name: str, folder: str) -> dict[str, Any] | None:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=variables(folder)
    )
    if done.returncode:
        print(f"{name} failed:\n{done.stderr[-3000:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def report(results: list[Result]) -> str:
    """The table; its last column is Steep's calls per CPU second over those of the row."""
    steep = next((each for each in results if each.name == "steep"), None)
    rows = [
        (
            each.name,
            each.version,
            f"{each.calls_per_s:,.0f}",
            f"{each.cpu_s_per_1000:.3f}",
            f"{each.calls_per_cpu_s:,.0f}",
            f"{each.peak_mb:.0f}",
            f"{each.server_busy:.0%}",
            each.durable or "no",
            f"{steep.calls_per_cpu_s / each.calls_per_cpu_s:.1f} x" if steep else "-",
        )
        for each in results
    ]
    return table(COLUMNS, rows)


if __name__ == "__main__":
    main()
