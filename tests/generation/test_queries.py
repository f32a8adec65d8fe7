"""What the ledger is asked: costs, entities, failures, one call, on a ledger of a few calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from toy import TINY, completion, first_call, toy_recipe

from steep.core.calls import Call, Usage
from steep.core.errors import UserError
from steep.ledger import queries
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, ImportedText, SubmittedBatch

QUILLON, PELL, HASK = TINY
RECIPE = toy_recipe()


def about(document_id: str, *names: str, sample: int = 0) -> Call:
    """A call about entities of a document."""
    first = first_call(RECIPE, QUILLON)
    assert first is not None
    (system, user) = first.messages
    asked = replace(user, parts=(*user.parts[:1], f"{document_id}: {', '.join(names)}"))
    return replace(
        first,
        stage="pairs",
        document_id=document_id,
        subset=names,
        sample=sample,
        messages=(system, asked),
    )


FERRY = about("quillon", "Quillon Ferry", "Edda Varnholt")
STRASSE = about("quillon", "GROẞE Straße", "The  Quillon   Ferry")
CUT_OFF = about("quillon", "edda varnholt", "Joren Pell", sample=1)
REFUSED = about("pell", "Edda Varnholt", "a silver oar")
UNPRICED = about("pell", "Joren Pell", "Lake Ostrel")
BROKEN = about("pell", "Edda Varnholt", "Tessel")
BROKEN_TOO = about("hask", "Orla Hask", "Tessel")
BROKEN_OTHERWISE = about("hask", "Orla Hask", "Ines Hask")
TOO_LONG = about("hask", "Ines Hask", "Bram Mine")
WAITING = about("hask", "Orla Hask", "Bram Mine")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    path = tmp_path / "ledger.db"
    with Ledger(path) as writer:
        for call, fields in (
            (FERRY, {"cost_usd": 0.25}),
            (STRASSE, {"cost_usd": 0.5}),
            (CUT_OFF, {"finish_reason": "length", "cost_usd": 0.125}),
            (REFUSED, {"finish_reason": "refusal", "cost_usd": 2.0}),
            (UNPRICED, {"cost_usd": None, "usage": Usage(100, 0, 50)}),
            (BROKEN, _error("HTTP 500: it broke 12 times [http://10.0.0.1]")),
            (BROKEN_TOO, _error("HTTP 500: it broke 1,003 times [http://10.0.0.1]")),
            (BROKEN_OTHERWISE, _error("HTTP 502: it broke 3 times")),
            (TOO_LONG, {**_error("300 tokens are too many"), "finish_reason": "skipped"}),
        ):
            writer.record([Entry(call, completion(call, **fields))])
        batch = SubmittedBatch("token-1", "toy", "in_progress", 1, "2026-01-02T03:04:05Z")
        writer.submit(batch, [WAITING])
        writer.record_imported(
            [ImportedText("hask", "elsewhere", "m", number, f"Text {number}") for number in (1, 2)]
        )
    with Ledger(path, read_only=True) as reader:
        yield reader


def _error(reason: str) -> dict[str, object]:
    nothing = {"usage": Usage(), "cost_usd": None, "finish_reason": "error"}
    return {"text": "", "error": reason, **nothing}


def test_everything_that_was_paid_for_is_added_up(ledger: Ledger) -> None:
    sums, imported = queries.paid(ledger)
    assert sums.counts == {
        "done": 3, "truncated": 1, "refused": 1, "failed": 3, "skipped": 1, "submitted": 1,
    }  # fmt: skip
    assert sums.calls == 10
    assert sums.usage == Usage(140, 16, 70)
    assert (sums.known_usd, sums.unpriced) == (2.875, 1)
    assert imported == 2


def test_documents_come_dearest_first(ledger: Ledger) -> None:
    costs = queries.document_costs(ledger)
    assert [each.document_id for each in costs] == ["pell", "quillon", "hask"]
    assert [each.sums.known_usd for each in costs] == [2.0, 0.875, 0.0]
    assert [each.imported for each in costs] == [0, 0, 2]
    assert costs[0].sums.counts == {"done": 1, "refused": 1, "failed": 1}
    assert costs[0].sums.unpriced == 1
    assert costs[2].sums.calls == 4
    for each in costs:
        assert queries.document_cost(ledger, each.document_id) == each
    assert queries.document_cost(ledger, "unknown").sums.calls == 0
    total = queries.documents_of(ledger, limit=1)["total"]
    assert total == queries.paid(ledger)[0].as_json() and total["known_usd"] == 2.875


def test_the_calls_of_a_document_are_found_by_its_index(ledger: Ledger) -> None:
    found = queries.calls_of_document(ledger, "quillon", 2)
    assert [record.call_id for record in found] == [FERRY.id, STRASSE.id]
    assert len(queries.calls_of_document(ledger, "hask", 100)) == 6
    asked: list[str] = []
    ledger.connection.set_trace_callback(asked.append)
    queries.calls_of_document(ledger, "quillon", 2)
    queries.document_cost(ledger, "quillon")
    queries.failures(ledger)
    ledger.connection.set_trace_callback(None)
    plans = {query: _plan(ledger, query) for query in asked}
    assert len(plans) == 6
    for query, plan in plans.items():
        scanned = "'skipped'" in query or "'truncated'" in query  # has no index of its own
        assert "SEARCH calls USING" in plan or scanned, (query, plan)


def _plan(ledger: Ledger, query: str) -> str:
    rows = ledger.connection.execute("EXPLAIN QUERY PLAN " + query)
    return "\n".join(row[3] for row in rows)


def test_texts_about_an_entity_whatever_its_capitals(ledger: Ledger) -> None:
    found, total = queries.about(ledger, "edda VARNHOLT", limit=10)
    assert [record.call_id for record in found] == [FERRY.id, CUT_OFF.id, REFUSED.id]
    assert total == 3
    first, total = queries.about(ledger, "Edda Varnholt", limit=1)
    assert ([record.call_id for record in first], total) == ([FERRY.id], 3)
    assert queries.about(ledger, "große strasse", limit=10)[0][0].call_id == STRASSE.id
    assert queries.about(ledger, "the Quillon ferry", limit=10)[1] == 1
    for unknown in ("Varnholt", "", "Tessel"):  # a part, nothing, and what only failed
        assert queries.about(ledger, unknown, limit=10)[1] == 0


def test_near_entities_are_offered(ledger: Ledger) -> None:
    assert queries.entities_like(ledger, "ferry edda") == [
        "Edda Varnholt", "Quillon Ferry", "The  Quillon   Ferry", "edda varnholt",
    ]  # fmt: skip
    assert queries.entities_like(ledger, "hask", limit=1) == ["Orla Hask"]
    assert queries.entities_like(ledger, "nobody") == []


def test_failures_are_grouped_whatever_the_numbers_in_their_reasons(ledger: Ledger) -> None:
    assert queries.failures(ledger) == [
        ("failed", "HTTP 500: it broke 12 times [http://10.0.0.1]", 2, 2, BROKEN.id),
        ("failed", "HTTP 502: it broke 3 times", 1, 1, BROKEN_OTHERWISE.id),
        ("skipped", "300 tokens are too many", 1, 1, TOO_LONG.id),
        ("truncated", "finish reason: length", 1, 1, CUT_OFF.id),
        ("refused", "finish reason: refusal", 1, 1, REFUSED.id),
    ]


def test_one_call_in_full(ledger: Ledger) -> None:
    for name in (FERRY.id, FERRY.id[:10]):
        full = queries.call_of(ledger, name)
        assert full["text"] == "A text about it."
        messages = [(each["role"], each["content"]) for each in full["messages"]]
        assert messages == [(each.role, each.content) for each in FERRY.messages]
        assert full["sampling"]["json_schema"] == '{"type":"object"}'
        assert full["batch"] is None
    assert queries.call_of(ledger, WAITING.id)["batch"] == "token-1"
    with pytest.raises(UserError, match="There is no call"):
        queries.call_of(ledger, "xyz")
    with pytest.raises(UserError, match="Several calls"):
        queries.call_of(ledger, "")
    (imported,) = [r for r in ledger.imported() if r.sample == 1]
    assert queries.call_of(ledger, imported.call_id)["messages"] == []


def test_waiting_calls_are_counted_by_batch(ledger: Ledger) -> None:
    assert [(b["token"], b["waiting"]) for b in queries.batches(ledger)] == [("token-1", 1)]


def test_an_empty_ledger_answers_too(tmp_path: Path) -> None:
    with Ledger(tmp_path / "empty.db") as ledger:
        assert queries.paid(ledger)[0].calls == 0
        assert queries.document_costs(ledger) == []
        assert queries.failures(ledger) == []
        assert queries.about(ledger, "x", 1)[1] == 0
