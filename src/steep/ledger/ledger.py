"""The ledger: every call of a project, its outcome, and its cost.

    with Ledger(project.ledger_path) as ledger:
        ledger.record([Entry(call, completion, Slot(sequence.key, rank)), ...])

Calls are found by their content (`Call.id`), so no call is paid twice. Message parts are stored
once. A call that failed, or that waits in a provider's batch, may be recorded again; any other is
final, and fills its *slot*: its position in its document's sequence of calls. The missing calls are
those without a slot. A plan that has changed finds its calls by content and gives them new slots
(`link_existing`).
"""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from steep.core.artifacts import Project
from steep.core.calls import STATUSES, WITHOUT_TEXT, Call, Completion, Message, Status, Usage
from steep.ledger.budget import Reservation, charge_of, is_counted, used
from steep.ledger.records import (
    CORPUS_STAGE,
    IMPORT_ENDPOINT,
    TEXTLESS_REASON,
    CallRecord,
    Entry,
    ImportedText,
    LedgerStatus,
    Lost,
    Slot,
    SlotTotals,
    Spending,
    SubmittedBatch,
)
from steep.ledger.rows import (
    CALL,
    INGEST,
    INSERT,
    RECORD,
    STATUS,
    Parts,
    imported_row,
    ingested_row,
    now_utc,
    pack,
    record_of,
    row_of,
    waiting_row,
)
from steep.ledger.store import connect, sqlite_errors, transaction, writer_lock
from steep.llm.prices import Prices

T = TypeVar("T")
IDS_PER_QUERY = 500  # SQLite may be built with a limit of 999 parameters
RANKS_PER_QUERY = 10_000
UNKNOWN = -1  # the number of a sequence without slots

# The condition of the partial index is repeated, or SQLite scans the whole table.
_WAITING = "WHERE status IN ('failed', 'submitted') AND status = 'submitted' AND batch = ?"
_TEXTLESS = f"({', '.join(map(repr, WITHOUT_TEXT))})"
_BATCH = "token, endpoint, status, calls, submitted_at, batch_id, input_file_id, finished_at, note"
CLOSED_BATCHES = ("collected", "rejected")  # ours; a provider's own words are all open


class Ledger:
    """The calls of a project, open for one writer, or with `read_only` beside one.

    Raises:
        UserError: Another process is writing it; the file is no ledger, cannot be read or written,
            or does not exist yet.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        with ExitStack() as stack:
            if not read_only:
                stack.enter_context(writer_lock(path))
            with sqlite_errors(path):
                self._connection = connect(path, write=not read_only)
            stack.callback(self._connection.close)
            self._resources = stack.pop_all()
        self._sequences: dict[str, int] = {}
        self.parts = Parts(self._connection)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the next writer in."""
        self._resources.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The database. It is written only within `writing`, as `steep.ledger.requests` does."""
        return self._connection

    @property
    def changes(self) -> int:
        """The number of rows that were written since it was opened."""
        return self._connection.total_changes

    def record(self, entries: Sequence[Entry]) -> None:
        """Record how calls ended: all of them or (killed, disk full) none."""
        with self.writing():
            before, now = self._connection.total_changes, now_utc()
            rows = [
                row_of(call, completion, self.parts.keep(call.messages), now)
                for call, completion, _ in entries
            ]
            self._connection.executemany(INSERT, rows)
            if self._connection.total_changes - before == len(rows):
                self._fill_new(entries, [row[STATUS] for row in rows])
            else:  # some had ended before, and keep their first outcome
                self._fill((slot, call.id) for call, _, slot in entries if slot is not None)
            self.put_reasoning(completion for _, completion, _ in entries)

    def link_existing(self, filled: Sequence[tuple[Slot, str]]) -> None:
        """Fill slots with calls that are in the ledger already; ignore others."""
        with self.writing():
            self._fill(filled)

    def finished(self, key: str, below: int) -> int:
        """Count the slots of a sequence that are filled, among its first `below`."""
        query = "SELECT count(*) FROM slots WHERE sequence = ? AND rank < ?"
        return int(next(self.select(query, (self._sequence(key), below)))[0])

    def free_ranks(self, key: str, below: int, start: int = 0) -> Iterator[int]:
        """Yield the ranks from `start` to `below` whose slots are not filled; in order, lazily."""
        sequence, rank = self._sequence(key), start
        query = (
            "SELECT rank FROM slots WHERE sequence = ? AND rank >= ? AND rank < ? "
            f"ORDER BY rank LIMIT {RANKS_PER_QUERY}"
        )
        while rank < below:
            filled = [row[0] for row in self.select(query, (sequence, rank, below))]
            for occupied in filled:
                yield from range(rank, occupied)
                rank = occupied + 1
            if len(filled) < RANKS_PER_QUERY:
                break
        yield from range(rank, below)

    def slot_totals(self, key: str, below: int) -> SlotTotals:
        """Sum what filled the first `below` slots of a sequence."""
        query = (
            "SELECT status, count(*), sum(prompt_tokens), sum(cached_tokens), "
            "sum(completion_tokens), total(cost_usd), "
            "sum(cost_usd IS NULL AND status != 'skipped'), "
            "total((SELECT tokens FROM reasoning WHERE id = call_id)) "
            "FROM slots WHERE sequence = ? AND rank < ? GROUP BY status"
        )
        sequence = self._sequence(key)
        rows = list(self.select(query, (sequence, below))) if sequence != UNKNOWN else []
        return SlotTotals(
            counts={row[0]: row[1] for row in rows},
            usage=Usage(*(int(sum(row[column] for row in rows)) for column in (2, 3, 4, 7))),
            cost_usd=sum(row[5] for row in rows),
            unpriced=sum(row[6] for row in rows),
            reasoning_tokens=sum(row[4] for row in rows if row[0] == "reasoning"),
        )

    def slot_outcomes(self, key: str, below: int) -> Iterator[tuple[int, str, Status]]:
        """Yield rank, call id and status of what filled the first `below` slots, in order."""
        columns = "rank, call_id, status"
        query = f"SELECT {columns} FROM slots WHERE sequence = ? AND rank < ? ORDER BY rank"
        return self.select(query, (self._sequence(key), below))

    def calls_of_document(self, document_id: str, recipe: str) -> int:
        """Count the calls of a recipe about a document, in any plan."""
        query = "SELECT count(*) FROM calls WHERE document_id = ? AND recipe = ?"
        return int(next(self.select(query, (document_id, recipe)))[0])

    def submit(self, batch: SubmittedBatch, calls: Iterable[Call]) -> None:
        """Record a batch and its waiting calls, before the provider receives them."""
        with self.writing():
            self._put_batch(batch)
            waiting = (waiting_row(call, self.parts.keep(call.messages), batch) for call in calls)
            self._connection.executemany(INSERT, waiting)

    def batches(self, *, open_only: bool = True) -> list[SubmittedBatch]:
        """Return the provider batches of this project, oldest first."""
        rows = self.select(f"SELECT {_BATCH} FROM batches ORDER BY submitted_at, token")
        batches = [SubmittedBatch(*row) for row in rows]
        return [b for b in batches if not open_only or b.status not in CLOSED_BATCHES]

    def update_batch(self, batch: SubmittedBatch) -> None:
        """Record the new state of a batch."""
        with self.writing():
            self._put_batch(batch)

    def waiting(self, token: str) -> Iterator[str]:
        """Yield the ids of the calls that wait in a batch."""
        return (row[0] for row in self.select(f"SELECT id FROM calls {_WAITING}", (token,)))

    def waiting_calls(self, token: str) -> Iterator[Call]:
        """Rebuild the calls that wait in a batch."""
        rows = list(self.select(f"SELECT {CALL} FROM calls {_WAITING}", (token,)))
        return map(self.parts.call_of, rows)

    def ingest(
        self, token: str, completions: Sequence[Completion], to_do_again: Collection[str] = ()
    ) -> None:
        """Record outcomes of calls that wait in a batch; delete those to submit again.

        A call that has ended in another way in the meantime keeps its first outcome.
        """
        forget = "DELETE FROM calls WHERE id = ? AND status = 'submitted' AND batch = ?"
        with self.writing():
            self._connection.executemany(INGEST, map(ingested_row, completions))
            self.put_reasoning(completions)
            self._connection.executemany(forget, [(each, token) for each in to_do_again])

    def record_imported(self, texts: Sequence[ImportedText]) -> int:
        """Record texts that were generated elsewhere; return how many are new."""
        with self.writing():
            before, now = self._connection.total_changes, now_utc()
            self._connection.executemany(INSERT, [imported_row(text, now) for text in texts])
            return self._connection.total_changes - before

    def get(self, call_id: str) -> CallRecord | None:
        """Return the record of a call, or None."""
        return self.get_many([call_id]).get(call_id)

    def get_many(self, call_ids: Iterable[str]) -> dict[str, CallRecord]:
        """Return the records of calls, by id; unknown ones are left out."""
        return {row[0]: record_of(row) for row in self.select_ids(RECORD, call_ids)}

    def statuses(self, call_ids: Iterable[str]) -> dict[str, LedgerStatus]:
        """Return how calls ended, by id, without reading their texts."""
        return dict(self.select_ids("id, status", call_ids))

    def textless_attempts(self, call_ids: Iterable[str]) -> dict[str, int]:
        """Return the attempts of calls that are repeated because they returned no text."""
        found = self.select_ids("id, status, finish_reason, attempts", call_ids)
        return {row[0]: row[3] for row in found if row[1:3] == ("failed", TEXTLESS_REASON)}

    def call(self, call_id: str) -> Call:
        """Rebuild a call."""
        (row,) = self.select_ids(CALL, [call_id])
        return self.parts.call_of(row)

    def messages_of(self, call_id: str) -> tuple[Message, ...] | None:
        """Return the messages of a call as they were sent; an imported text has none."""
        found = list(self.select_ids("messages", [call_id]))
        return self.parts.read(found[0][0]) if found else None

    def imported(self) -> Iterator[CallRecord]:
        """Yield all imported texts, in an order independent of when they were imported.

        Passages of one exported corpus keep its order; those of several are ordered by recipe.
        """
        imported = f"FROM calls WHERE endpoint = '{IMPORT_ENDPOINT}' AND stage"
        query = f"SELECT {RECORD} {imported}"
        counted = f"SELECT count(*) > count(DISTINCT sample) {imported} = '{CORPUS_STAGE}'"
        ((several,),) = self.select(counted)
        for chosen in (
            f"= '{CORPUS_STAGE}' ORDER BY {'recipe, ' if several else ''}sample, id",
            f"!= '{CORPUS_STAGE}' ORDER BY recipe, document_id, model, sample, id",
        ):
            yield from map(record_of, self.select(f"{query} {chosen}"))

    def totals(self) -> Mapping[LedgerStatus, int]:
        """Count all calls by how they ended, imported texts among them."""
        counts = dict(self.select("SELECT status, count(*) FROM calls GROUP BY status"))
        statuses: tuple[LedgerStatus, ...] = (*STATUSES, "submitted")
        return {status: counts.get(status, 0) for status in statuses}

    def usage(self) -> Spending:
        """Sum tokens and cost of all calls; the cost of failed calls is unknown."""
        query = (
            "SELECT cost_usd IS NULL AND status NOT IN ('failed', 'submitted', 'skipped') "
            "AS unpriced, prompt_tokens > 0 AS is_counted, sum(prompt_tokens), "
            "sum(cached_tokens), sum(completion_tokens), total(cost_usd) FROM calls GROUP BY 1, 2"
        )
        rows = list(self.select(query))
        return Spending(
            usage=Usage(*(sum(row[column] for row in rows) for column in (2, 3, 4))),
            known_usd=sum(row[5] for row in rows),
            unpriced_usage=next((Usage(*row[2:5]) for row in rows if row[0] and row[1]), Usage()),
        )

    def charge_of(self, completion: Completion, prices: Prices) -> Reservation:
        """Return the usage of a recorded call, or the most that it can have used."""
        if is_counted(completion):
            return used(completion.usage, completion.cost_usd)  # without reading the call
        return charge_of(self.call(completion.call_id), completion, prices)

    def lost(self) -> Lost:
        """Sum what attempts that returned nothing have cost, or may have."""
        query = "SELECT total(attempts), total(tokens), total(cost_usd), total(unpriced) FROM lost"
        ((attempts, tokens, cost_usd, unpriced),) = self.select(query)
        return Lost(int(attempts), int(tokens), cost_usd, int(unpriced))

    def has_textless(self, max_attempts: int) -> bool:
        """Return whether an answer without text has had fewer attempts."""
        query = f"SELECT EXISTS(SELECT 1 FROM calls WHERE status IN {_TEXTLESS} AND attempts < ?)"
        return bool(next(self.select(query, (max_attempts,)))[0])

    def textless_slots(self, key: str, below: int, max_attempts: int) -> list[str]:
        """Return calls in the first slots that returned no text and had fewer attempts."""
        query = (
            "SELECT call_id FROM slots JOIN calls ON calls.id = call_id "
            f"WHERE sequence = ? AND rank < ? AND slots.status IN {_TEXTLESS} AND attempts < ?"
        )
        return [row[0] for row in self.select(query, (self._sequence(key), below, max_attempts))]

    def forget_outcomes(
        self, call_ids: Sequence[str], finish_reason: str, error: str, lost: Lost
    ) -> None:
        """Turn calls that have ended into failed ones, which the next run retries."""
        fail = (
            "UPDATE calls SET status = 'failed', finish_reason = ?, prompt_tokens = 0, "
            "cached_tokens = 0, completion_tokens = 0, cost_usd = NULL, error = ?, text = ? "
            "WHERE id = ?"
        )
        with self.writing():
            rows = [(finish_reason, error, pack(""), each) for each in call_ids]
            self._connection.executemany(fail, rows)
            ids = [(each,) for each in call_ids]
            self._connection.executemany("DELETE FROM slots WHERE call_id = ?", ids)
            self._connection.executemany("DELETE FROM reasoning WHERE id = ?", ids)
            self._put_lost(lost)

    def record_lost(self, lost: Lost) -> None:
        """Record attempts that returned nothing and may be billed."""
        with self.writing():
            self._put_lost(lost)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Open a transaction; when it fails, forget what is remembered of its writes."""
        try:
            with sqlite_errors(self.path), transaction(self._connection):
                yield
        except BaseException:
            self.parts.forget()
            self._sequences.clear()
            raise

    def put_reasoning(self, completions: Iterable[Completion]) -> None:
        """Record tokens of reasoning, in the caller's transaction."""
        known = ((each.call_id, each.usage.reasoning_tokens) for each in completions)
        rows = [row for row in known if row[1]]
        self._connection.executemany("INSERT OR IGNORE INTO reasoning VALUES (?, ?)", rows)

    def _put_lost(self, lost: Lost) -> None:
        self._connection.execute("INSERT INTO lost VALUES (?, ?, ?, ?)", lost)

    def _fill(self, filled: Iterable[tuple[Slot, str]]) -> None:
        fill = (
            "INSERT OR IGNORE INTO slots SELECT ?, ?, id, status, prompt_tokens, cached_tokens, "
            "completion_tokens, cost_usd FROM calls WHERE id = ? "
            "AND status NOT IN ('failed', 'submitted')"
        )
        values = [(self._sequence(slot.sequence), slot.rank, each) for slot, each in filled]
        self._connection.executemany(fill, values)

    def _fill_new(self, entries: Sequence[Entry], statuses: Sequence[Status]) -> None:
        """Fill the slots of rows that were just written, without reading them again."""
        values = []
        for (call, completion, slot), status in zip(entries, statuses, strict=True):
            if slot is not None and status != "failed":
                usage = completion.usage
                numbers = (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
                place = (self._sequence(slot.sequence), slot.rank, call.id, status)
                values.append((*place, *numbers, completion.cost_usd))
        fill = "INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._connection.executemany(fill, values)

    def _sequence(self, key: str) -> int:
        """Return the number of a sequence; the writer creates one for a new key."""
        if key not in self._sequences:
            if self._connection.in_transaction:
                self._connection.execute("INSERT OR IGNORE INTO sequences (key) VALUES (?)", (key,))
            found = list(self.select("SELECT id FROM sequences WHERE key = ?", (key,)))
            if not found:
                return UNKNOWN
            self._sequences[key] = found[0][0]
        return self._sequences[key]

    def _put_batch(self, batch: SubmittedBatch) -> None:
        marks = ", ".join("?" * len(_BATCH.split(", ")))
        self._connection.execute(
            f"INSERT OR REPLACE INTO batches ({_BATCH}) VALUES ({marks})",
            [getattr(batch, name) for name in _BATCH.split(", ")],
        )

    def select_ids(self, columns: str, ids: Iterable[str], table: str = "calls") -> Iterator[Any]:
        """Yield these columns of the rows with these ids, in no order."""
        for some in chunks(ids, IDS_PER_QUERY):
            marks = ", ".join("?" * len(some))
            yield from self.select(f"SELECT {columns} FROM {table} WHERE id IN ({marks})", some)

    def select(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of a query that only reads."""
        with sqlite_errors(self.path):
            yield from self._connection.execute(query, values)


def chunks(each: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` elements, the last one shorter; lazily."""
    remaining = iter(each)
    while some := list(itertools.islice(remaining, size)):
        yield some


@contextmanager
def open_ledger(project: Project) -> Iterator[Ledger]:
    """Open the ledger of the project to read it, or an empty ledger if it does not exist."""
    if project.ledger_path.is_file():
        with Ledger(project.ledger_path, read_only=True) as ledger:
            yield ledger
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        connect(path, write=True).close()  # without a lock, which some file systems do not have
        with Ledger(path, read_only=True) as ledger:
            yield ledger
