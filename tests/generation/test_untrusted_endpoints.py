"""Endpoints that do not count, lose answers that they bill, go away, or turn useless in mid-run."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from toy import (
    ToyClient,
    answer_everything,
    completion,
    entities_json,
    first_call,
    toy_recipe,
    view_of,
)

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.progress import GenerationReport
from steep.generation.scheduler import generate
from steep.ledger import queries
from steep.ledger.budget import MOST_COUNTED, Budget, recounted
from steep.ledger.endpoint_health import EQUAL_REJECTIONS, MANY_ANSWERS
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.ledger.records import status_of, without_prompt
from steep.llm.client import TransientError
from steep.llm.prices import Prices

RECIPE = toy_recipe(pairs=3)
FAST = RetryPolicy(max_attempts=4, pause_s=0.001)
PRICES = Prices(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0)
MANY = tuple(Document(f"d{n}", f"Title {n}", f"Text {n}.") for n in range(20))
SILENCE = TransientError("no connection", answered=False, sent=False)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def run(
    client: ToyClient, ledger: Ledger, budget: Budget | None = None, **options: Any
) -> GenerationReport:
    worker = EndpointWorker(client, FAST, PRICES)
    return asyncio.run(generate(view_of(MANY, RECIPE, ledger), [worker], budget=budget, **options))


def uncounted(call: Call) -> Completion:
    return replace(answer_everything(call), usage=Usage(), cost_usd=None)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(prompt_tokens=0, completion_tokens=9),
        Usage(prompt_tokens=9, completion_tokens=0),
        Usage(prompt_tokens=10, cached_tokens=400, completion_tokens=9),
        Usage(prompt_tokens=10, cached_tokens=-1, completion_tokens=9),
        Usage(prompt_tokens=MOST_COUNTED, completion_tokens=9),
        Usage(prompt_tokens=9, completion_tokens=2**63),
    ],
    ids=str,
)
def test_a_count_that_cannot_be_true_is_replaced_by_our_own(usage: Usage) -> None:
    call = first_call(RECIPE, MANY[0])
    assert call is not None
    found = recounted(completion(call, "A text of 24 characters.", usage=usage))
    assert (found.usage, found.cost_usd) == (Usage(0, 0, 6), None)
    true = completion(call, "A text of 24 characters.", usage=Usage(10, 4, 5))
    assert recounted(true) == true


@pytest.mark.parametrize("limit", [{"max_tokens": 60_000}, {"max_cost_usd": 0.1}], ids=str)
def test_limits_hold_where_the_endpoint_does_not_count(
    ledger: Ledger, limit: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    client = ToyClient(uncounted, concurrency=8)
    report = run(client, ledger, Budget(**limit))
    most = EndpointWorker(client, FAST, PRICES).most(client.calls)
    assert report.over_budget
    assert 3 < len(client.calls) == report.totals.done < 80
    assert most.tokens <= limit.get("max_tokens", math.inf)
    assert (most.cost_usd or 0) <= limit.get("max_cost_usd", math.inf)
    assert report.totals.cost_usd is None, "unknown, and not $0"
    assert report.totals.usage.completion_tokens > 0, "texts are counted, towards a goal"
    assert caplog.text.count("reports no usable token counts") == 1
    groups = list(queries.uncounted(ledger))
    assert sum(group.calls for group in groups) == len(client.calls)


@pytest.mark.parametrize(
    "rendered",
    [
        "{prompt}",
        "system\n{system}\nuser\n{prompt}assistant\n",
        "[INST] {system}\n\n{prompt} [/INST] ",
        "  {oneline} ",
    ],
    ids=["alone", "roles", "inst", "blanks"],
)
def test_a_prompt_before_the_answer_is_no_part_of_the_text(ledger: Ledger, rendered: str) -> None:
    def repeating(call: Call) -> Completion:
        honest = answer_everything(call)
        system, prompt = (message.content for message in call.messages)
        oneline = " ".join(prompt.split())
        before = rendered.format(system=system, prompt=prompt + "\n", oneline=oneline)
        return replace(honest, text=before + honest.text)

    report = run(ToyClient(repeating), ledger)
    assert report.totals.done == report.totals.planned == 4 * len(MANY)
    kept = queries.calls_of_document(ledger, MANY[0].id, limit=9)
    pairs = ("Ada and Bo", "Ada and Cy", "Bo and Cy")
    assert {record.text for record in kept if record.stage == "pairs"} == {
        f"How {names} met in {MANY[0].id}." for names in pairs
    }


def test_an_answer_that_is_the_prompt_alone_is_empty() -> None:
    call = first_call(RECIPE, MANY[0])
    assert call is not None
    found = without_prompt(call, completion(call, call.messages[-1].content))
    assert status_of(found) == "empty"


def test_answers_that_are_lost_on_the_way_count_against_the_limit(ledger: Ledger) -> None:
    tries = itertools.count()

    def lossy(call: Call) -> Completion:
        if next(tries) % 3 == 2:
            raise TransientError("malformed reply", billed=True)
        return replace(answer_everything(call), usage=Usage(200, 0, 150), cost_usd=0.0005)

    client, budget = ToyClient(lossy, concurrency=8), Budget(max_cost_usd=0.1)
    report = run(client, ledger, budget)
    assert report.over_budget
    most = EndpointWorker(client, FAST, PRICES).most
    lost = len(client.batches) - report.totals.done
    assert report.lost.attempts == lost > 3
    assert report.totals.cost_usd is not None
    paid = report.totals.cost_usd + lost * (most(client.calls[-1:]).cost_usd or 0)
    assert paid <= 0.1 * 1.01
    assert budget.spent_usd <= 0.1
    assert ledger.lost() == pytest.approx(report.lost)
    assert budget.reserved_usd == pytest.approx(0, abs=1e-9)


def test_refused_connections_are_not_billed(ledger: Ledger) -> None:
    tries = itertools.count()

    def away(call: Call) -> Completion:
        if 3 < next(tries) < 30:
            raise SILENCE
        return answer_everything(call)

    report = run(ToyClient(away), ledger)
    assert report.totals.done == report.totals.planned
    assert report.lost.attempts == 0


@dataclass
class Away(ToyClient):
    """Cannot be reached for so many attempts, after the first ones."""

    attempts: int = 0
    leaves_after: int = 5
    for_attempts: int = 100

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        self.attempts += 1
        if self.leaves_after < self.attempts <= self.leaves_after + self.for_attempts:
            raise SILENCE
        return await super().complete(calls)


def test_an_endpoint_that_is_away_for_a_while_is_waited_for(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    report = run(Away(), ledger)
    assert report.totals.done == report.totals.planned == 80
    said = [line for line in caplog.text.splitlines() if "reached" in line]
    assert len(said) == 2, said
    assert "cannot be reached; waiting up to 15 min" in said[0]
    assert "can be reached again, after" in said[1]


def test_an_endpoint_that_stays_away_ends_the_run_when_it_was_waited_for(ledger: Ledger) -> None:
    policy = replace(FAST, total_s=0.05)
    worker = EndpointWorker(Away(for_attempts=10**6), policy)
    with pytest.raises(UserError, match="The endpoint does not answer"):
        asyncio.run(generate(view_of(MANY, RECIPE, ledger), [worker]))
    assert ledger.totals()["done"] == 5
    assert ledger.totals()["failed"] == 0


def test_an_endpoint_that_is_away_is_left_out_by_name_while_another_one_works(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Away(endpoint="http://gone/v1", for_attempts=10**6, delay_s=0.001)
    well = ToyClient(endpoint="http://well/v1", delay_s=0.001)
    workers = [EndpointWorker(gone, FAST), EndpointWorker(well, FAST)]
    report = asyncio.run(generate(view_of(MANY, RECIPE, ledger), workers))
    assert report.totals.done == report.totals.planned == 80
    (said,) = [line for line in caplog.text.splitlines() if "left out" in line]
    assert "http://gone/v1 is left out of this run" in said
    assert "its 10 documents is sent to http://well/v1 instead" in said
    assert "does not answer" in said


def test_equal_rejections_without_an_answer_between_them_end_the_run(ledger: Ledger) -> None:
    answers = itertools.count()

    def gone(call: Call) -> Completion:
        if next(answers) < 30:
            return answer_everything(call)
        return completion(call, "", error=f"HTTP 404: no model at {next(answers)}", cost_usd=None)

    client = ToyClient(gone)
    with pytest.raises(UserError, match=f"{EQUAL_REJECTIONS} in a row, for the same reason"):
        run(client, ledger)
    assert 30 + EQUAL_REJECTIONS <= len(client.calls) <= 30 + EQUAL_REJECTIONS + client.concurrency
    assert ledger.totals()["failed"] >= EQUAL_REJECTIONS
    assert run(ToyClient(), ledger).totals.done == 80


def test_rejections_among_answers_are_their_own_affair(ledger: Ledger) -> None:
    answers = itertools.count()

    def picky(call: Call) -> Completion:
        if call.stage == "pairs" and next(answers) % 2:
            return completion(call, "", error="HTTP 400: no", cost_usd=None)
        return answer_everything(call)

    report = run(ToyClient(picky), ledger)
    assert report.totals.failed > EQUAL_REJECTIONS


def test_mostly_empty_answers_end_the_run_and_are_recorded(ledger: Ledger) -> None:
    def thinking(call: Call) -> Completion:
        if call.stage == "entities":
            return completion(call, entities_json("Ada", "Bo", "Cy"))
        return completion(call, " ", finish_reason="length")

    client = ToyClient(thinking)
    with pytest.raises(UserError, match="Most answers contain no text") as raised:
        run(client, ledger)
    assert "generate.max_tokens" in str(raised.value)
    assert MANY_ANSWERS < len(client.calls) < 60
    assert ledger.totals()["empty"] + ledger.totals()["done"] == len(client.calls)


def test_mostly_reasoning_ends_the_run_with_what_it_took(ledger: Ledger) -> None:
    def thinking(call: Call) -> Completion:
        if call.stage == "entities":
            return completion(call, entities_json("Ada", "Bo", "Cy"))
        return completion(call, "", finish_reason="reasoning", usage=Usage(10, 0, 700))

    client = ToyClient(thinking)
    with pytest.raises(UserError, match="Most answers contain nothing but reasoning") as raised:
        run(client, ledger)
    assert "finish reason 'reasoning'; 700 tokens of reasoning per answer" in str(raised.value)
    assert "generate.reasoning_tokens" in str(raised.value)
    assert ledger.totals()["reasoning"] + ledger.totals()["done"] == len(client.calls) < 60


def test_what_rejects_everything_is_left_out_while_another_endpoint_works(ledger: Ledger) -> None:
    def gone(call: Call) -> Completion:
        if call.stage == "pairs":
            return completion(call, "", error="HTTP 403: not any more", cost_usd=None)
        return answer_everything(call)

    with pytest.raises(UserError):
        run(ToyClient(gone), ledger)
    workers = [EndpointWorker(ToyClient(gone), FAST), EndpointWorker(ToyClient(), FAST)]
    report = asyncio.run(generate(view_of(MANY, RECIPE, ledger), workers))
    assert report.totals.to_do == 0
    assert report.totals.done > 40


def test_a_slow_endpoint_hands_over_the_documents_that_it_has_not_begun(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    slow = ToyClient(endpoint="http://slow/v1", delay_s=0.02, concurrency=2)
    fast = ToyClient(endpoint="http://fast/v1", delay_s=0.0001, concurrency=2)
    workers = [EndpointWorker(slow, FAST), EndpointWorker(fast, FAST)]
    report = asyncio.run(generate(view_of(MANY, RECIPE, ledger), workers))
    assert report.totals.done == report.totals.planned == 80

    def read(client: ToyClient) -> set[str]:
        return {call.document_id for call in client.calls if call.stage == "pairs"}

    assert not read(slow) & read(fast), "a document stays with one of them"
    assert len(read(slow)) <= 8 < 12 <= len(read(fast))
    (said,) = [line for line in caplog.text.splitlines() if "takes over" in line]
    assert "http://fast/v1 has done its share, and takes over documents from http://slow/v1" in said
