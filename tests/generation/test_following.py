"""A ledger is followed while it is written: the sums are those of the whole file at any time."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import TINY, completion, first_call, toy_recipe

from steep.core.calls import Call, Usage
from steep.core.errors import UserError
from steep.ledger import following, queries
from steep.ledger.following import LATEST, LedgerFollower, LedgerState
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry, ImportedText, Lost, SubmittedBatch

FIRST = first_call(toy_recipe(), TINY[0])


def call(number: int) -> Call:
    assert FIRST is not None
    return replace(FIRST, sample=number, stage="pairs" if number % 3 else "triplets")


def entry(number: int, error: str | None = None) -> Entry:
    asked = call(number)
    if error is None:
        return Entry(asked, completion(asked, cost_usd=0.25, text=f"Text {number}."))
    failed = completion(asked, error=error, cost_usd=None, finish_reason="error", text="")
    return Entry(asked, replace(failed, usage=Usage()))


def added_up(state: LedgerState) -> tuple[Counter[str], Usage, float]:
    counts: Counter[str] = Counter()
    tokens = [0, 0, 0]
    for sums in state.calls.values():
        counts.update(sums.counts)
        usage = sums.usage
        own = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
        tokens = [before + new for before, new in zip(tokens, own, strict=True)]
    return counts, Usage(*tokens), sum(sums.known_usd for sums in state.calls.values())


def assert_whole(follower: LedgerFollower, path: Path) -> LedgerState:
    """Compare what was followed with a look at the whole file."""
    state = follower.look()
    with Ledger(path, read_only=True) as reader:
        sums, imported = queries.paid(reader)
    assert added_up(state) == (Counter(sums.counts), sums.usage, sums.known_usd)
    assert state.imported == imported
    return state


def batch(token: str) -> SubmittedBatch:
    return SubmittedBatch(token, "toy", "in_progress", 1, "2026-01-02T03:04:05Z")


def test_what_is_recorded_is_seen_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    follower = LedgerFollower(path)
    assert follower.look() == LedgerState()
    with Ledger(path) as writer:
        writer.record([entry(1), entry(2, "HTTP 500: it broke 12 times")])
        first = assert_whole(follower, path)
        assert first.failures == {"HTTP 500: it broke 0 times": 1}
        assert [record.text for record in first.latest] == ["Text 1."]
        assert follower.look() is first  # nothing was written: nothing is read
        writer.record([entry(2), entry(3)])
        second = assert_whole(follower, path)
    assert second.failures == {}
    assert {record.text for record in second.latest} == {"Text 1.", "Text 2.", "Text 3."}
    assert second.calls[("toy", "pairs")].counts == {"done": 2}
    assert_whole(follower, path)  # after the writer has gone


def test_an_outcome_that_is_taken_back_is_no_longer_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    follower = LedgerFollower(path)
    with Ledger(path) as writer:
        writer.record([entry(1), entry(2)])
        assert_whole(follower, path)
        writer.forget_outcomes([call(1).id], "textless", "no text", Lost())
        assert assert_whole(follower, path).failures == {"no text": 1}
        writer.record([entry(1)])
        assert assert_whole(follower, path).failures == {}


def test_calls_of_a_batch_that_are_submitted_again_are_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    follower = LedgerFollower(path)
    with Ledger(path) as writer:
        writer.record([entry(1)])
        writer.submit(batch("token"), map(call, (2, 3)))
        assert added_up(assert_whole(follower, path))[0] == {"done": 1, "submitted": 2}
        writer.ingest("token", [], [call(2).id, call(3).id])
        assert added_up(assert_whole(follower, path))[0] == {"done": 1}
        writer.record([entry(2), entry(3)])  # in rows with the numbers of those that were deleted
        assert added_up(assert_whole(follower, path))[0] == {"done": 3}


def test_imported_texts_are_no_calls(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as writer:
        writer.record_imported([ImportedText("quillon", "elsewhere", "m", 1, "Text")])
        state = assert_whole(LedgerFollower(path), path)
    assert (state.imported, state.calls, state.latest) == (1, {}, ())


def test_only_the_latest_texts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    follower = LedgerFollower(path)
    with Ledger(path) as writer:
        for number in range(LATEST + 5):
            writer.record([entry(number)])
            state = follower.look()
    assert len(state.latest) == LATEST
    assert state.latest[0].text == f"Text {LATEST + 4}."


STEPS = st.lists(
    st.tuples(st.sampled_from(["record", "fail", "submit", "ingest", "again", "forget"]),
              st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True), st.booleans()),
    max_size=25,
)  # fmt: skip


@settings(max_examples=25)
@given(STEPS)
def test_the_sums_are_those_of_the_whole_file(steps: list[tuple[str, list[int], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as writer:
        follower = LedgerFollower(writer.path)
        for number, (action, chosen, is_looked_at) in enumerate(steps):
            waiting = {each: token for token in _tokens(writer) for each in writer.waiting(token)}
            calls = {call(each).id: each for each in chosen}
            match action:
                case "record" | "fail":
                    error = "it broke" if action == "fail" else None
                    free = [each for id, each in calls.items() if id not in waiting]
                    writer.record([entry(each, error) for each in free])
                case "submit":
                    known = writer.statuses(calls)
                    free = [each for id, each in calls.items() if known.get(id) in (None, "failed")]
                    writer.submit(batch(f"token-{number}"), map(call, free))
                case "ingest" | "again":
                    for id, each in calls.items():
                        if id in waiting and action == "ingest":
                            writer.ingest(waiting[id], [entry(each).completion])
                        elif id in waiting:
                            writer.ingest(waiting[id], [], [id])
                case "forget":
                    writer.forget_outcomes([*calls], "error", "taken back", Lost())
            if is_looked_at:
                assert_whole(follower, writer.path)
        assert_whole(follower, writer.path)


def _tokens(writer: Ledger) -> list[str]:
    return [each.token for each in writer.batches()]


def test_another_ledger_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    follower = LedgerFollower(path)
    with Ledger(path) as writer:
        writer.record([entry(number) for number in range(5)])
        assert_whole(follower, path)
    path.rename(tmp_path / "old.db")
    assert follower.look() == LedgerState()
    with Ledger(path) as writer:
        writer.record([entry(7)])
        assert_whole(follower, path)


def test_a_look_writes_nothing_and_takes_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as writer:
        writer.record([entry(1)])
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert_state = LedgerFollower(path).look()
    assert added_up(assert_state)[0] == {"done": 1}
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    with Ledger(path) as writer:  # beside a follower
        LedgerFollower(path).look()
        writer.record([entry(2)])


def test_the_ledger_of_an_older_version_is_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as writer:
        writer.record([entry(1)])
    older = sqlite3.connect(path)
    older.execute("PRAGMA user_version = 1")
    older.close()
    with pytest.raises(UserError, match="older Steep"):
        LedgerFollower(path).look()
    (path).write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="not a ledger"):
        LedgerFollower(path).look()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(mode)


def test_a_killed_writer_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    if (pid := os.fork()) == 0:
        Ledger(path).record([entry(1), entry(2)])
        os._exit(0)  # without closing: the log stays beside the file
    os.waitpid(pid, 0)
    assert path.with_name("ledger.db-wal").stat().st_size
    with read_only(tmp_path):
        assert added_up(LedgerFollower(path).look())[0] == {"done": 2}


def test_a_look_does_not_read_the_rows_that_were_counted_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    connect = following._connect

    def counting(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_progress_handler(lambda: steps.append(1), 10)  # of SQLite's machine
        return connection

    monkeypatch.setattr(following, "_connect", counting)

    def steps_of_a_later_look(rows: int) -> int:
        with Ledger(tmp_path / f"{rows}.db") as writer:
            writer.record([entry(number) for number in range(rows)])
            follower = LedgerFollower(writer.path)
            follower.look()
            writer.record([entry(rows + number) for number in range(10)])
            steps.clear()
            follower.look()
            return len(steps)

    assert steps_of_a_later_look(2000) <= 1.2 * steps_of_a_later_look(100)
