"""Peak memory of a generation with 10,000 and with 1,000,000 planned calls.

    python -m benchmarks.generation.memory FOLDER [--small 10 --large 1000 --pairs 1000 --made 3000]

Both runs make the same number of real calls over HTTP against an instant server, so that what
differs is the plan alone. Two tests, since there are two ways to make few calls of a great plan:
the budget ends the run, when nearly all is left to do; or nearly all is in the ledger, and the
calls that lack are scattered over the whole plan (every document is opened). The plans have 1,000
calls a document, so a hundred times the calls are a hundred times the documents; the documents
themselves are held in memory, and their size is in the table.

Projects are made in FOLDER and kept for the next time; a million calls take minutes and 0.9 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.generation import filled_project, instant_server
from benchmarks.generation.measuring import conditions, measured, table
from steep.generation.scheduler import generate
from steep.ledger.budget import Budget
from steep.ledger.endpoint_worker import EndpointWorker
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient

TOKENS_PER_CALL = 1500  # as the instant server counts them
COLUMNS = (
    "test", "planned", "made", "documents, MB", "wall, s", "CPU, s", "peak MB", "more than small",
)  # fmt: skip


def run(folder: Path, url: str, most_calls: int | None) -> None:
    """In a fresh process: make calls, and print what that took."""
    filled = filled_project.opened(folder)
    budget = Budget(None if most_calls is None else most_calls * TOKENS_PER_CALL)

    async def make() -> int:
        client = OpenAIClient(f"{url}/v1", concurrency=filled.config.generate.concurrency)
        with Ledger(filled.project.ledger_path) as ledger:
            workers = [EndpointWorker(client)]
            report = await generate(filled.view(ledger), workers, budget=budget)
        await client.close()
        return report.totals.planned

    with measured() as cost:
        planned = asyncio.run(make())
    text_mb = sum(len(document.text) for document in filled.documents) / 1e6
    took = {"planned": planned, "text_mb": text_mb, "wall_s": cost.wall_s, "cpu_s": cost.cpu_s}
    print(json.dumps({**took, "peak_mb": cost.peak_mb}))


def fresh(folder: Path, most_calls: int | None) -> dict[str, Any]:
    """Run in a process that has done nothing else."""
    with instant_server.running() as url:
        command = [sys.executable, "-m", "benchmarks.generation.memory", str(folder)]
        command += ["--child", url] + ([] if most_calls is None else ["--most", str(most_calls)])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return {**found, "made": instant_server.statistics(url).requests}


def scattered(documents: int, pairs: int, number: int) -> Iterator[tuple[int, int]]:
    """So many places, evenly over the whole plan."""
    for place in range(number):
        yield divmod(place * documents * pairs // number, pairs)


def prepared(folder: Path, documents: int, pairs: int, finished: bool) -> filled_project.Filled:
    """A project; its openings are answered, and its calls, too, if it is `finished`."""
    if (folder / "steep.yaml").is_file():
        return filled_project.opened(folder)
    filled = filled_project.create(folder, documents, pairs)
    filled_project.fill(filled, finished)
    return filled


def main() -> None:
    """Run both tests with both plans, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", type=int, default=10, help="documents")
    parser.add_argument("--large", type=int, default=1000, help="documents")
    parser.add_argument("--pairs", type=int, default=1000, help="a document; 1,035 at most")
    parser.add_argument("--made", type=int, default=3000, help="real calls")
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run(options.folder, options.child, options.most)
        return
    print(conditions(["aiohttp"]), end="\n\n", flush=True)
    rows = []
    for finished, title in ((False, "budget ends it"), (True, "the rest is in the ledger")):
        small_mb: float | None = None
        for documents in (options.small, options.large):
            name = f"{'finished' if finished else 'begun'}-{documents}x{options.pairs}"
            filled = prepared(options.folder / name, documents, options.pairs, finished)
            if finished:
                filled_project.forget(filled, scattered(documents, options.pairs, options.made))
            found = fresh(filled.project.root, None if finished else options.made)
            small_mb = small_mb or found["peak_mb"]
            rows.append(row(title, found, small_mb))
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    print(table(COLUMNS, rows))


def row(title: str, found: dict[str, Any], small_mb: float) -> tuple[str, ...]:
    """A line of the table."""
    return (
        title,
        f"{found['planned']:,}",
        f"{found['made']:,}",
        f"{found['text_mb']:.1f}",
        f"{found['wall_s']:.1f}",
        f"{found['cpu_s']:.1f}",
        f"{found['peak_mb']:.1f}",
        f"{found['peak_mb'] / small_mb - 1:+.0%}",
    )


if __name__ == "__main__":
    main()
