from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_worker import FIVE, quick_client
from toy import ToyRecipe

from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.batches import (
    BatchProgress,
    BatchReport,
    cancel_all,
    collect,
    generate_in_batches,
)
from steep.generation.budget import Budget
from steep.generation.lane import Lane
from steep.generation.ledger import Ledger
from steep.generation.plan import totals, walk
from steep.generation.records import Batch
from steep.generation.scheduler import Stop, generate
from steep.llm.openai import OpenAIClient
from steep.llm.openai_batch_wire import request_line
from steep.llm.openai_wire import Dialect
from steep.llm.prices import Prices
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_batches import BatchBehaviour
from steep.testing.scripted_server import ScriptedServer

RECIPE = ToyRecipe(pairs=10)
PRICES = Prices(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=1.0)
CALLS = 5 * 11  # of the plan: an opening and ten pairs of each document


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(Script(3)) as server:
        yield server


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def make(
    server: ScriptedServer,
    ledger: Ledger,
    *,
    most_requests: int = 1000,
    most_bytes: int = 10**8,
    prices: Prices | None = None,
    documents: Sequence[Document] = FIVE,
    recipe: ToyRecipe = RECIPE,
    **options: Any,
) -> BatchReport:
    async def run() -> BatchReport:
        client = quick_client(server.base_url, most_requests)
        client.most_bytes = most_bytes
        client.prices = prices or Prices()
        try:
            return await generate_in_batches(
                documents, recipe, client, ledger, **{"poll_s": 0.001, **options}
            )
        finally:
            await client.close()

    return asyncio.run(run())


def online(server: ScriptedServer, ledger: Ledger, collected: list[int]) -> None:
    """What a run of the other lane does: collect once, then complete the rest itself."""

    async def run() -> None:
        client, lane = quick_client(server.base_url), Lane(OpenAIClient(server.base_url))
        try:
            collected.append(await collect(client, ledger))
            await generate(FIVE, RECIPE, [lane], ledger)
        finally:
            await client.close()
            await lane.client.close()

    asyncio.run(run())


def texts(ledger: Ledger) -> list[tuple[str, str] | None]:
    return [(r.status, r.text) if r else None for _, r in walk(FIVE, RECIPE, ledger)]


def closed(ledger: Ledger) -> list[str | None]:
    """How the batches ended, oldest first."""
    return [batch.note for batch in ledger.batches(open_only=False)]


def bought_once(server: ScriptedServer, calls: int = CALLS) -> bool:
    return len(server.completed) == server.completed.total() == calls


def test_everything_is_made_once_by_two_batches(server: ScriptedServer, ledger: Ledger) -> None:
    report = make(server, ledger, prices=PRICES)
    found = report.totals
    assert (found.planned, found.done, report.batches, report.stopped) == (CALLS, CALLS, 0, False)
    assert server.batches.sizes == [5, 50]
    assert bought_once(server)
    assert found.cost_usd is not None and found.cost_usd > 0
    assert found.usage.completion_tokens > 0
    assert closed(ledger) == [f"completed: {n} answered, 0 failed" for n in (5, 50)]
    assert make(server, ledger).totals == found
    assert server.batches.requests["create"] == 2


def test_the_texts_are_those_of_the_online_lane(
    server: ScriptedServer, ledger: Ledger, tmp_path: Path
) -> None:
    endings = Behaviour(truncated=0.1, refusing=0.1, empty=0.1)
    with ScriptedServer(Script(3, endings)) as odd:
        found = make(odd, ledger).totals
        with Ledger(tmp_path / "online.db") as other:
            online(odd, other, [])
            assert texts(ledger) == texts(other)
            assert found.counts == totals(FIVE, RECIPE, other).counts
    assert found.truncated and found.refused and found.empty
    assert found.to_do == found.failed == 0


def test_batches_are_cut_at_the_limit_of_calls(server: ScriptedServer, ledger: Ledger) -> None:
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.sizes == [5, 20, 20, 10]
    assert bought_once(server)


def test_batches_are_cut_at_the_limit_of_bytes(server: ScriptedServer, ledger: Ledger) -> None:
    (first, *_) = walk(FIVE, RECIPE, ledger)
    most_bytes = 6 * len(request_line(first.call, Dialect()))
    assert make(server, ledger, most_bytes=most_bytes).totals.done == CALLS
    uploads = [server.batches.files[f"file-{n}"] for n in range(len(server.batches.files))]
    requests = [content for content in uploads if b'"method"' in content]
    assert all(len(content) <= most_bytes for content in requests)
    assert 8 <= len(requests) < 16
    assert bought_once(server)


def test_a_request_larger_than_a_batch_is_skipped(server: ScriptedServer, ledger: Ledger) -> None:
    giant = Document("giant", "Giant", "The Quillon Ferry sank. " * 2000)
    found = make(server, ledger, documents=(*FIVE, giant), most_bytes=20_000).totals
    assert (found.skipped, found.done) == (2, CALLS)  # two tries of its opening
    assert "bytes, a batch at most 20,000" in found.failures[0].reason


def test_calls_that_two_documents_share_are_bought_once(
    server: ScriptedServer, ledger: Ledger
) -> None:
    twins = (*FIVE, replace(FIVE[0]))
    found = make(server, ledger, documents=twins, most_requests=7).totals
    assert (found.planned, found.done) == (6 * 11, 6 * 11)
    assert bought_once(server)


def test_what_an_expired_batch_has_answered_is_kept(server: ScriptedServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(expiring=3)
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.statuses[:4] == ["expired", "expired", "expired", "completed"]
    assert server.batches.sizes == [5, 3, 2, 1, 20, 20, 10]  # each time half of the openings
    assert bought_once(server)


def test_calls_that_fail_in_passing_go_out_again(tmp_path: Path) -> None:
    trouble = Behaviour(rate_limited=0.2, server_error=0.2)
    with ScriptedServer(Script(3, trouble)) as server, Ledger(tmp_path / "l.db") as ledger:
        found = make(server, ledger, max_attempts=20).totals
        attempts = [r.completion.attempts for _, r in walk(FIVE, RECIPE, ledger) if r]
        assert found.done == CALLS
        assert bought_once(server)
        assert sum(attempts) == server.requests.total() > CALLS


def test_calls_that_fail_too_often_have_failed(tmp_path: Path) -> None:
    with (
        ScriptedServer(Script(3)) as server,
        Ledger(tmp_path / "l.db") as ledger,
    ):
        make(server, ledger, recipe=ToyRecipe(pairs=0))
        server.script = Script(3, Behaviour(rate_limited=1.0))
        found = make(server, ledger, max_attempts=3).totals
        assert (found.done, found.failed) == (5, 50)
        assert found.failures[0].reason.startswith("HTTP 429: ")
        assert server.requests.total() == 5 + 3 * 50
        server.script = Script(3)
        assert make(server, ledger, max_attempts=3).totals.done == CALLS
        assert bought_once(server)


def test_a_failed_opening_stops_its_document_only_for_this_run(tmp_path: Path) -> None:
    hopeless = Behaviour(context_tokens=50)
    with ScriptedServer(Script(3, hopeless)) as server, Ledger(tmp_path / "l.db") as ledger:
        found = make(server, ledger).totals
        assert (found.failed, found.planned, len(found.unopened)) == (5, 5, 5)
        assert "maximum context length" in found.failures[0].reason
        server.script = Script(3)
        assert make(server, ledger).totals.done == CALLS


def test_calls_without_a_word_go_out_again(server: ScriptedServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(silent=2)
    found = make(server, ledger, max_attempts=2).totals
    # The first two calls of every batch are in no file, so of each round two are left.
    assert (found.failed, found.done) == (4, 3 + 28)
    assert found.failures[0].reason.startswith("the batch ended without a word")


def test_a_server_that_wants_other_words_gets_them(tmp_path: Path) -> None:
    plain = Behaviour(structured_output="none")
    with ScriptedServer(Script(3, plain)) as server, Ledger(tmp_path / "l.db") as ledger:
        assert make(server, ledger).totals.done == CALLS
        # json_schema and json_object are refused, free of charge; the third try is without.
        assert server.batches.sizes == [5, 5, 5, 50]


def test_batches_of_other_words_are_read_as_they_were_phrased(tmp_path: Path) -> None:
    plain = Behaviour(structured_output="none")
    with ScriptedServer(Script(3, plain)) as server, Ledger(tmp_path / "l.db") as ledger:
        for expected in (5, 5, 5):  # each run forgets what the one before has learnt
            assert make(server, ledger, wait=False).totals.submitted == expected
            make(server, ledger, wait=False, documents=())
            make(server, ledger, wait=False, documents=())
        assert make(server, ledger).totals.done == CALLS


def test_a_refused_batch_stops_the_run_and_says_why(server: ScriptedServer, ledger: Ledger) -> None:
    refusal = ("invalid_request", "Line 1 is odd.")
    server.batches.behaviour = BatchBehaviour(refusing=1, refusal=refusal)
    with pytest.raises(UserError, match=r"line 1: Line 1 is odd\. \(invalid_request\)"):
        make(server, ledger)
    assert totals(FIVE, RECIPE, ledger).to_do == 5
    assert totals(FIVE, RECIPE, ledger).submitted == 0
    assert make(server, ledger).totals.done == CALLS


def test_an_unknown_model_stops_the_run_before_the_second_batch(tmp_path: Path) -> None:
    other = Behaviour(model="another")
    with ScriptedServer(Script(3, other)) as server, Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(UserError, match="'toy' is not known here"):
            make(server, ledger, most_requests=2)
        assert server.batches.sizes == [2]
        found = totals(FIVE, RECIPE, ledger)
        assert (found.planned, found.to_do, found.submitted) == (5, 5, 0)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Behaviour(api_key="other"), "does not accept the key"),
        (Behaviour(out_of_quota=True), "no quota or money left"),
    ],
)
def test_what_concerns_every_call_stops_the_run(
    tmp_path: Path, behaviour: Behaviour, words: str
) -> None:
    with ScriptedServer(Script(3, behaviour)) as server, Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(UserError, match=words):
            make(server, ledger)
        found = totals(FIVE, RECIPE, ledger)
        assert (found.to_do, found.submitted) == (5, 0)


def test_money_that_ends_in_a_batch_stops_the_run_and_keeps_the_answers(tmp_path: Path) -> None:
    short = Behaviour(credit_calls=7)
    with ScriptedServer(Script(3, short)) as server, Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(UserError, match="no quota or money left"):
            make(server, ledger)
        found = totals(FIVE, RECIPE, ledger)
        assert (found.done, found.to_do, found.failed, found.submitted) == (7, 48, 0, 0)
        server.script = Script(3)
        assert make(server, ledger).totals.done == CALLS
        assert bought_once(server)


def test_a_full_queue_is_waited_for(server: ScriptedServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(queue_calls=25, polls=6)
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    taken = [size for size, status in _batches(server) if status == "completed"]
    assert sorted(taken) == [5, 10, 20, 20]
    refused = [size for size, status in _batches(server) if status == "failed"]
    assert refused, "no batch met a full queue"
    # It waits with its file at the provider: one upload a batch, whatever the number of tries.
    assert server.batches.requests["upload"] == 4
    assert bought_once(server)


def test_a_batch_that_an_empty_queue_does_not_take_is_cut_in_half(
    server: ScriptedServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(queue_calls=25)
    assert make(server, ledger).totals.done == CALLS
    taken = [size for size, status in _batches(server) if status == "completed"]
    assert taken == [5, 25, 25]
    assert server.batches.sizes[1] == 50
    assert bought_once(server)


def test_a_batch_that_waits_for_room_is_made_by_the_next_process(
    server: ScriptedServer, ledger: Ledger
) -> None:
    make(server, ledger, recipe=ToyRecipe(pairs=0))
    server.batches.behaviour = BatchBehaviour(queue_calls=20, polls=30)
    make(server, ledger, most_requests=20, wait=False)
    make(server, ledger, documents=(), wait=False, poll_s=60.0)
    # One batch is on its way, so that the others wait instead of being cut.
    assert [batch.status for batch in ledger.batches()] == ["in_progress", "waiting", "waiting"]
    assert totals(FIVE, RECIPE, ledger).submitted == 50
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.requests["upload"] == 1 + 3
    assert bought_once(server)


def test_without_waiting_a_run_submits_and_the_next_ones_collect(
    server: ScriptedServer, ledger: Ledger
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
    assert bought_once(server)


def test_the_budget_cuts_a_batch(server: ScriptedServer, ledger: Ledger) -> None:
    whole = make(server, ledger, prices=PRICES).totals
    assert whole.cost_usd is not None
    with Ledger(ledger.path.with_name("second.db")) as second:
        budget = Budget(max_cost_usd=0.8 * whole.cost_usd)
        report = make(server, second, prices=PRICES, budget=budget)
        found = report.totals
        assert report.over_budget
        assert found.cost_usd is not None
        assert 0.2 * whole.cost_usd < found.cost_usd <= 0.8 * whole.cost_usd
        assert found.to_do > 0 and found.done + found.to_do == CALLS
        assert budget.spent_usd == pytest.approx(found.cost_usd)
        assert budget.reserved_usd == pytest.approx(0.0)
        budget.max_cost_usd = 10.0
        assert make(server, second, prices=PRICES, budget=budget).totals.done == CALLS


def test_what_an_earlier_run_submitted_is_held_back_from_the_budget(
    server: ScriptedServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=5)
    make(server, ledger, wait=False)
    budget = Budget(max_tokens=10)
    held = []

    def watch(progress: BatchProgress) -> None:
        held.append(budget.reserved_tokens)

    report = make(server, ledger, budget=budget, on_progress=watch)
    assert max(held) > 1000
    assert budget.reserved_tokens == 0
    assert (report.totals.done, report.over_budget) == (5, True)
    assert server.batches.sizes == [5]


def test_progress_adds_up(server: ScriptedServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(polls=3)
    seen: list[BatchProgress] = []
    make(server, ledger, prices=PRICES, on_progress=seen.append)
    assert [p.phase for p in seen] == sorted((p.phase for p in seen), reverse=True)
    assert {(p.batches, p.waiting) for p in seen} >= {(0, 0), (1, 5), (1, 50)}
    assert seen[-1].new == CALLS and seen[-1].new_failed == 0
    found = totals(FIVE, RECIPE, ledger)
    assert seen[-1].new_tokens == found.usage.completion_tokens
    assert seen[-1].new_cost_usd == pytest.approx(found.cost_usd)


@pytest.mark.parametrize("step", ["drain", "abort"])
def test_ctrl_c_leaves_the_batches_at_the_provider(
    server: ScriptedServer, ledger: Ledger, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=10**9)
    stop = Stop()

    def press(progress: BatchProgress) -> None:
        if progress.batches and not stop.draining:
            getattr(stop, step)()

    with caplog.at_level(logging.INFO):
        report = make(server, ledger, stop=stop, on_progress=press, poll_s=60.0)
    assert (report.stopped, report.totals.submitted, report.batches) == (True, 5, 1)
    assert "batches that go on at" in caplog.text
    server.batches.behaviour = BatchBehaviour()
    assert make(server, ledger).totals.done == CALLS
    assert bought_once(server)


def test_cancelling_the_task_loses_nothing(server: ScriptedServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(polls=10**9)

    async def run() -> None:
        client = quick_client(server.base_url)
        making = generate_in_batches(FIVE, RECIPE, client, ledger, poll_s=60.0)
        try:
            await asyncio.wait_for(making, timeout=0.3)
        finally:
            await client.close()

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    server.batches.behaviour = BatchBehaviour()
    assert make(server, ledger).totals.done == CALLS
    assert bought_once(server)


def test_a_reply_that_was_lost_makes_no_second_batch(
    server: ScriptedServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(lost_replies=2, troubled=0.2)
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.sizes == [5, 20, 20, 10]
    assert bought_once(server)


def ended_openings(server: ScriptedServer, ledger: Ledger) -> str:
    """Have the openings answered at the provider; return the name of the file with the answers."""
    make(server, ledger, wait=False)
    for _ in range(2):
        asyncio.run(_look(server))
    (name,) = [name for name, content in server.batches.files.items() if b"200" in content]
    return name


def test_answers_that_are_gone_are_bought_again(server: ScriptedServer, ledger: Ledger) -> None:
    del server.batches.files[ended_openings(server, ledger)]
    assert make(server, ledger).totals.done == CALLS
    assert server.completed.total() == CALLS + 5


def test_a_file_that_lacks_an_answer_is_read_again(server: ScriptedServer, ledger: Ledger) -> None:
    name = ended_openings(server, ledger)
    _, rest = server.batches.files[name].split(b"\n", 1)
    server.batches.files[name] = rest
    assert make(server, ledger).totals.done == CALLS
    assert server.completed.total() == CALLS + 1
    assert closed(ledger)[0] == "completed: 4 answered, 0 failed, 1 to do again"


def test_a_file_that_lacks_many_answers_stops_the_run_and_buys_none(
    server: ScriptedServer, ledger: Ledger
) -> None:
    name = ended_openings(server, ledger)
    whole = server.batches.files[name]
    server.batches.files[name] = b"<html>" + whole.split(b"\n", 2)[2]
    with pytest.raises(UserError, match="lack answers that were paid for"):
        make(server, ledger)
    found = totals(FIVE, RECIPE, ledger)
    assert (found.done, found.submitted) == (2, 3)
    server.batches.files[name] = whole
    assert make(server, ledger).totals.done == CALLS
    assert bought_once(server)


def test_a_batch_of_another_account_stops_the_run(server: ScriptedServer, ledger: Ledger) -> None:
    make(server, ledger, wait=False)
    server.batches._batches.clear()
    with pytest.raises(UserError, match="use the key of the account"):
        make(server, ledger)
    assert totals(FIVE, RECIPE, ledger).submitted == 5


def test_another_lane_collects_what_has_ended(server: ScriptedServer, ledger: Ledger) -> None:
    make(server, ledger, recipe=ToyRecipe(pairs=0))
    server.batches.behaviour = BatchBehaviour(expiring=1)
    # Half of the plan by batches, in two of which one will expire.
    make(server, ledger, recipe=ToyRecipe(pairs=5), most_requests=13, wait=False)
    collected: list[int] = []
    online(server, ledger, collected)
    assert totals(FIVE, RECIPE, ledger).submitted == 12
    online(server, ledger, collected)
    assert collected == [6, 12]  # half of the first batch, and then all of the second
    assert totals(FIVE, RECIPE, ledger).done == CALLS
    assert bought_once(server)


def test_another_lane_leaves_what_is_under_way(server: ScriptedServer, ledger: Ledger) -> None:
    make(server, ledger, recipe=ToyRecipe(pairs=0))
    server.batches.behaviour = BatchBehaviour(polls=30)
    make(server, ledger, recipe=ToyRecipe(pairs=5), most_requests=20, wait=False)
    collected: list[int] = []
    online(server, ledger, collected)
    found = totals(FIVE, RECIPE, ledger)
    assert collected == [0]
    assert (found.done, found.submitted, found.to_do) == (30, 25, 25)
    assert make(server, ledger).totals.done == CALLS
    assert bought_once(server)


def test_what_another_lane_did_is_not_submitted(server: ScriptedServer, ledger: Ledger) -> None:
    online(server, ledger, [])
    assert make(server, ledger).totals.done == CALLS
    assert server.batches.requests.total() == 0


def test_batches_of_another_provider_are_left_alone(server: ScriptedServer, ledger: Ledger) -> None:
    elsewhere = Batch("t", "https://elsewhere.example/v1", "in_progress", 3, "2026-01-01", "b1")
    ledger.update_batch(elsewhere)
    assert make(server, ledger).totals.done == CALLS
    assert ledger.batches() == [elsewhere]


def test_open_batches_are_cancelled_and_their_answers_kept(
    server: ScriptedServer, ledger: Ledger
) -> None:
    make(server, ledger, recipe=ToyRecipe(pairs=0))
    make(server, ledger, wait=False)

    async def run() -> tuple[int, int]:
        client = quick_client(server.base_url)
        try:
            return await cancel_all(client, ledger), await collect(client, ledger)
        finally:
            await client.close()

    assert asyncio.run(run()) == (1, 25)
    found = totals(FIVE, RECIPE, ledger)
    assert (found.done, found.to_do, found.submitted) == (30, 25, 0)


def _batches(server: ScriptedServer) -> list[tuple[int, str]]:
    return list(zip(server.batches.sizes, server.batches.statuses, strict=True))


async def _look(server: ScriptedServer) -> None:
    client = quick_client(server.base_url)
    try:
        await client.get("batch_0")
    finally:
        await client.close()
