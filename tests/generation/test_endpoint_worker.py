"""One endpoint: what is tried again, when, and how much at once. The clock is the test's own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from toy import TINY, completion, first_call, toy_recipe

from steep.core.calls import Call, Completion
from steep.ledger.endpoint_worker import EndpointWorker, Outcome, RetryPolicy
from steep.llm.client import FatalError, TransientError

FIRST = first_call(toy_recipe(), TINY[0])
assert FIRST is not None
CALL: Call = FIRST
FAST = RetryPolicy(pause_s=0.001)


@dataclass
class Flaky:
    """Raises what it is given, attempt by attempt, and then answers."""

    errors: list[Exception]
    endpoint: str = "flaky"
    batch_size: int = 1
    concurrency: int = 16
    sent: int = 0
    under_way: int = 0
    most_under_way: int = 0
    delay_s: float = 0.0
    on_send: Callable[[], None] = field(default=lambda: None)

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        self.sent += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.on_send()
        try:
            await asyncio.sleep(self.delay_s)
            if self.errors:
                raise self.errors.pop(0)
            return [completion(call) for call in calls]
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        return None


def send(worker: EndpointWorker[Call], times: int = 1) -> list[Outcome]:
    async def all_of_them() -> list[Outcome]:
        return await asyncio.gather(*(worker.send([CALL]) for _ in range(times)))

    return asyncio.run(all_of_them())


def test_what_can_pass_is_tried_again_and_the_tries_are_counted() -> None:
    client = Flaky([TransientError("HTTP 500"), TransientError("HTTP 502")])
    (outcome,) = send(EndpointWorker(client, FAST))
    assert outcome.completions is not None
    assert outcome.completions[0].attempts == 3
    assert (outcome.may_pass, client.sent) == (False, 3)


def test_a_call_is_given_up_after_its_tries_but_another_round_may_help() -> None:
    client = Flaky([TransientError("HTTP 500")] * 9)
    (outcome,) = send(EndpointWorker(client, RetryPolicy(max_attempts=3, pause_s=0.001)))
    assert outcome.completions is not None
    assert (outcome.may_pass, client.sent) == (True, 3)
    (failed,) = outcome.completions
    assert (failed.error, failed.attempts) == ("HTTP 500 [flaky]", 3)


def test_being_told_to_wait_is_no_try_but_ends_with_the_total_time() -> None:
    busy = TransientError("HTTP 429", overloaded=True)
    client = Flaky([busy] * 20)
    (outcome,) = send(EndpointWorker(client, RetryPolicy(max_attempts=2, pause_s=0.0001)))
    assert outcome.completions is not None
    assert outcome.completions[0].error is None
    client = Flaky([busy] * 1000)
    worker = EndpointWorker(client, RetryPolicy(max_attempts=2, pause_s=0.01, total_s=0.05))
    (outcome,) = send(worker)
    assert outcome.may_pass
    assert client.sent < 10


def test_an_overloaded_endpoint_gets_less_at_once_and_one_that_waits_is_left_alone() -> None:
    client = Flaky([TransientError("429", overloaded=True, wait_s=0.05)] * 9, delay_s=0.001)
    worker = EndpointWorker(client, FAST)
    before = worker.concurrency.limit
    sent_s: list[float] = []
    client.on_send = lambda: sent_s.append(worker.clock())
    outcomes = send(worker, 8)
    assert all(outcome.completions for outcome in outcomes)
    assert worker.concurrency.cuts >= 1
    assert worker.concurrency.limit < before
    assert worker.statistics.overloads == 9
    pause_s = max(b - a for a, b in itertools.pairwise(sent_s))
    assert pause_s >= 0.045


def test_no_more_is_under_way_than_the_limit_allows() -> None:
    client = Flaky([], concurrency=5, delay_s=0.001)
    send(EndpointWorker(client, FAST), 50)
    assert (client.most_under_way, client.sent) == (5, 50)


def test_requests_a_minute_are_kept() -> None:
    client = Flaky([], concurrency=50)
    now_s = 0.0
    worker = EndpointWorker(client, RetryPolicy(requests_per_minute=600), clock=lambda: now_s)

    async def go() -> None:
        nonlocal now_s
        tasks = [asyncio.create_task(worker.send([CALL])) for _ in range(40)]
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert 20 <= client.sent <= 21  # a burst of two seconds
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(go())


def test_an_endpoint_that_is_gone_ends_the_run_and_one_bad_call_does_not() -> None:
    silence = TransientError("no connection", answered=False)
    policy = RetryPolicy(max_attempts=2, pause_s=0.001)
    with pytest.raises(FatalError, match="does not answer"):
        send(EndpointWorker(Flaky([silence] * 4), policy))
    worker = EndpointWorker(Flaky([silence, silence], delay_s=0.001), policy)

    async def with_others() -> list[Outcome]:
        unlucky = asyncio.create_task(worker.send([CALL]))
        await asyncio.sleep(0.0005)
        worker.client = Flaky([silence])
        lucky = [asyncio.create_task(worker.send([CALL])) for _ in range(3)]
        return await asyncio.gather(unlucky, *lucky)

    outcomes = asyncio.run(with_others())
    assert all(outcome.completions for outcome in outcomes)


def test_an_endpoint_that_asks_for_too_long_ends_the_run() -> None:
    client = Flaky([TransientError("429", overloaded=True, wait_s=7200.0)])
    with pytest.raises(FatalError, match="Retry-After: 2 h 00 min"):
        send(EndpointWorker(client, FAST))


def test_what_waits_when_the_run_stops_is_left_to_do() -> None:
    client = Flaky([TransientError("HTTP 500")] * 100)
    worker = EndpointWorker(client, RetryPolicy(pause_s=30))

    async def stop_soon() -> list[Outcome]:
        tasks = [asyncio.create_task(worker.send([CALL])) for _ in range(30)]
        await asyncio.sleep(0.01)
        worker.stop()
        return await asyncio.gather(*tasks)

    assert {outcome.completions is None for outcome in asyncio.run(stop_soon())} == {True}


def test_tokens_a_minute_are_kept_by_what_answers_really_took() -> None:
    client = Flaky([], concurrency=50)
    now_s = 0.0
    policy = RetryPolicy(tokens_per_minute=60_000)  # a call takes 15 tokens, and may take 2,200
    worker = EndpointWorker(client, policy, clock=lambda: now_s)

    async def go() -> int:
        nonlocal now_s
        tasks = [asyncio.create_task(worker.send([CALL])) for _ in range(400)]
        for _ in range(60):
            await asyncio.sleep(0.001)
            now_s += 0.02
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return client.sent

    sent = asyncio.run(go())
    assert 1 < sent <= (1.2 + 2.0) * 1000 / 15 + 2
