"""A generation of 24 documents in bad weather, for the test that kills it."""

from __future__ import annotations

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
