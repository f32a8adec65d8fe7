"""What the tests of batches share: runs of both engines against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from batch_worker import FIVE, quick_client
from toy import toy_recipe, view_of

from scripted_batches import BatchServer
from steep.documents.document import Document
from steep.generation.batch.runner import collect, generate_in_batches
from steep.generation.progress import GenerationReport
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe

RECIPE = toy_recipe(pairs=10)
PRICES = Prices(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=1.0)
CALLS = 5 * 11  # of the plan: a list of entities and ten pairs of each document


def make(
    server: BatchServer,
    ledger: Ledger,
    *,
    most_requests: int = 1000,
    most_bytes: int = 10**8,
    prices: Prices | None = None,
    documents: Sequence[Document] = FIVE,
    recipe: Recipe = RECIPE,
    **options: Any,
) -> GenerationReport:
    async def run() -> GenerationReport:
        client = quick_client(server.base_url, most_requests)
        client.most_bytes = most_bytes
        client.prices = prices or Prices()
        try:
            return await generate_in_batches(
                view_of(documents, recipe, ledger), client, **{"poll_s": 0.001, **options}
            )
        finally:
            await client.close()

    return asyncio.run(run())


def online(server: BatchServer, ledger: Ledger, collected: list[int]) -> None:
    """What a run of the other engine does: collect once, then complete the rest itself."""

    async def run() -> None:
        client, worker = (
            quick_client(server.base_url),
            EndpointWorker(OpenAIClient(server.base_url)),
        )
        try:
            collected.append(await collect(client, ledger))
            await generate(view_of(FIVE, RECIPE, ledger), [worker])
        finally:
            await client.close()
            await worker.client.close()

    asyncio.run(run())


def texts(ledger: Ledger) -> list[tuple[str, str] | None]:
    return [(r.status, r.text) if r else None for _, r in view_of(FIVE, RECIPE, ledger).walk()]


def closed(ledger: Ledger) -> list[str | None]:
    """How the batches ended, oldest first."""
    return [batch.note for batch in ledger.batches(open_only=False)]


def paid_once(server: BatchServer, calls: int = CALLS) -> bool:
    return len(server.completed) == server.completed.total() == calls


def batches_of(server: BatchServer) -> list[tuple[int, str]]:
    return list(zip(server.batches.sizes, server.batches.statuses, strict=True))


async def look(server: BatchServer) -> None:
    client = quick_client(server.base_url)
    try:
        await client.get("batch_0")
    finally:
        await client.close()
