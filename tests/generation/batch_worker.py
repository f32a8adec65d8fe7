"""A generation by batches, for tests that kill it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from toy import TINY, toy_recipe, view_of

from steep.generation.batch.runner import generate_in_batches
from steep.generation.progress import GenerationReport
from steep.ledger.ledger import Ledger
from steep.llm.openai_batch import BatchClient

RECIPE = toy_recipe(pairs=20)
FIVE = (*TINY, *(replace(each, id=f"{each.id}-2", title="Again") for each in TINY[:2]))


def quick_client(base_url: str, most_requests: int = 45) -> BatchClient:
    """A client that hardly waits."""
    return BatchClient(base_url, pause_s=0.001, settle_s=0.0, most_requests=most_requests)


async def run(base_url: str, path: Path) -> GenerationReport:
    client = quick_client(base_url)
    with Ledger(path) as ledger:
        try:
            return await generate_in_batches(view_of(FIVE, RECIPE, ledger), client, poll_s=0.005)
        finally:
            await client.close()
