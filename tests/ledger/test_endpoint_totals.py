"""What endpoints were asked and texts have cost, from calls and requests of a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steep.core.calls import Call, Completion, Message, Sampling, Usage
from steep.ledger import requests
from steep.ledger.budget import Reservation
from steep.ledger.endpoint_totals import endpoint_totals
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, ImportedText
from steep.ledger.requests import Ended
from steep.ledger.text_costs import OutcomeCost, cost_of_texts
from steep.llm.requests import Request

SERVER, OTHER = "http://one/v1", "http://two/v1"


def call(number: int, model: str = "m") -> Call:
    message = Message("user", (f"Question {number}.",))
    return Call("toy", "pairs", "d0", (), number, model, (message,), Sampling())


def completion(of: str, endpoint: str, latency_s: float, cost_usd: float | None) -> Completion:
    usage = Usage(100, 40, 10, 2)
    return Completion(of, "A text.", "stop", usage, cost_usd, latency_s, endpoint, 2)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        entries = [
            Entry(each, completion(each.id, SERVER, 1.0 + number, 0.5))
            for number, each in enumerate(map(call, range(10)))
        ]
        failed = Completion(
            call(10).id, "", "error", Usage(), None, 0.0, SERVER, 3, error="HTTP 500"
        )
        other = call(11, "judge")
        entries += [
            Entry(call(10), failed),
            Entry(other, completion(other.id, OTHER, 0.0, None)),
        ]
        ledger.record(entries)
        asked = Request("judge", SERVER, "chat", "m", ("Right?",), {})
        answer = completion(asked.id, SERVER, 20.0, 0.25)
        requests.record(ledger, [Ended(asked, answer, Reservation(110, 0.25))])
        ledger.record_imported([ImportedText("d0", "toy", "elsewhere", 0, "An imported text.")])
        yield ledger


def test_calls_and_requests_to_a_model_are_summed(ledger: Ledger) -> None:
    first, second = endpoint_totals(ledger)
    assert (first.endpoint, first.model, first.answered, first.failed) == (SERVER, "m", 11, 1)
    assert first.attempts == 2 * 11 + 3
    assert first.usage == Usage(1100, 440, 110, 22)
    assert first.known_usd == pytest.approx(5.25) and first.unpriced == 0
    assert (second.endpoint, second.model, second.answered) == (OTHER, "judge", 1)
    assert second.unpriced == 1, "imported texts are no calls"


def test_latencies_are_quantiles_of_known_ones(ledger: Ledger) -> None:
    first, second = endpoint_totals(ledger)
    assert first.latency_s == (6.0, 10.0, 20.0), "of 1 to 10 seconds, and 20"
    assert second.latency_s == (), "unknown, as in a batch"


def test_texts_cost_what_their_calls_did(ledger: Ledger) -> None:
    imported = ImportedText("d0", "toy", "elsewhere", 0, "An imported text.").id
    ids = [call(0).id, call(1).id, call(11, "judge").id, imported, "documents:d0"]
    assert cost_of_texts(ledger, "empty", ids) == OutcomeCost("empty", 3, 30, 1.0, 1)
    assert cost_of_texts(ledger, "", []) == OutcomeCost("", 0, 0, 0.0, 0)
