"""Generations in processes of their own, for the test that kills them: BASE_URL LEDGER.

Every line on standard input starts one; its process id is printed, and then its exit code. They are
forked from a process that has imported everything: twenty-five starts of Python would take longer
than the storm.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from toy import TINY, toy_recipe, view_of

from steep.generation.progress import GenerationReport
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient

CONCURRENCY = 8
RECIPE = toy_recipe(pairs=60)
DOCUMENTS = tuple(
    replace(document, id=f"{document.id}-{edition}", title=f"{document.title}, edition {edition}")
    for edition in range(8)
    for document in TINY
)
POLICY = RetryPolicy(max_attempts=12, total_s=60.0, pause_s=0.002)


async def run(base_url: str, path: Path) -> GenerationReport:
    client = OpenAIClient(base_url, concurrency=CONCURRENCY, timeout_s=1.0)
    with Ledger(path) as ledger:
        try:
            workers = [EndpointWorker(client, POLICY)]
            return await generate(view_of(DOCUMENTS, RECIPE, ledger), workers, salvage_rounds=2)
        finally:
            await client.close()


def serve(base_url: str, path: Path) -> None:
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(run(base_url, path))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
