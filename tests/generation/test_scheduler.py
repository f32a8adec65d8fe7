from __future__ import annotations

import asyncio
import random
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from toy import TINY, ToyClient, answer_everything, completion, entities_json, toy_recipe, view_of

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.progress import GenerationProgress, GenerationReport, StopRequest
from steep.generation.scheduler import generate
from steep.generation.totals import Subject, Totals
from steep.generation.work_queue import assign
from steep.ledger.budget import Budget
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.client import FatalError, TransientError
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe

RECIPE = toy_recipe(pairs=3)
FAST = RetryPolicy(max_attempts=2, pause_s=0.001)
PRICES = Prices(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0)
MANY = tuple(Document(f"d{n}", f"Title {n}", f"Text {n}.") for n in range(20))


def make(
    client: ToyClient,
    ledger: Ledger,
    documents: Sequence[Document] = MANY,
    recipe: Recipe = RECIPE,
) -> Totals:
    return asyncio.run(
        generate(view_of(documents, recipe, ledger), [EndpointWorker(client)])
    ).totals


def texts(ledger: Ledger) -> list[str | None]:
    return [r.text if r else None for _, r in view_of(MANY, RECIPE, ledger).walk()]


def test_everything_is_made_once(ledger: Ledger) -> None:
    client = ToyClient()
    found = make(client, ledger)
    assert found.planned == found.done == 20 * 4
    assert len({call.id for call in client.calls}) == len(client.calls) == 80
    again = ToyClient()
    assert make(again, ledger) == found
    assert again.calls == []


def test_work_in_flight_is_bounded_and_the_first_call_goes_alone(ledger: Ledger) -> None:
    @dataclass
    class Watched(ToyClient):
        company_of_the_first: int = 0

        async def complete(self, calls: Sequence[Call]) -> list[Completion]:
            result = await super().complete(calls)
            if calls == self.batches[0]:
                self.company_of_the_first = len(self.batches)
            return result

    client = Watched(concurrency=3, delay_s=0.001)
    make(client, ledger)
    assert client.most_in_flight == 3
    assert client.company_of_the_first == 1


def test_a_fatal_error_stops_before_the_second_call(ledger: Ledger) -> None:
    def refuse(call: Call) -> Completion:
        raise FatalError("No such model.")

    client = ToyClient(refuse, concurrency=8)
    with pytest.raises(UserError, match="No such model"):
        make(client, ledger)
    assert len(client.batches) == 1
    assert sum(ledger.totals().values()) == 0


@pytest.mark.parametrize("error", [FatalError("The key expired."), RuntimeError("A bug.")])
def test_what_is_in_flight_when_the_run_stops_is_recorded(ledger: Ledger, error: Exception) -> None:
    @dataclass
    class Breaking(ToyClient):
        async def complete(self, calls: Sequence[Call]) -> list[Completion]:
            number = len(self.batches) + 1
            result = await super().complete(calls)
            if number == 30:
                raise error
            await asyncio.sleep(0.01)
            return result

    client = Breaking(concurrency=4)
    with pytest.raises(UserError if isinstance(error, FatalError) else RuntimeError):
        make(client, ledger)
    assert len(client.batches) < 40
    assert ledger.totals()["done"] == len(client.batches) - 1
    assert client.in_flight == 0


def test_cancelling_waits_for_what_is_in_flight(ledger: Ledger) -> None:
    client = ToyClient(concurrency=4)
    phases = []

    async def cancel_half_way() -> None:
        def on_progress(progress: GenerationProgress) -> None:
            phases.append(progress.phase)
            if progress.phase == "texts" and progress.new >= 40 and not task.cancelling():
                task.cancel()

        task = asyncio.create_task(
            generate(
                view_of(MANY, RECIPE, ledger), [EndpointWorker(client)], on_progress=on_progress
            )
        )
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel_half_way())
    assert ledger.totals()["done"] == len(client.calls) < 80
    assert phases[-1] == "stopping"
    again = ToyClient()
    assert make(again, ledger).done == 80
    assert len(client.calls) + len(again.calls) == 80


def test_a_failed_call_is_tried_again_by_the_next_run_only(ledger: Ledger) -> None:
    def fail_some(call: Call) -> Completion:
        if call.document_id in ("d3", "d4") and "Bo" in call.subset:
            return completion(call, "", error="HTTP 500", cost_usd=None)
        return answer_everything(call)

    client = ToyClient(fail_some)
    found = make(client, ledger)
    assert (found.done, found.failed, len(client.calls)) == (76, 4, 80)
    again = ToyClient()
    found = make(again, ledger)
    assert (found.done, found.failed, len(again.calls)) == (80, 0, 4)


def test_a_failed_preparing_call_leaves_its_document_for_the_next_run(ledger: Ledger) -> None:
    def fail_entities(call: Call) -> Completion:
        if call.document_id == "d3" and call.stage == "entities":
            return completion(call, "", error="HTTP 500", cost_usd=None)
        return answer_everything(call)

    found = make(ToyClient(fail_entities), ledger)
    assert (found.planned, found.failed, found.unprepared) == (77, 1, (Subject("toy", "d3"),))
    found = make(ToyClient(), ledger)
    assert (found.planned, found.done, found.unprepared) == (80, 80, ())


def test_preparing_calls_are_tried_again_in_rounds_over_all_documents(ledger: Ledger) -> None:
    def babble_first(call: Call) -> Completion:
        odd = int(call.document_id[1:]) % 2
        if call.stage == "entities" and odd and call.sample == 0:
            return completion(call, "no JSON")
        return answer_everything(call)

    client = ToyClient(babble_first, batch_size=8)
    make(client, ledger)
    preparing = [batch for batch in client.batches if batch[0].stage == "entities"]
    assert [len(batch) for batch in preparing] == [8, 8, 4, 8, 2]
    assert [call.sample for call in preparing[3]] == [1] * 8


@pytest.mark.parametrize("stop_after", [1, 4, 7, 11])
def test_a_resumed_run_makes_the_same_batches(tmp_path: Path, stop_after: int) -> None:
    @dataclass
    class Stopping(ToyClient):
        async def complete(self, calls: Sequence[Call]) -> list[Completion]:
            if len(self.batches) == stop_after:
                raise RuntimeError("killed")
            return await super().complete(calls)

    undisturbed = ToyClient(batch_size=7, concurrency=1)
    with Ledger(tmp_path / "one.db") as ledger:
        make(undisturbed, ledger)
    killed = Stopping(batch_size=7, concurrency=1)
    resumed = ToyClient(batch_size=7, concurrency=1)
    with Ledger(tmp_path / "two.db") as ledger:
        with pytest.raises(RuntimeError):
            make(killed, ledger)
        make(resumed, ledger)
    assert killed.batches + resumed.batches == undisturbed.batches
    assert len(undisturbed.batches) == 12


def test_calls_that_failed_stay_in_their_groups(ledger: Ledger) -> None:
    def fail_some(call: Call) -> Completion:
        if call.document_id in ("d1", "d9") and call.subset == ("Ada", "Bo"):
            return completion(call, "", error="HTTP 500")
        return answer_everything(call)

    make(ToyClient(fail_some, batch_size=8), ledger)
    again = ToyClient(batch_size=8)
    make(again, ledger)
    assert [[call.document_id for call in batch] for batch in again.batches] == [["d1"], ["d9"]]


def test_a_longer_plan_buys_only_the_difference(ledger: Ledger) -> None:
    make(ToyClient(), ledger, MANY[:5], toy_recipe(pairs=1))
    client = ToyClient(batch_size=4)
    assert make(client, ledger).done == 80
    assert len(client.calls) == 80 - 10


def test_documents_with_the_same_text_share_their_calls(ledger: Ledger) -> None:
    # More than the scheduler looks ahead, so that some are in flight when their twin is reached.
    twins = [replace(TINY[0], id=f"twin {n}") for n in range(100)]
    client = ToyClient(concurrency=8, batch_size=2)
    found = make(client, ledger, twins)
    assert found.planned == found.done == 400
    assert len(client.calls) == len({call.id for call in client.calls}) == 4


def test_progress_counts_what_is_there_and_what_is_new(ledger: Ledger) -> None:
    make(ToyClient(), ledger, MANY[:10])
    seen: list[GenerationProgress] = []
    asyncio.run(
        generate(
            view_of(MANY, RECIPE, ledger), [EndpointWorker(ToyClient())], on_progress=seen.append
        )
    )
    preparing = [each for each in seen if each.phase == "preparing"]
    assert (preparing[-1].planned, preparing[-1].finished, preparing[-1].new) == (20, 20, 10)
    last = seen[-1]
    assert (last.phase, last.planned, last.finished, last.new) == ("texts", 60, 60, 40)
    assert (last.new_failed, last.new_tokens, last.new_cost_usd) == (0, 200, 20.0)
    assert last.in_flight == 0
    assert max(each.in_flight for each in seen) == 4


def test_unknown_cost_stays_unknown(ledger: Ledger) -> None:
    seen: list[GenerationProgress] = []
    client = ToyClient(lambda call: replace(answer_everything(call), cost_usd=None))
    asyncio.run(
        generate(view_of(MANY, RECIPE, ledger), [EndpointWorker(client)], on_progress=seen.append)
    )
    assert seen[-1].new_cost_usd is None


def test_a_full_disk_stops_the_run_and_keeps_what_was_recorded(ledger: Ledger) -> None:
    def verbose(call: Call) -> Completion:
        found = answer_everything(call)
        if call.stage == "entities":
            return found
        noise = "".join(random.Random(call.id).choices(string.printable, k=4000))
        return replace(found, text=noise)

    make(ToyClient(), ledger, MANY[:1])
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 12}")
    client = ToyClient(verbose, concurrency=4)
    with pytest.raises(UserError, match="the disk is full"):
        make(client, ledger)
    done = ledger.totals()["done"]
    assert 4 <= done < 80
    assert client.in_flight == 0
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    again = ToyClient()
    assert make(again, ledger).done == 80
    assert len(again.calls) == 80 - done


def run_report(client: ToyClient, ledger: Ledger, **options: Any) -> GenerationReport:
    worker = EndpointWorker(client, FAST, PRICES)
    return asyncio.run(generate(view_of(MANY, RECIPE, ledger), [worker], **options))


def test_a_budget_ends_the_run_cleanly_and_below_its_limit(ledger: Ledger) -> None:
    client = ToyClient(lambda call: answer_with(call, Usage(100, 0, 50)), concurrency=8)
    budget = Budget(max_tokens=8_000)
    report = run_report(client, ledger, budget=budget)
    assert (report.over_budget, report.stopped) == (True, False)
    assert report.totals.to_do > 0
    usage = ledger.usage().usage
    assert budget.spent_tokens == usage.prompt_tokens + usage.completion_tokens <= 8_000
    reserved = max(EndpointWorker(client).most([call]).tokens for call in client.calls)
    assert budget.spent_tokens > 8_000 - reserved, "there was room for another call"
    assert budget.reserved_tokens == 0
    assert len(client.calls) == report.totals.done


def test_a_budget_in_dollars_holds_over_several_runs(ledger: Ledger) -> None:
    def priced(call: Call) -> Completion:
        return replace(answer_with(call, Usage(100, 0, 50)), cost_usd=0.001)

    spent: list[float] = []
    for _ in range(3):
        before = ledger.usage().known_usd
        budget = Budget(max_cost_usd=0.05, spent_usd=before)
        run_report(ToyClient(priced), ledger, budget=budget)
        spent.append(ledger.usage().known_usd)
    assert spent[0] == spent[1] == spent[2]
    assert 0.04 < spent[0] <= 0.05


def test_failures_that_may_pass_are_salvaged_at_the_end(ledger: Ledger) -> None:
    attempts: Counter[str] = Counter()

    def troubled(call: Call) -> Completion:
        attempts[call.id] += 1
        if call.document_id == "d3" and call.stage == "pairs" and attempts[call.id] <= 4:
            raise TransientError("HTTP 500")
        return answer_everything(call)

    client = ToyClient(troubled)
    phases: list[str] = []
    report = run_report(
        client, ledger, salvage_rounds=2, on_progress=lambda state: phases.append(state.phase)
    )
    assert report.totals.done == report.totals.planned == 80
    assert list(dict.fromkeys(phases)) == ["preparing", "texts", "salvage"]
    assert max(attempts.values()) == 5
    assert report.statistics.retries == 3 * 2  # in the two rounds of two tries each


def test_what_fails_for_good_is_not_salvaged(ledger: Ledger) -> None:
    def reject(call: Call) -> Completion:
        if call.document_id == "d3" and call.stage == "pairs":
            return completion(call, "", error="HTTP 400: no")
        if call.document_id == "d4" and call.stage == "pairs":
            raise TransientError("HTTP 500")
        return answer_everything(call)

    client = ToyClient(reject)
    report = run_report(client, ledger, salvage_rounds=3)
    assert (report.totals.done, report.totals.failed) == (74, 6)
    sent = Counter(call.document_id for call in client.calls if call.stage == "pairs")
    assert (sent["d3"], sent["d4"]) == (3, 3 * 2 * 4)


def test_a_stopped_run_waits_for_what_is_in_flight_or_drops_it(ledger: Ledger) -> None:
    def stop_after(number: int, client: ToyClient, how: str) -> GenerationReport:
        stop = StopRequest()

        def watch(state: GenerationProgress) -> None:
            if state.new >= number and not stop.draining:
                getattr(stop, how)()

        return run_report(client, ledger, stop=stop, on_progress=watch)

    client = ToyClient(delay_s=0.001)
    report = stop_after(30, client, "drain")
    assert report.stopped
    assert report.totals.done == len(client.calls) < 80

    @dataclass
    class Uneven(ToyClient):
        async def complete(self, calls: Sequence[Call]) -> list[Completion]:
            if calls[0].subset == ("Ada", "Bo"):
                await asyncio.sleep(60)
            return await super().complete(calls)

    slow = Uneven(concurrency=4)
    dropped = stop_after(1, slow, "abort")
    assert dropped.stopped
    assert slow.in_flight == 0
    rest = ToyClient()
    assert run_report(rest, ledger).totals.done == 80
    assert len(client.calls) + len(slow.calls) + len(rest.calls) == 80


def test_a_document_stays_with_one_endpoint_and_is_warmed_before_its_calls_follow(
    ledger: Ledger,
) -> None:
    clients = [ToyClient(delay_s=0.001, endpoint=name, concurrency=3) for name in "ab"]
    workers = [EndpointWorker(client) for client in clients]
    big = toy_recipe(pairs=30)
    names = entities_json(*(f"E{n}" for n in range(9)))

    def many_entities(call: Call) -> Completion:
        return completion(call, names) if call.stage == "entities" else answer_everything(call)

    for client in clients:
        client.answer = many_entities
    asyncio.run(generate(view_of(MANY[:6], big, ledger), workers))
    seen = [
        {call.document_id for call in client.calls} for client in clients
    ]  # preparing calls, too
    assert seen == [{each.id for each in share} for share in assign(MANY[:6], 2)]
    assert [len(each) for each in seen] == [3, 3]


def test_calls_of_a_document_wait_for_the_one_that_warms_its_prefix(ledger: Ledger) -> None:
    @dataclass
    class Watching(ToyClient):
        back: set[str] = field(default_factory=set)
        cold: int = 0

        async def complete(self, calls: Sequence[Call]) -> list[Completion]:
            (call,) = calls
            if call.stage == "pairs":
                self.cold += call.document_id not in self.back
            result = await super().complete(calls)
            self.back.add(call.document_id if call.stage == "pairs" else "")
            return result

    client = Watching(concurrency=8, delay_s=0.001)
    make(client, ledger)
    assert client.cold == len(MANY)
    assert client.most_in_flight == 8


def test_an_endpoint_that_dies_hands_its_documents_to_the_others(ledger: Ledger) -> None:
    @dataclass
    class Dying(ToyClient):
        async def complete(self, calls: Sequence[Call]) -> list[Completion]:
            if len(self.batches) >= 10:
                raise FatalError("The endpoint does not answer.")
            return await super().complete(calls)

    dying, healthy = Dying(delay_s=0.001), ToyClient(delay_s=0.001)
    report = asyncio.run(
        generate(view_of(MANY, RECIPE, ledger), [EndpointWorker(dying), EndpointWorker(healthy)])
    )
    assert report.totals.done == report.totals.planned == 80
    assert len(dying.calls) == 10
    assert len(dying.calls) + len(healthy.calls) == 80


def answer_with(call: Call, usage: Usage) -> Completion:
    return replace(answer_everything(call), usage=usage)
