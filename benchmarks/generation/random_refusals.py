"""Answers per second while a server refuses a share of all requests at random, whatever the load.

    PYTHONPATH=src python -m benchmarks.generation.random_refusals [--seconds 10]

A loopback server takes 0.5 s for each answer; the client may have 64 calls in flight, so at most
128 answers per second are possible. Rates are those of the steady part, from the fourth second on.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.progress import StopRequest
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient
from steep.recipes.entigraph import EntiGraphOptions, entigraph
from steep.recipes.recipe import Writer
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

SHARES = (0.0, 0.02, 0.05)
CONCURRENCY, DELAY_S, WARMUP_S = 64, 0.5, 4.0
DOCUMENTS = [
    Document(
        f"d{number}",
        f"Title {number}",
        f"Day {number}. Ada Lake and Bo Tessel and Cy Ferry met Dan Hask at the Quillon Ferry. "
        "Edda Varnholt rowed to Tessel Island with Joren Pell.",
    )
    for number in range(60)
]
OPTIONS = EntiGraphOptions(pairs="all", triplets="all")
RECIPE = entigraph("entigraph", OPTIONS, Writer("scripted"))


def main() -> None:
    """Print one line per share of refusals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    undisturbed = 0.0
    for share in SHARES:
        rate, refused = measure(share, options.seconds)
        undisturbed = undisturbed or rate
        print(
            f"{share:.0%} refused at random: {rate:.1f} answers/s, {rate / undisturbed:.0%} of the "
            f"undisturbed rate; {refused} refusals",
            flush=True,
        )


def measure(share: float, seconds: float) -> tuple[float, int]:
    """Return answers per second in the steady part, and how many requests were refused."""
    behaviour = Behaviour(delay_s=DELAY_S, rate_limited=share)
    marks: list[int] = []
    with ScriptedServer(Script(3, behaviour)) as server, tempfile.TemporaryDirectory() as folder:

        def mark() -> None:
            marks.append(server.completed.total())

        async def run() -> None:
            client = OpenAIClient(server.base_url, concurrency=CONCURRENCY)
            stop, loop = StopRequest(), asyncio.get_running_loop()
            loop.call_later(WARMUP_S, mark)
            loop.call_later(seconds, mark)
            loop.call_later(seconds, stop.drain)
            try:
                with Ledger(Path(folder) / "ledger.db") as ledger:
                    worker = EndpointWorker(client, RetryPolicy())
                    await generate(PlanView(DOCUMENTS, (RECIPE,), ledger), [worker], stop=stop)
            finally:
                await client.close()

        asyncio.run(run())
        return (marks[1] - marks[0]) / (seconds - WARMUP_S), sum(server.accidents.values())


if __name__ == "__main__":
    main()
