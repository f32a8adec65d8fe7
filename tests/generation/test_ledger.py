from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy import TINY, completion, first_call, toy_recipe

from steep.core.calls import Call, Message, Status, Usage
from steep.core.errors import UserError
from steep.ledger import queries
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, ImportedText, status_of


def call(number: int = 0) -> Call:
    first = first_call(toy_recipe(), TINY[0])
    assert first is not None
    return replace(first, sample=number)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "store" / "ledger.db") as ledger:
        yield ledger


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "done"),
        ({"text": "", "error": "HTTP 500"}, "failed"),
        ({"text": " \n"}, "empty"),
        ({"text": "", "finish_reason": "length"}, "empty"),
        ({"text": " ", "finish_reason": "reasoning"}, "reasoning"),
        ({"finish_reason": "length"}, "truncated"),
        ({"text": "", "finish_reason": "content_filter"}, "refused"),
        ({"text": "No.", "finish_reason": "refusal"}, "refused"),
        ({"text": "I'm sorry, but I can't assist with that."}, "refused"),
        ({"finish_reason": "unknown"}, "done"),
    ],
)
def test_how_a_call_ended(fields: dict[str, Any], status: Status) -> None:
    assert status_of(completion(call(), **fields)) == status


def test_what_is_recorded_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    text = "Zürich, \N{SNOWMAN}\0 and a second line\n" * 50
    came = completion(call(), text, cost_usd=None, finish_reason="length", attempts=3)
    with Ledger(path) as ledger:
        ledger.record(
            [Entry(call(), came), Entry(call(1), completion(call(1), "", error="HTTP 500"))]
        )
    with Ledger(path) as ledger:
        record = ledger.get(call().id)
        assert record is not None
        assert record.completion == came
        assert record.text == text
        assert (record.recipe, record.stage, record.status) == ("toy", "entities", "truncated")
        assert ledger.messages_of(call().id) == call().messages
        assert ledger.statuses([call(1).id, "unknown"]) == {call(1).id: "failed"}
        assert ledger.get("unknown") is None
        assert ledger.messages_of("unknown") is None


def test_a_document_is_stored_once(ledger: Ledger) -> None:
    document = "A long document. " * 40
    messages = [(Message("user", (document, f"Question {n}.")),) for n in range(20)]
    calls = [replace(call(), messages=each) for each in messages]
    ledger.record([Entry(each, completion(each)) for each in calls])
    with sqlite3.connect(ledger.path) as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (1,)
    connection.close()
    assert [ledger.messages_of(each.id) for each in calls] == messages


def test_only_a_failed_call_is_recorded_again(ledger: Ledger) -> None:
    failed = completion(call(), "", error="HTTP 500", finish_reason="error")
    ledger.record([Entry(call(), failed)])
    ledger.record([Entry(call(), completion(call(), "first"))])
    ledger.record([Entry(call(), completion(call(), "second"))])
    ledger.record([Entry(call(), failed)])
    record = ledger.get(call().id)
    assert record is not None
    assert (record.text, record.status, record.completion.error) == ("first", "done", None)


def test_many_calls_are_found(ledger: Ledger) -> None:
    calls = [call(n) for n in range(1200)]
    ledger.record([Entry(each, completion(each)) for each in calls])
    assert len(ledger.get_many(each.id for each in calls)) == 1200


def test_totals_and_spending(ledger: Ledger) -> None:
    assert ledger.usage() == (Usage(), 0.0, Usage())
    ledger.record(
        [
            Entry(call(0), completion(call(0))),
            Entry(call(1), completion(call(1), "", cost_usd=0.25)),
            Entry(call(2), completion(call(2), "", usage=Usage(), cost_usd=None, error="HTTP 500")),
        ]
    )
    assert {k: n for k, n in ledger.totals().items() if n} == {"done": 1, "empty": 1, "failed": 1}
    assert ledger.usage() == (Usage(20, 8, 10), 0.75, Usage())
    assert queries.paid(ledger)[0].unpriced == 0
    ledger.record([Entry(call(3), completion(call(3), cost_usd=None))])
    assert ledger.usage()[1:] == (0.75, Usage(10, 4, 5))
    assert queries.paid(ledger)[0].unpriced == 1


def test_half_a_batch_is_never_recorded(ledger: Ledger) -> None:
    wrong = completion(call(5))
    with pytest.raises(AssertionError):
        ledger.record([Entry(call(1), completion(call(1))), Entry(call(2), wrong)])
    assert ledger.get(call(1).id) is None
    ledger.record([Entry(call(1), completion(call(1)))])


def test_imported_texts_come_in_an_order_of_their_own(ledger: Ledger) -> None:
    texts = [ImportedText(d, r, "gpt", s, d + r) for d in "ba" for r in "yx" for s in (1, 0)]
    assert ledger.record_imported(texts) == 8
    assert ledger.record_imported([*texts, texts[0]]) == 0
    ledger.record([Entry(call(), completion(call()))])
    found = [(each.recipe, each.document_id, each.sample) for each in ledger.imported()]
    assert found == [(r, d, s) for r in "xy" for d in "ab" for s in (0, 1)]
    assert ledger.usage().known_usd == 0.5
    assert ledger.messages_of(texts[0].id) == ()


def test_a_second_writer_is_turned_away(ledger: Ledger) -> None:
    program = (
        "import sys, pathlib; from steep.ledger.ledger import Ledger;"
        "Ledger(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ledger.path)], capture_output=True, text=True
    )
    assert "UserError: Another process is writing this ledger." in done.stderr
    with pytest.raises(UserError, match="Another process"):
        Ledger(ledger.path)


def test_a_reader_may_look_on_but_not_write(ledger: Ledger) -> None:
    ledger.record([Entry(call(), completion(call()))])
    with Ledger(ledger.path, read_only=True) as reader:
        assert reader.totals()["done"] == 1
        ledger.record([Entry(call(1), completion(call(1)))])
        assert reader.totals()["done"] == 2
        with pytest.raises(UserError, match="cannot be opened or written"):
            reader.record([Entry(call(2), completion(call(2)))])


def test_a_closed_ledger_lets_the_next_writer_in(tmp_path: Path) -> None:
    for _ in range(2):
        with Ledger(tmp_path / "ledger.db"):
            pass


def test_there_is_nothing_to_read_yet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no ledger yet"):
        Ledger(tmp_path / "ledger.db", read_only=True)
    assert not (tmp_path / "ledger.db").exists()


def test_a_full_disk_loses_nothing_that_was_recorded(ledger: Ledger) -> None:
    ledger.record([Entry(call(), completion(call()))])
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    noise = "".join(chr(0x4E00 + n * n % 20_000) for n in range(20_000))
    with pytest.raises(UserError, match="the disk is full"):
        ledger.record([Entry(call(1), completion(call(1), noise))])
    assert ledger.totals()["done"] == 1
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    ledger.record([Entry(call(1), completion(call(1), noise))])
    assert ledger.totals()["done"] == 2


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(UserError, match="not a ledger, or it is damaged"):
        Ledger(path)
    assert path.read_text().startswith("Dear diary")


def test_a_damaged_ledger_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.record([Entry(call(n), completion(call(n), f"{n} " * 3000)) for n in range(50)])
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"), Ledger(path) as ledger:
        ledger.get_many(call(n).id for n in range(50))


def test_a_database_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="not a ledger of Steep"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_ledger_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="newer Steep"):
        Ledger(path)


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(UserError, match="cannot be opened"):
        Ledger(tmp_path / "ledger.db")
