from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_setup import (
    CALLS,
    RECIPE,
    batches_of,
    closed,
    look,
    make,
    paid_once,
)
from batch_worker import FIVE
from toy import toy_recipe, view_of

from scripted_batches import BatchBehaviour, BatchServer
from steep.core.errors import UserError
from steep.ledger.ledger import Ledger
from steep.testing.script import Behaviour, Script


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(Script(3)) as server:
        yield server


def test_what_an_expired_batch_has_answered_is_kept(server: BatchServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(expiring=3)
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.statuses[:4] == ["expired", "expired", "expired", "completed"]
    assert server.batches.sizes == [5, 3, 2, 1, 20, 20, 10]  # each time half of the preparing calls
    assert paid_once(server)


def test_calls_that_fail_in_passing_go_out_again(tmp_path: Path) -> None:
    trouble = Behaviour(rate_limited=0.2, server_error=0.2)
    with BatchServer(Script(3, trouble)) as server, Ledger(tmp_path / "l.db") as ledger:
        found = make(server, ledger, max_attempts=20).totals
        attempts = [r.completion.attempts for _, r in view_of(FIVE, RECIPE, ledger).walk() if r]
        assert found.done == CALLS
        assert paid_once(server)
        assert sum(attempts) == server.requests.total() > CALLS


def test_calls_that_fail_too_often_have_failed(tmp_path: Path) -> None:
    with (
        BatchServer(Script(3)) as server,
        Ledger(tmp_path / "l.db") as ledger,
    ):
        make(server, ledger, recipe=toy_recipe(pairs=0))
        server.script = Script(3, Behaviour(rate_limited=1.0))
        found = make(server, ledger, max_attempts=3).totals
        assert (found.done, found.failed) == (5, 50)
        assert found.failures[0].reason.startswith("HTTP 429: ")
        assert server.requests.total() == 5 + 3 * 50
        server.script = Script(3)
        assert make(server, ledger, max_attempts=3).totals.done == CALLS
        assert paid_once(server)


def test_a_failed_opening_stops_its_document_only_for_this_run(tmp_path: Path) -> None:
    unusable = Behaviour(context_tokens=50)
    with BatchServer(Script(3, unusable)) as server, Ledger(tmp_path / "l.db") as ledger:
        found = make(server, ledger).totals
        assert (found.failed, found.planned, len(found.unprepared)) == (5, 5, 5)
        assert "maximum context length" in found.failures[0].reason
        server.script = Script(3)
        assert make(server, ledger).totals.done == CALLS


def test_calls_without_a_word_go_out_again(server: BatchServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(silent=2)
    found = make(server, ledger, max_attempts=2).totals
    # The first two calls of every batch are in no file, so of each round two are left.
    assert (found.failed, found.done) == (4, 3 + 28)
    assert found.failures[0].reason.startswith("the batch ended without an answer")


def test_a_server_that_wants_other_words_gets_them(tmp_path: Path) -> None:
    plain = Behaviour(structured_output="none")
    with BatchServer(Script(3, plain)) as server, Ledger(tmp_path / "l.db") as ledger:
        assert make(server, ledger).totals.done == CALLS
        # json_schema and json_object are refused, free of charge; the third try is without.
        assert server.batches.sizes == [5, 5, 5, 50]


def test_batches_of_other_words_are_read_as_they_were_phrased(tmp_path: Path) -> None:
    plain = Behaviour(structured_output="none")
    with BatchServer(Script(3, plain)) as server, Ledger(tmp_path / "l.db") as ledger:
        for expected in (5, 5, 5):  # each run forgets what the one before has learnt
            assert make(server, ledger, wait=False).totals.submitted == expected
            make(server, ledger, wait=False, documents=())
            make(server, ledger, wait=False, documents=())
        assert make(server, ledger).totals.done == CALLS


def test_a_refused_batch_stops_the_run_and_says_why(server: BatchServer, ledger: Ledger) -> None:
    refusal = ("invalid_request", "Line 1 is odd.")
    server.batches.behaviour = BatchBehaviour(refusing=1, refusal=refusal)
    with pytest.raises(UserError, match=r"line 1: Line 1 is odd\. \(invalid_request\)"):
        make(server, ledger)
    assert view_of(FIVE, RECIPE, ledger).totals().to_do == 5
    assert view_of(FIVE, RECIPE, ledger).totals().submitted == 0
    assert make(server, ledger).totals.done == CALLS


def test_an_unknown_model_stops_the_run_before_the_second_batch(tmp_path: Path) -> None:
    other = Behaviour(model="another")
    with BatchServer(Script(3, other)) as server, Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(UserError, match="'toy' is not known here"):
            make(server, ledger, most_requests=2)
        assert server.batches.sizes == [2]
        found = view_of(FIVE, RECIPE, ledger).totals()
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
    with BatchServer(Script(3, behaviour)) as server, Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(UserError, match=words):
            make(server, ledger)
        found = view_of(FIVE, RECIPE, ledger).totals()
        assert (found.to_do, found.submitted) == (5, 0)


def test_money_that_ends_in_a_batch_stops_the_run_and_keeps_the_answers(tmp_path: Path) -> None:
    short = Behaviour(credit_calls=7)
    with BatchServer(Script(3, short)) as server, Ledger(tmp_path / "l.db") as ledger:
        with pytest.raises(UserError, match="no quota or money left"):
            make(server, ledger)
        found = view_of(FIVE, RECIPE, ledger).totals()
        assert (found.done, found.to_do, found.failed, found.submitted) == (7, 48, 0, 0)
        server.script = Script(3)
        assert make(server, ledger).totals.done == CALLS
        assert paid_once(server)


def test_a_full_queue_is_waited_for(server: BatchServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(queue_calls=25, polls=6)
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    taken = [size for size, status in batches_of(server) if status == "completed"]
    assert sorted(taken) == [5, 10, 20, 20]
    refused = [size for size, status in batches_of(server) if status == "failed"]
    assert refused, "no batch met a full queue"
    # It waits with its file at the provider: one upload a batch, whatever the number of tries.
    assert server.batches.requests["upload"] == 4
    assert paid_once(server)


def test_a_batch_that_an_empty_queue_does_not_take_is_cut_in_half(
    server: BatchServer, ledger: Ledger
) -> None:
    server.batches.behaviour = BatchBehaviour(queue_calls=25)
    assert make(server, ledger).totals.done == CALLS
    taken = [size for size, status in batches_of(server) if status == "completed"]
    assert taken == [5, 25, 25]
    assert server.batches.sizes[1] == 50
    assert paid_once(server)


def test_a_batch_that_waits_for_room_is_made_by_the_next_process(
    server: BatchServer, ledger: Ledger
) -> None:
    make(server, ledger, recipe=toy_recipe(pairs=0))
    server.batches.behaviour = BatchBehaviour(queue_calls=20, polls=30)
    make(server, ledger, most_requests=20, wait=False)
    make(server, ledger, documents=(), wait=False, poll_s=60.0)
    # One batch is on its way, so that the others wait instead of being cut.
    assert [batch.status for batch in ledger.batches()] == ["in_progress", "waiting", "waiting"]
    assert view_of(FIVE, RECIPE, ledger).totals().submitted == 50
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.requests["upload"] == 1 + 3
    assert paid_once(server)


def test_a_reply_that_was_lost_makes_no_second_batch(server: BatchServer, ledger: Ledger) -> None:
    server.batches.behaviour = BatchBehaviour(lost_replies=2, troubled=0.2)
    assert make(server, ledger, most_requests=20).totals.done == CALLS
    assert server.batches.sizes == [5, 20, 20, 10]
    assert paid_once(server)


def ended_openings(server: BatchServer, ledger: Ledger) -> str:
    """Let the provider answer the preparing calls; return the name of the file with the answers."""
    make(server, ledger, wait=False)
    for _ in range(2):
        asyncio.run(look(server))
    (name,) = [name for name, content in server.batches.files.items() if b"200" in content]
    return name


def test_answers_that_are_gone_are_paid_again(server: BatchServer, ledger: Ledger) -> None:
    del server.batches.files[ended_openings(server, ledger)]
    assert make(server, ledger).totals.done == CALLS
    assert server.completed.total() == CALLS + 5


def test_a_file_that_lacks_an_answer_is_read_again(server: BatchServer, ledger: Ledger) -> None:
    name = ended_openings(server, ledger)
    _, rest = server.batches.files[name].split(b"\n", 1)
    server.batches.files[name] = rest
    assert make(server, ledger).totals.done == CALLS
    assert server.completed.total() == CALLS + 1
    assert closed(ledger)[0] == "completed: 4 answered, 0 failed, 1 to submit again"


def test_a_file_that_lacks_many_answers_stops_the_run_and_pays_for_none(
    server: BatchServer, ledger: Ledger
) -> None:
    name = ended_openings(server, ledger)
    whole = server.batches.files[name]
    server.batches.files[name] = b"<html>" + whole.split(b"\n", 2)[2]
    with pytest.raises(UserError, match="lack answers that were paid for"):
        make(server, ledger)
    found = view_of(FIVE, RECIPE, ledger).totals()
    assert (found.done, found.submitted) == (2, 3)
    server.batches.files[name] = whole
    assert make(server, ledger).totals.done == CALLS
    assert paid_once(server)


def test_a_batch_of_another_account_stops_the_run(server: BatchServer, ledger: Ledger) -> None:
    make(server, ledger, wait=False)
    server.batches._batches.clear()
    with pytest.raises(UserError, match="use the key of the account"):
        make(server, ledger)
    assert view_of(FIVE, RECIPE, ledger).totals().submitted == 5
