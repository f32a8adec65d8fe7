"""What all measurements share: time, CPU and memory of this process, and the head of a report."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(slots=True)
class Cost:
    """What a stretch of work took. `peak_mb` is of the process since its start, in 10^6 bytes."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure a stretch of work: wall clock, CPU of this process and its ended children."""
    cost, start_s, start_cpu_s = Cost(), time.perf_counter(), cpu_s()
    yield cost
    cost.wall_s = time.perf_counter() - start_s
    cost.cpu_s = cpu_s() - start_cpu_s
    cost.peak_mb = peak_mb()


def cpu_s() -> float:
    """User and system seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def peak_mb() -> float:
    """The largest resident set of this process so far, or of one of its ended children."""
    status = Path("/proc/self/status").read_text()
    own_kib = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    children_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(own_kib), children_kib) * 1024 / 1e6


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def conditions(packages: Sequence[str] = ()) -> str:
    """Date, commit, hardware and versions, as Markdown."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    versions = ", ".join(f"{name} {version_of(name)}" for name in packages)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return "\n".join(
        [
            f"`{' '.join(['python -m', *_module_and_arguments()])}`",
            "",
            f"- {now}, commit {_commit()}",
            f"- {os.cpu_count()} x {_processor()}, load before {load}",
            f"- Python {platform.python_version()}" + (f", {versions}" if versions else ""),
        ]
    )


def version_of(package: str) -> str:
    """The installed version of a package, or a dash."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _module_and_arguments() -> list[str]:
    spec = sys.modules["__main__"].__spec__
    return [spec.name if spec else sys.argv[0], *sys.argv[1:]]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
