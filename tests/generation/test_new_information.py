"""What is new in further answers: windows, the bounded estimate, the state, and the two engines."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from batch_worker import FIVE, quick_client
from toy import TINY, completion, toy_call, toy_recipe, view_of

from scripted_batches import BatchServer
from steep.core.ngrams import WordHasher, ngrams
from steep.core.words import words_of
from steep.generation import new_information
from steep.generation.batch.runner import generate_in_batches
from steep.generation.new_information import InformationCurve, NewInformation, Window
from steep.generation.plan import PlanView
from steep.generation.progress import GenerationReport
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, Slot
from steep.llm.openai import OpenAIClient
from steep.testing.scripted_server import ScriptedServer

COUNTED = [("toy", "pairs")]
RECIPE = toy_recipe(pairs=60)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def record(ledger: Ledger, texts: Sequence[str], first: int = 0) -> list[str]:
    """Record texts as answers of the toy recipe, in slots of one sequence; return their ids."""
    entries = []
    for number, text in enumerate(texts, start=first):
        call = toy_call("toy", TINY[0], "pairs", ("Ada", "Bo"), number, "Write.")
        entries.append(Entry(call, completion(call, text), Slot("sequence", number)))
    ledger.record(entries)
    return [entry.call.id for entry in entries]


def information_of(ledger: Ledger, calls: int, threshold: float | None = None) -> NewInformation:
    return NewInformation(ledger, ledger.path.with_name("state.npz"), calls, threshold)


def random_text(seed: int, words: int = 100) -> str:
    chosen = random.Random(seed)
    return " ".join(f"w{chosen.randrange(10_000)}" for _ in range(words))


def test_windows_count_what_no_earlier_answer_has(ledger: Ledger) -> None:
    information = information_of(ledger, 2, 0.5)
    information.start([], COUNTED)
    texts = ["a b c d e f", "a b c d x y z", "a b c d e f", "", "x y z", "b c d e f g"]
    information.recorded(record(ledger, texts))
    assert information.windows == {"toy": [Window(2, 13, 6), Window(2, 9, 0)]}  # "" is no text
    assert information.latest == {"toy": 0}
    assert information.exhausted == {"toy"}


@pytest.mark.parametrize("text", ["Der Leuchtturm steht am Ufer.", "灯塔立在湖边很久了"])
def test_words_are_those_of_any_script(ledger: Ledger, text: str) -> None:
    information = information_of(ledger, 1)
    information.start([], COUNTED)
    information.recorded(record(ledger, [text, text]))
    words = len(words_of(text))
    assert information.windows == {"toy": [Window(1, words, words - 3), Window(1, words, 0)]}


def test_other_steps_and_failed_calls_do_not_count(ledger: Ledger) -> None:
    information = information_of(ledger, 1)
    information.start([], COUNTED)
    other = toy_call("toy", TINY[0], "entities", (), 0, "List.")
    failed = toy_call("toy", TINY[0], "pairs", ("Ada", "Bo"), 0, "Write.")
    entries = [Entry(other, completion(other)), Entry(failed, completion(failed, error="no"))]
    ledger.record(entries)
    information.recorded([other.id, failed.id, "unknown"])
    assert information.windows == {}


def test_the_estimate_is_right_when_only_some_n_grams_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(new_information, "KEPT_NGRAMS", 1000)
    curve, hasher = InformationCurve(), WordHasher()
    for number in range(300):  # every other text was there before
        words = words_of(random_text(number // 2))
        curve.add(len(words), ngrams(hasher.hashes(words), 4), 100)
        assert len(curve.seen) <= 1000
    assert curve.halvings == 4  # 14,550 distinct n-grams
    for window in curve.windows:
        assert window.new == pytest.approx(50 * 97, rel=0.15)


def test_a_resumed_run_has_the_windows_of_one_that_was_not_interrupted(ledger: Ledger) -> None:
    texts = [random_text(number % 13) for number in range(60)]
    whole = NewInformation(ledger, ledger.path.with_name("other.npz"), 7, None)
    whole.start([], COUNTED)
    for first in range(0, 60, 10):  # killed after every tenth answer, five times without saving
        information = information_of(ledger, 7)
        information.start([("sequence", 60)], COUNTED)
        ids = sorted(record(ledger, texts[first : first + 10], first))
        time.sleep(0.002)  # transactions are told apart by milliseconds
        if first == 30:
            information.recorded(ids)
            information.save()
        for call_id in ids:
            whole.recorded([call_id])
    information = information_of(ledger, 7)
    information.start([("sequence", 60)], COUNTED)
    assert information.windows == whole.windows
    assert len(information.windows["toy"]) == 60 // 7
    information.save()
    assert information_of(ledger, 7).windows == whole.windows


def test_a_recipe_stays_exhausted(ledger: Ledger) -> None:
    information = information_of(ledger, 2, 0.2)
    information.start([], COUNTED)
    texts = [random_text(0), random_text(1), *[random_text(0)] * 2]
    information.recorded(record(ledger, texts))
    assert information.exhausted == {"toy"}
    information.recorded(record(ledger, [random_text(n) for n in range(10, 20)], 4))
    assert information.exhausted == information_of(ledger, 2, 0.2).exhausted == {"toy"}
    assert information_of(ledger, 2).exhausted == frozenset()


def test_the_state_of_another_ledger_is_not_used(ledger: Ledger, tmp_path: Path) -> None:
    information = information_of(ledger, 2, 0.5)
    information.start([], COUNTED)
    information.recorded(record(ledger, [random_text(0)] * 4))
    assert information.exhausted == {"toy"}
    with Ledger(tmp_path / "another.db") as another:
        assert information_of(another, 2, 0.5).exhausted == frozenset()
    assert information_of(ledger, 2, 0.5).exhausted == {"toy"}


def check_ended_early(server: ScriptedServer, view: PlanView, report: GenerationReport) -> None:
    totals = report.totals
    assert view.is_reached(totals) and view.exhausted == {"toy"}
    assert totals.to_do == 0 < totals.beyond_target
    assert totals.done == totals.planned == server.completed.total() == len(server.completed)


def test_an_endpoint_that_repeats_itself_is_not_asked_for_more(ledger: Ledger) -> None:
    def run() -> tuple[PlanView, GenerationReport]:
        information = information_of(ledger, 10, 0.3)
        view = view_of(FIVE, RECIPE, ledger, information=information)
        client = OpenAIClient(server.base_url, concurrency=4)

        async def whole() -> GenerationReport:
            try:
                return await generate(view, [EndpointWorker(client)])
            finally:
                await client.close()

        report = asyncio.run(whole())
        information.save()
        return view, report

    with ScriptedServer() as server:
        check_ended_early(server, *run())
        calls = server.requests.total()
        check_ended_early(server, *run())
        assert server.requests.total() == calls


def test_batches_end_early_too_and_grow_with_what_is_known(ledger: Ledger) -> None:
    def run() -> tuple[PlanView, GenerationReport]:
        view = view_of(FIVE, RECIPE, ledger, information=information_of(ledger, 10, 0.3))

        async def whole() -> GenerationReport:
            client = quick_client(server.base_url, 1000)
            try:
                return await generate_in_batches(view, client, poll_s=0.001)
            finally:
                await client.close()

        return view, asyncio.run(whole())

    with BatchServer() as server:
        check_ended_early(server, *run())
        first, *others = [batch.calls for batch in ledger.batches(open_only=False)]
        assert (first, others[0]) == (5, 20)  # lists of entities, two windows
        assert all(20 <= calls <= 2 * 20 for calls in others)
        calls = server.requests.total()
        check_ended_early(server, *run())
        assert server.requests.total() == calls
