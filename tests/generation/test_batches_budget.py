"""A limit on the cost cuts batches; what it holds for them is not spent on ever smaller ones.

A list of entities or a pair of the plan is held at about $0.0025 and takes $0.0002.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from batch_setup import CALLS, PRICES, closed, make, paid_once
from batch_worker import quick_client
from toy import toy_recipe

from scripted_batches import BatchBehaviour, BatchServer
from steep.core.errors import UserError
from steep.generation.batch.runner import cancel_all
from steep.generation.progress import GenerationReport
from steep.ledger.budget import Budget
from steep.ledger.ledger import Ledger
from steep.llm.dialect import Dialect
from steep.llm.openai_batch import BatchClient
from steep.recipes.recipe import Recipe
from steep.testing.script import Script


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(Script(3)) as server:
        yield server


def test_large_batches_that_the_budget_cuts_follow_each_other(
    server: BatchServer, ledger: Ledger
) -> None:
    budget = Budget(max_cost_usd=0.06)
    report = make(server, ledger, prices=PRICES, budget=budget)
    assert server.batches.sizes == [5, 23, 22, 5]
    assert (report.totals.done, report.over_budget, report.held_back) == (CALLS, False, False)
    assert budget.spent_usd == pytest.approx(report.totals.cost_usd)
    assert budget.reserved_usd == pytest.approx(0.0)
    assert paid_once(server)


def test_no_small_batch_is_made_of_what_open_ones_leave(
    server: BatchServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(polls=3)
    budget = Budget(max_cost_usd=0.06)
    report = make(server, ledger, prices=PRICES, budget=budget, most_requests=10)
    assert server.batches.sizes == [5, 10, 10, 10, 10, 10]
    assert closed(ledger).count("cut short by the budget, and not sent") == 2
    assert (report.totals.done, report.over_budget, report.held_back) == (CALLS, False, False)
    assert paid_once(server)


@pytest.mark.parametrize("wait", [True, False])
def test_no_batch_smaller_than_the_smallest_is_cut_by_the_budget(
    server: BatchServer, ledger: Ledger, wait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The lists of entities are paid for, as all of them fit; of the pairs only seven would."""
    budget = Budget(max_cost_usd=0.02)
    for _ in range(10):
        report = make(server, ledger, prices=PRICES, budget=budget, wait=wait)
        if report.over_budget:
            break
    assert server.batches.sizes == [5]
    assert (report.over_budget, report.batches, report.held.cost_usd) == (True, 0, 0.0)
    assert (report.totals.done, report.totals.to_do) == (5, CALLS - 5)
    assert "allows a batch of 7 calls only" in caplog.text
    assert closed(ledger)[1:] == ["cut short by the budget, and not sent"]
    budget.max_cost_usd = 10.0
    assert make(server, ledger, prices=PRICES, budget=budget).totals.done == CALLS
    assert paid_once(server)


@pytest.mark.parametrize("smallest, sizes", [(22, [5, 23, 22, 5]), (23, [5, 23])])
def test_a_series_of_cut_batches_ends_at_the_smallest(
    server: BatchServer,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    smallest: int,
    sizes: list[int],
) -> None:
    monkeypatch.setattr("steep.generation.batch.runner.SMALLEST_BATCH", smallest)
    report = make(server, ledger, prices=PRICES, budget=Budget(max_cost_usd=0.06))
    assert server.batches.sizes == sizes
    assert report.over_budget == (sum(sizes) < CALLS)


def test_no_money_for_any_call(server: BatchServer, ledger: Ledger) -> None:
    report = make(server, ledger, prices=PRICES, budget=Budget(max_cost_usd=0.001))
    assert (report.over_budget, report.held_back, report.totals.to_do) == (True, False, 5)
    assert server.batches.sizes == []


def test_money_that_is_held_for_open_batches_is_not_used_up(
    server: BatchServer, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    make(server, ledger, prices=PRICES, recipe=_openings_only())
    server.batches.behaviour = BatchBehaviour(polls=3)
    budget = Budget(max_cost_usd=0.06)

    def again() -> GenerationReport:
        return make(server, ledger, prices=PRICES, budget=budget, wait=False)

    with caplog.at_level(logging.INFO):
        first, second = again(), again()
    for report in first, second:  # nothing is made of what is left beside an open batch
        assert (report.over_budget, report.held_back, report.batches) == (False, True, 1)
        assert 0.055 < (report.held.cost_usd or 0.0) <= 0.06
        assert report.held.tokens > 20 * 2048
    assert budget.reserved_usd == pytest.approx(0.0)  # the next run holds it again
    assert "reserved for 1 open batch;" in caplog.text
    for _ in range(20):
        report = again()
        if report.totals.done == CALLS:
            break
    assert server.batches.sizes[1:] == [24, 22, 4]
    assert (report.over_budget, report.held_back, report.held.cost_usd) == (False, False, 0.0)
    assert paid_once(server)


def test_what_is_spent_may_leave_too_little_for_any_call(
    server: BatchServer, ledger: Ledger
) -> None:
    make(server, ledger, prices=PRICES, recipe=_openings_only())
    server.batches.behaviour = BatchBehaviour(polls=3)
    make(server, ledger, prices=PRICES, most_requests=20, wait=False)
    budget = Budget(max_cost_usd=0.06, spent_usd=0.0599)

    def more() -> GenerationReport:
        return make(server, ledger, prices=PRICES, recipe=_more(), budget=budget, wait=False)

    report = more()
    while ledger.batches():  # their end may release enough
        assert (report.over_budget, report.held_back) == (False, True)
        report = more()
    assert (report.over_budget, report.held_back) == (True, False)
    assert server.batches.sizes == [5, 20, 20, 10]


def test_without_a_limit_nothing_is_held(server: BatchServer, ledger: Ledger) -> None:
    report = make(server, ledger, prices=PRICES, wait=False)
    assert (report.batches, report.held.tokens, report.held.cost_usd) == (1, 0, 0.0)


def test_what_cancelled_batches_left_is_submitted_anew_and_said(
    server: BatchServer, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    make(server, ledger, recipe=_openings_only())
    make(server, ledger, wait=False)

    async def cancel() -> int:
        client = quick_client(server.base_url)
        try:
            return await cancel_all(client, ledger)
        finally:
            await client.close()

    assert asyncio.run(cancel()) == 1
    with caplog.at_level(logging.INFO):
        assert make(server, ledger).totals.done == CALLS
    assert (
        "collected in this run so far: 25 calls; not answered and submitted again: 25 calls"
    ) in caplog.text
    assert paid_once(server)


def _openings_only() -> Recipe:
    return toy_recipe(pairs=0)


def _more() -> Recipe:
    return toy_recipe(pairs=12)


def test_a_hard_limit_needs_one_on_answers(
    server: BatchServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier batch has told that this server takes no limit on the length of an answer."""
    learnt = Dialect(without=frozenset({"max_tokens"}))
    monkeypatch.setattr(BatchClient, "dialect", property(lambda client: learnt))
    for budget in (Budget(max_cost_usd=1.0), Budget(max_tokens=10**6)):
        with pytest.raises(UserError, match="no limit on the length of an answer"):
            make(server, ledger, prices=PRICES, budget=budget)
    assert server.batches.sizes == []
    assert make(server, ledger, prices=PRICES).totals.done == CALLS
