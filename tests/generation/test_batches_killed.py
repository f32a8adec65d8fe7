"""`kill -9` at every step of a batch, and at random: nothing is lost or paid for twice."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import batch_worker
import pytest
from forked import ForkServer
from toy import view_of

from scripted_batches import BatchBehaviour, BatchServer, Moment
from steep.generation.batch.runner import collect
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient
from steep.testing.script import Behaviour, Script

pytest_plugins = ["fork_fixtures"]

CALLS = 5 * 21  # of the plan: the entities and twenty pairs of each document


def texts(path: Path) -> list[tuple[str, str] | None]:
    with Ledger(path, read_only=True) as ledger:
        return [
            (r.status, r.text) if r else None
            for _, r in view_of(batch_worker.FIVE, batch_worker.RECIPE, ledger).walk()
        ]


@pytest.mark.parametrize(
    ("moment", "after"),
    [
        ("upload", False),
        ("upload", True),
        ("create", False),
        ("create", True),
        ("get", True),
        ("content", False),
    ],
)
def test_kill_9_at_every_step_of_a_batch(
    tmp_path: Path, moment: Moment, after: bool, forks: ForkServer
) -> None:
    path = tmp_path / "ledger.db"
    behaviour = Behaviour(rate_limited=0.1, truncated=0.1)
    with BatchServer(Script(2, behaviour)) as server:
        hold = {"hold_after": moment} if after else {"hold_before": moment}
        server.batches.behaviour = BatchBehaviour(**hold)  # type: ignore[arg-type]
        process = forks.start("batch_worker", server.base_url, path)
        assert server.batches.held.wait(20)
        process.kill()
        server.batches.behaviour = BatchBehaviour(expiring=1)
        asyncio.run(batch_worker.run(server.base_url, path))
        assert len(server.completed) == server.completed.total() == CALLS
    assert None not in texts(path)


def test_kill_9_at_random_moments_loses_and_repeats_nothing(
    tmp_path: Path, forks: ForkServer
) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed.db", tmp_path / "disturbed.db"
    script = Script(2, Behaviour(rate_limited=0.1, server_error=0.1, truncated=0.1, refusing=0.1))
    with BatchServer(script) as server:
        asyncio.run(batch_worker.run(server.base_url, undisturbed))
    rng = random.Random(7)
    with BatchServer(script) as server:
        server.batches.behaviour = BatchBehaviour(polls=3, expiring=2, troubled=0.1)
        kills = 0
        for _ in range(6):
            process, requests = (
                forks.start("batch_worker", server.base_url, disturbed),
                server.batches.requests.total(),
            )
            enough = requests + rng.randint(1, 9)
            while server.batches.requests.total() < enough and process.running():
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.01))
            kills += process.kill() == -signal.SIGKILL
        assert kills > 2
        asyncio.run(batch_worker.run(server.base_url, disturbed))
        assert len(server.completed) == server.completed.total() == CALLS
    assert texts(disturbed) == texts(undisturbed)


def test_another_engine_goes_on_where_a_killed_one_was(tmp_path: Path, forks: ForkServer) -> None:
    path = tmp_path / "ledger.db"
    with BatchServer(Script(2)) as server:
        server.batches.behaviour = BatchBehaviour(hold_after="create")
        process = forks.start("batch_worker", server.base_url, path)
        assert server.batches.held.wait(20)
        process.kill()
        server.batches.behaviour = BatchBehaviour(polls=2)
        assert [asyncio.run(collect_and_complete(server, path)) for _ in range(3)] == [0, 0, 5]
        assert len(server.completed) == server.completed.total() == CALLS
        assert server.batches.sizes == [5]
    assert None not in texts(path)


async def collect_and_complete(server: BatchServer, path: Path) -> int:
    """What a run of the chat API does; return how many calls it has collected."""
    client = batch_worker.quick_client(server.base_url)
    worker = EndpointWorker(OpenAIClient(server.base_url))
    with Ledger(path) as ledger:
        try:
            collected = await collect(client, ledger)
            await generate(view_of(batch_worker.FIVE, batch_worker.RECIPE, ledger), [worker])
        finally:
            await client.close()
            await worker.client.close()
    return collected
