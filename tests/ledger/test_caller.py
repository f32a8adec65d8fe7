"""Requests of evaluations, judges and searches: limits hold, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from calling import calling
from json_server import Body, said, serving
from steep.core.errors import UserError
from steep.ledger import requests as table
from steep.ledger.budget import Budget
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices
from steep.llm.requests import Kind, Request, vectors_of

PRICES = Prices(usd_per_million_input_tokens=1000.0, usd_per_million_output_tokens=1000.0)
UNCOUNTED = {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}


def asked(base_url: str, count: int, kind: Kind = "chat", **parameters: Any) -> list[Request]:
    more = {"max_tokens": 8, **parameters}
    return [Request("test", base_url, kind, "m", (f"Lock {n}?",), more) for n in range(count)]


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def test_what_the_ledger_holds_is_not_sent_again_and_told_first(ledger: Ledger) -> None:
    seen: list[Body] = []
    with serving(lambda body, number: (200, said(f"answer {number}")), seen) as base_url:
        first = calling(base_url, ledger=ledger).complete(asked(base_url, 6))
        told: list[str] = []
        again = calling(base_url, ledger=ledger).complete(
            asked(base_url, 9) * 2, lambda each: told.append(each.call_id)
        )
    assert len(seen) == 9 and len(again) == 18
    assert [each.text for each in again[:6]] == [each.text for each in first]
    assert set(told[:6]) == {each.call_id for each in first} and len(told) == 9
    (cost,) = table.costs(ledger)
    assert (cost.purpose, cost.model, cost.requests, cost.failed) == ("test", "m", 9, 0)
    assert (cost.usage.prompt_tokens, cost.usage.completion_tokens) == (180, 45)


def test_a_limit_in_dollars_ends_the_work_in_time_and_what_came_is_kept(ledger: Ledger) -> None:
    """Each request takes $0.025; reserved are some $0.03 for its bytes and 8 tokens."""
    seen: list[Body] = []
    budget = Budget(max_cost_usd=0.2)
    with serving(lambda body, number: (200, said("Yes.")), seen) as base_url:
        caller = calling(base_url, ledger=ledger, budget=budget, prices=PRICES)
        with pytest.raises(UserError, match=r"is too low[^$]*generate\.max_cost_usd[^~]*\$0\.1"):
            caller.complete(asked(base_url, 40))
    assert len(seen) >= 6
    assert table.held(ledger).cost_usd == pytest.approx(0.025 * len(seen))
    assert budget.spent_usd == pytest.approx(0.025 * len(seen)) and not budget.reserved_tokens


def test_an_answer_without_a_count_holds_the_most_that_it_may_have_taken(ledger: Ledger) -> None:
    seen: list[Body] = []
    with serving(lambda body, number: (200, UNCOUNTED), seen) as base_url:
        (request,) = asked(base_url, 1)
        most = (request.prompt_bound + 8) / 1000
        caller = calling(
            base_url, ledger=ledger, budget=Budget(max_cost_usd=4 * most), prices=PRICES
        )
        with pytest.raises(UserError, match="is too low"):
            caller.complete(asked(base_url, 10))
    assert len(seen) == 4
    assert table.held(ledger).cost_usd == pytest.approx(4 * most)
    (cost,) = table.costs(ledger)
    assert cost.unpriced == 4 and cost.known_usd == 0


def test_an_answer_that_is_of_no_use_counts_at_its_most_where_it_has_no_count(
    ledger: Ledger,
) -> None:
    choice = {"text": "x", "logprobs": {"token_logprobs": [None, -1.0]}}
    budget = Budget()
    with serving(lambda body, number: (200, {"choices": [choice]})) as base_url:
        request = Request("test", base_url, "echo", "m", ("The lock", " is old"))
        caller = calling(base_url, ledger=ledger, budget=budget, prices=PRICES)
        (found,) = caller.complete([request])
    assert found.error is not None and found.finish_reason == "unusable"
    most = (request.prompt_bound + 1) / 1000
    assert budget.spent_usd == table.held(ledger).cost_usd == pytest.approx(most)


def test_a_failed_request_is_an_error_that_the_next_run_sends_again(ledger: Ledger) -> None:
    def reply(body: Body, number: int) -> tuple[int, Any]:
        if "Lock 2" in body["messages"][0]["content"] and number < 5:
            return 400, {"error": {"message": "no such lock"}}
        return 200, said("Yes.")

    with serving(reply) as base_url:
        found = calling(base_url, ledger=ledger).complete(asked(base_url, 5))
        assert [bool(each.error) for each in found] == [False, False, True, False, False]
        (failure,) = table.failures(ledger)
        assert "no such lock" in failure.reason and failure.calls == 1
        shown = table.find(ledger, failure.example[:12])
        assert shown is not None and shown.request == asked(base_url, 5)[2]
        again = calling(base_url, ledger=ledger).complete(asked(base_url, 5))
    assert not any(each.error for each in again)
    assert not table.failures(ledger)


def test_one_wrong_key_costs_one_request() -> None:
    seen: list[Body] = []
    with (
        serving(lambda body, number: (401, {"error": {"message": "bad key"}}), seen) as base_url,
        pytest.raises(UserError, match="does not accept the key"),
    ):
        calling(base_url).complete(asked(base_url, 50))
    assert len(seen) == 1


def test_many_equal_rejections_end_the_work_but_prompts_beyond_the_context_do_not() -> None:
    seen: list[Body] = []
    with serving(lambda b, n: (400, {"error": {"message": "no"}}), seen) as base_url:
        with pytest.raises(UserError, match="rejects every call"):
            calling(base_url).complete(asked(base_url, 100))
        assert len(seen) < 30
    too_long = {"error": {"message": "maximum context length is 9 tokens"}}
    with serving(lambda b, n: (400, too_long)) as base_url:
        found = calling(base_url).complete(asked(base_url, 60))
    assert {each.finish_reason for each in found} == {"context"}


def test_ctrl_c_waits_for_what_is_in_flight_and_records_it(ledger: Ledger) -> None:
    seen: list[Body] = []
    waiting = threading.Event()

    def heard(record: logging.LogRecord) -> bool:
        if "Ctrl-C again" in record.getMessage():
            waiting.set()
        return True

    def reply(body: Body, number: int) -> tuple[int, Any]:
        if number == 4:
            os.kill(os.getpid(), signal.SIGINT)
            assert waiting.wait(60), "the caller did not notice Ctrl-C"
        return 200, said("Yes.")

    log = logging.getLogger("steep")
    log.addFilter(heard)
    # A shell without job control starts its background processes with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with serving(reply, seen) as base_url, pytest.raises(KeyboardInterrupt):
            calling(base_url, ledger=ledger).complete(asked(base_url, 500))
    finally:
        signal.signal(signal.SIGINT, before)
        log.removeFilter(heard)
    assert waiting.is_set()
    (cost,) = table.costs(ledger)
    assert cost.requests == len(seen) < 20, "all that was sent is recorded, and no more is sent"


def test_results_survive_the_ledger(ledger: Ledger) -> None:
    def reply(body: Body, number: int) -> tuple[int, Any]:
        if "input" in body:
            rows = [{"index": n, "embedding": [0.1, n]} for n in range(len(body["input"]))]
            return 200, {"data": rows, "usage": {"prompt_tokens": 7, "total_tokens": 7}}
        if "documents" in body:
            rows = [{"index": n, "relevance_score": n / 3} for n in range(len(body["documents"]))]
            return 200, {"results": rows, "usage": {"total_tokens": 9}}
        choice = {"text": "x", "logprobs": {"token_logprobs": [None, -0.5, -0.25, -9.0]}}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}

    with serving(reply) as base_url:
        requests = [
            Request("embed", base_url, "embedding", "e", ("a", "b")),
            Request("rerank", base_url, "rerank", "r", ("why?", "a", "b")),
            Request("evaluate m", base_url, "echo", "m", ("The lock is", " old")),
        ]
        first, second = (calling(base_url, ledger=ledger).complete(requests) for _ in range(2))
    assert [each.result for each in first] == [each.result for each in second]
    assert [list(row) for row in vectors_of(second[0])] == [
        [pytest.approx(0.1), 0.0], [pytest.approx(0.1), 1.0],
    ]  # fmt: skip
    assert second[1].result == {"scores": [0.0, 1 / 3]}
    assert second[2].result == {"tokens": 3, "logprobs": [None, -0.5, -0.25]}
    assert [each.usage.prompt_tokens for each in second] == [7, 9, 3]


def test_a_second_run_in_another_event_loop_works(ledger: Ledger) -> None:
    with serving(lambda body, number: (200, said("Yes."))) as base_url:
        caller = calling(base_url, ledger=ledger)
        for count in (2, 4):
            assert len(caller.complete(asked(base_url, count))) == count
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
