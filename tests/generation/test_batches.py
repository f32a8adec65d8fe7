from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from batch_setup import (
    CALLS,
    PRICES,
    RECIPE,
    closed,
    make,
    online,
    paid_once,
    texts,
)
from batch_worker import FIVE, quick_client
from toy import toy_recipe, view_of

from scripted_batches import BatchBehaviour, BatchServer
from steep.documents.document import Document
from steep.generation.batch.runner import cancel_all, collect, generate_in_batches
from steep.generation.progress import GenerationProgress, StopRequest
from steep.ledger.budget import Budget
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.llm.dialect import Dialect
from steep.llm.openai_batch_wire import request_line
from steep.testing.script import Behaviour, Script


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(Script(3)) as server:
        yield server


def test_everything_is_made_once_by_two_batches(server: BatchServer, ledger: Ledger) -> None:
    report = make(server, ledger, prices=PRICES)
    found = report.totals
    assert (found.planned, found.done, report.batches, report.stopped) == (CALLS, CALLS, 0, False)
    assert server.batches.sizes == [5, 50]
    assert paid_once(server)
    assert found.cost_usd is not None and found.cost_usd > 0
    assert found.usage.completion_tokens > 0
    assert closed(ledger) == [f"completed: {n} answered, 0 failed" for n in (5, 50)]
    assert make(server, ledger).totals == found
    assert server.batches.requests["create"] == 2


def test_the_texts_are_those_of_the_chat_api(
    server: BatchServer, ledger: Ledger, tmp_path: Path
) -> None:
    endings = Behaviour(truncated=0.1, refusing=0.1, empty=0.1)
    with BatchServer(Script(3, endings)) as odd:
        found = make(odd, ledger).totals
        with Ledger(tmp_path / "online.db") as other:
            online(odd, other, [])
            assert texts(ledger) == texts(other)
            assert found.counts == view_of(FIVE, RECIPE, other).totals().counts
    assert found.truncated and found.refused and found.empty
    assert found.to_do == found.failed == 0


def test_batches_are_cut_at_the_limit_of_calls(server: BatchServer, ledger: Ledger) -> None:
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.sizes == [5, 20, 20, 10]
    assert paid_once(server)


def test_batches_are_cut_at_the_limit_of_bytes(server: BatchServer, ledger: Ledger) -> None:
    (first, *_) = view_of(FIVE, RECIPE, ledger).walk()
    most_bytes = 6 * len(request_line(first.call, Dialect()))
    assert make(server, ledger, most_bytes=most_bytes).totals.done == CALLS
    uploads = [server.batches.files[f"file-{n}"] for n in range(len(server.batches.files))]
    requests = [content for content in uploads if b'"method"' in content]
    assert all(len(content) <= most_bytes for content in requests)
    assert 8 <= len(requests) < 16
    assert paid_once(server)


def test_a_request_larger_than_a_batch_is_skipped(server: BatchServer, ledger: Ledger) -> None:
    giant = Document("giant", "Giant", "The Quillon Ferry sank. " * 2000)
    found = make(server, ledger, documents=(*FIVE, giant), most_bytes=20_000).totals
    assert (found.skipped, found.done) == (2, CALLS)  # two attempts at its entities
    assert "bytes, a batch at most 20,000" in found.failures[0].reason


def test_calls_that_two_documents_share_are_paid_once(server: BatchServer, ledger: Ledger) -> None:
    twins = (*FIVE, replace(FIVE[0]))
    found = make(server, ledger, documents=twins, most_requests=7).totals
    assert (found.planned, found.done) == (6 * 11, 6 * 11)
    assert paid_once(server)


def test_without_waiting_a_run_submits_and_the_next_ones_collect(
    server: BatchServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=4)
    seen = []
    for _ in range(20):
        report = make(server, ledger, most_requests=20, wait=False)
        seen.append((report.totals.done, report.totals.submitted, report.batches))
        if report.totals.done == CALLS:
            break
    assert seen[0] == (0, 5, 1)
    assert (5, 50, 3) in seen
    assert seen[-1] == (CALLS, 0, 0)
    assert server.batches.sizes == [5, 20, 20, 10]
    assert paid_once(server)


def test_what_an_earlier_run_submitted_is_held_back_from_the_budget(
    server: BatchServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=5)
    make(server, ledger, wait=False)
    budget = Budget(max_tokens=10)
    held = []

    def watch(progress: GenerationProgress) -> None:
        held.append(budget.reserved_tokens)

    report = make(server, ledger, budget=budget, on_progress=watch)
    assert max(held) > 1000
    assert budget.reserved_tokens == 0
    assert (report.totals.done, report.over_budget) == (5, True)
    assert server.batches.sizes == [5]


def test_progress_adds_up(server: BatchServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(polls=3)
    seen: list[GenerationProgress] = []
    make(server, ledger, prices=PRICES, on_progress=seen.append)
    assert [p.phase for p in seen] == sorted(p.phase for p in seen)
    assert {(p.batches, p.in_flight) for p in seen} >= {(0, 0), (1, 5), (1, 50)}
    assert seen[-1].new == CALLS and seen[-1].new_failed == 0
    found = view_of(FIVE, RECIPE, ledger).totals()
    assert seen[-1].new_tokens == found.usage.completion_tokens
    assert seen[-1].new_cost_usd == pytest.approx(found.cost_usd)


@pytest.mark.parametrize("step", ["drain", "abort"])
def test_ctrl_c_leaves_the_batches_at_the_provider(
    server: BatchServer, ledger: Ledger, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=10**9)
    stop = StopRequest()

    def press(progress: GenerationProgress) -> None:
        if progress.batches and not stop.draining:
            getattr(stop, step)()

    with caplog.at_level(logging.INFO):
        report = make(server, ledger, stop=stop, on_progress=press, poll_s=60.0)
    assert (report.stopped, report.totals.submitted, report.batches) == (True, 5, 1)
    assert "1 batch with 5 calls; the same command collects" in caplog.text
    server.batches.behaviour = BatchBehaviour()
    assert make(server, ledger).totals.done == CALLS
    assert paid_once(server)


def test_cancelling_the_task_loses_nothing(server: BatchServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(polls=10**9)

    async def run() -> None:
        client = quick_client(server.base_url)
        making = generate_in_batches(view_of(FIVE, RECIPE, ledger), client, poll_s=60.0)
        try:
            await asyncio.wait_for(making, timeout=0.3)
        finally:
            await client.close()

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    server.batches.behaviour = BatchBehaviour()
    assert make(server, ledger).totals.done == CALLS
    assert paid_once(server)


def test_another_engine_collects_what_has_ended(server: BatchServer, ledger: Ledger) -> None:
    make(server, ledger, recipe=toy_recipe(pairs=0))
    server.batches.behaviour = BatchBehaviour(expiring=1)
    # Half of the plan by batches, in two of which one will expire.
    make(server, ledger, recipe=toy_recipe(pairs=5), most_requests=13, wait=False)
    collected: list[int] = []
    online(server, ledger, collected)
    assert view_of(FIVE, RECIPE, ledger).totals().submitted == 12
    online(server, ledger, collected)
    assert collected == [6, 12]  # half of the first batch, and then all of the second
    assert view_of(FIVE, RECIPE, ledger).totals().done == CALLS
    assert paid_once(server)


def test_what_another_engine_collects_counts_against_its_budget(
    server: BatchServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=3)
    make(server, ledger, recipe=toy_recipe(pairs=0))
    make(server, ledger, most_requests=30, wait=False)
    spent_before = view_of(FIVE, RECIPE, ledger).totals().usage
    budget = Budget(10**9, spent_tokens=spent_before.prompt_tokens + spent_before.completion_tokens)

    async def look() -> int:
        client = quick_client(server.base_url)
        try:
            return await collect(client, ledger, budget)
        finally:
            await client.close()

    completed = [asyncio.run(look()) for _ in range(2)]
    assert completed == [0, 30]
    usage = view_of(FIVE, RECIPE, ledger).totals().usage
    assert budget.spent_tokens == usage.prompt_tokens + usage.completion_tokens
    assert budget.reserved_tokens > 20 * 2048  # twenty calls are still there


def test_another_engine_leaves_what_is_under_way(server: BatchServer, ledger: Ledger) -> None:
    make(server, ledger, recipe=toy_recipe(pairs=0))
    server.batches.behaviour = BatchBehaviour(polls=30)
    make(server, ledger, recipe=toy_recipe(pairs=5), most_requests=20, wait=False)
    collected: list[int] = []
    online(server, ledger, collected)
    found = view_of(FIVE, RECIPE, ledger).totals()
    assert collected == [0]
    assert (found.done, found.submitted, found.to_do) == (30, 25, 25)
    assert make(server, ledger).totals.done == CALLS
    assert paid_once(server)


def test_what_another_engine_did_is_not_submitted(server: BatchServer, ledger: Ledger) -> None:
    online(server, ledger, [])
    assert make(server, ledger).totals.done == CALLS
    assert server.batches.requests.total() == 0


def test_batches_of_another_provider_are_left_alone(server: BatchServer, ledger: Ledger) -> None:
    elsewhere = SubmittedBatch(
        "t", "https://elsewhere.example/v1", "in_progress", 3, "2026-01-01", "b1"
    )
    ledger.update_batch(elsewhere)
    assert make(server, ledger).totals.done == CALLS
    assert ledger.batches() == [elsewhere]


def test_open_batches_are_cancelled_and_their_answers_kept(
    server: BatchServer, ledger: Ledger
) -> None:
    make(server, ledger, recipe=toy_recipe(pairs=0))
    make(server, ledger, wait=False)

    async def run() -> tuple[int, int]:
        client = quick_client(server.base_url)
        try:
            return await cancel_all(client, ledger), await collect(client, ledger)
        finally:
            await client.close()

    assert asyncio.run(run()) == (1, 25)
    found = view_of(FIVE, RECIPE, ledger).totals()
    assert (found.done, found.to_do, found.submitted) == (30, 25, 0)
