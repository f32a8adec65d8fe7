"""A whole generation for the test that kills it."""

from __future__ import annotations

from pathlib import Path

from toy import TINY, toy_recipe, view_of

from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient

CONCURRENCY = 4
RECIPE = toy_recipe(pairs=60)


async def run(base_url: str, path: Path) -> None:
    client = OpenAIClient(base_url, concurrency=CONCURRENCY)
    worker = EndpointWorker(client, RetryPolicy(max_attempts=12, pause_s=0.001))
    with Ledger(path) as ledger:
        try:
            await generate(view_of(TINY, RECIPE, ledger), [worker])
        finally:
            await client.close()
