"""How long it takes to open a ledger of a million finished calls and to find the first call to do.

    python -m benchmarks.generation.ledger_size FOLDER [--documents 1000 --pairs 1000]

The folder is made if it is not there (a project with 1,001,000 calls; minutes, 0.9 GB) and kept for
the next time. Then one call is taken out, at a random place, at the very end, or none; and
processes that know nothing open the ledger as a writer and look for the first call to do. "Cold"
means that the operating system has let go of the file. `steep status` is timed, too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.generation import filled_project
from benchmarks.generation.measuring import conditions, measured, table
from steep.generation.work_queue import missing
from steep.ledger.ledger import Ledger

COLUMNS = ("first call to do", "file", "open, s", "find, s", "totals, s", "steep status, s")


def find_first(folder: Path) -> None:
    """In a fresh process: open, find the first call to do, sum up; print the seconds of each."""
    filled = filled_project.opened(folder)
    times = [time.perf_counter()]
    with Ledger(filled.project.ledger_path) as ledger:
        times.append(time.perf_counter())
        first = next(missing(filled.view(ledger)), None)
        times.append(time.perf_counter())
        found = filled.view(ledger).totals()
        times.append(time.perf_counter())
    seconds = [after - before for before, after in itertools.pairwise(times)]
    place = [first.call.document_id, first.slot.rank] if first and first.slot else None
    print(json.dumps({"seconds": seconds, "first": place, "to_do": found.to_do}))


def fresh(*arguments: str) -> tuple[str, float]:
    """Run a Python module in a fresh process; returns what it prints, and its seconds in all."""
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{arguments}:\n{done.stderr}")
    return done.stdout, time.perf_counter() - start_s


def measure(
    filled: filled_project.Filled, title: str, place: tuple[int, int] | None, cold: bool
) -> tuple[str, ...]:
    """One row of the table."""
    folder = filled.project.root
    if cold:
        filled_project.drop_from_memory(filled.project.ledger_path)
    printed, _ = fresh("benchmarks.generation.ledger_size", str(folder), "--child")
    found: dict[str, Any] = json.loads(printed)
    assert found["to_do"] == (place is not None), found
    if place is not None:
        document, rank = place
        assert found["first"] == [filled.documents[document].id, rank], found
    if cold:
        filled_project.drop_from_memory(filled.project.ledger_path)
    _, status_s = fresh("steep", "status", "-c", str(folder / "steep.yaml"))
    seconds = [f"{each:.2f}" for each in (*found["seconds"], status_s)]
    return (title, "cold" if cold else "in memory", *seconds)


def put_back(filled: filled_project.Filled, place: tuple[int, int]) -> None:
    """Record a call that was taken out."""
    number, _ = place
    one = filled_project.Filled(
        filled.config,
        filled.project,
        filled.documents[number : number + 1],
        filled.recipe,
        filled.names,
    )
    filled_project.fill_missing(one)


def main() -> None:
    """Fill the ledger if need be, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=1000, help="a document; 1,035 at most")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        find_first(options.folder)
        return
    print(conditions(), flush=True)
    filled = prepare(options.folder, options.documents, options.pairs)
    size_mb = filled.project.ledger_path.stat().st_size / 1e6
    print(f"- {len(filled.documents):,} documents, a ledger of {size_mb:,.0f} MB\n", flush=True)
    last = (len(filled.documents) - 1, options.pairs - 1)
    anywhere = (random.randrange(len(filled.documents)), random.randrange(options.pairs))
    rows = []
    for title, place in (("none", None), ("at random", anywhere), ("the last one", last)):
        if place is not None:
            filled_project.forget(filled, [place])
        rows += [measure(filled, title, place, cold) for cold in (True, False)]
        if place is not None:
            put_back(filled, place)
    print(table(COLUMNS, rows))


def prepare(folder: Path, documents: int, pairs: int) -> filled_project.Filled:
    """Open the project, and make and fill it first if it is not there."""
    if (folder / "steep.yaml").is_file():
        return filled_project.opened(folder)
    filled = filled_project.create(folder, documents, pairs)
    with measured() as cost:
        recorded = filled_project.fill(filled)
    print(
        f"- recorded {recorded:,} calls in {cost.wall_s:.0f} s, {cost.cpu_s:.0f} s of CPU: "
        f"{recorded / cost.wall_s:,.0f} calls/s",
        flush=True,
    )
    return filled


if __name__ == "__main__":
    main()
