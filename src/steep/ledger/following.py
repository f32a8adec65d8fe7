"""Follow the ledger of a running process: each look reads what has changed since the last one.

Nothing is written and no lock of the writer is taken: the file is opened read-only for each look,
and closed after it. Rows are appended, and change only until they have ended, so the sums of ended
rows are kept, and only the open ones (failed, or waiting in a provider's batch) are looked at
again.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.calls import Usage
from steep.core.errors import UserError
from steep.ledger.ledger import IDS_PER_QUERY, chunks
from steep.ledger.queries import Sums, without_numbers
from steep.ledger.records import IMPORT_ENDPOINT, CallRecord, LedgerStatus
from steep.ledger.rows import RECORD, record_of
from steep.ledger.store import is_current, open_reader, sqlite_errors

LATEST = 10  # texts that are kept
LOOKED_AT = 5000  # rows at the end of the table, among which texts are searched
OPEN = "('failed', 'submitted')"  # as the partial index has it, or it is not used

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What a ledger holds.

    Attributes:
        calls: Sums of the calls by recipe and step, without imported texts.
        requests: Sums of evaluations, judges and searches, by purpose and model.
        imported: Number of imported texts.
        failures: Calls and requests that have failed, or were not sent, by reason.
        latest: The latest accepted answers, the newest first.
    """

    calls: Mapping[Key, Sums] = field(default_factory=dict)
    requests: Mapping[Key, Sums] = field(default_factory=dict)
    imported: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    latest: tuple[CallRecord, ...] = ()


class LedgerFollower:
    """Looks at a ledger again and again; to be used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: tuple[Any, ...] = ()
        self._state = LedgerState()
        self._forget()

    def look(self) -> LedgerState:
        """Return what the ledger holds now; an empty state if there is none.

        Raises:
            UserError: The file is not a ledger of this version, or cannot be read.
        """
        files = _files(self._path)
        if files == self._files:
            return self._state
        if files[:1] != self._files[:1]:  # another file, or none
            self._forget()
        if files:
            with sqlite_errors(self._path), closing(_open(self._path)) as connection:
                self._read(connection)
        self._files = files
        return self._state

    def _forget(self) -> None:
        self._calls = _Rows("calls", "recipe, stage")
        self._requests = _Rows("requests", "purpose, model")
        self._latest: dict[str, CallRecord] = {}
        self._state = LedgerState()

    def _read(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")  # one state of the file for all queries
        below = self._calls.last
        ended = self._calls.update(connection, _open_calls)
        self._requests.update(connection, self._requests.still_open)
        self._read_latest(connection, below, ended)
        failures = self._calls.reasons() + self._requests.reasons()
        self._state = LedgerState(
            calls=self._calls.sums(),
            requests=self._requests.sums(),
            imported=self._calls.imported,
            failures=dict(failures.most_common()),
            latest=tuple(self._latest.values()),
        )

    def _read_latest(self, connection: sqlite3.Connection, below: int, ended: list[int]) -> None:
        accepted = f"SELECT {RECORD} FROM calls WHERE +status = 'done' AND endpoint != ?"
        first = max(below, self._calls.last - LOOKED_AT)
        query = f"{accepted} AND rowid > ? ORDER BY rowid DESC LIMIT {LATEST}"
        found = list(connection.execute(query, (IMPORT_ENDPOINT, first)))
        if ended:
            some = sorted(ended)[-IDS_PER_QUERY:]
            query = f"{accepted} AND rowid IN ({_marks(some)}) ORDER BY finished_at DESC LIMIT ?"
            found += connection.execute(query, (IMPORT_ENDPOINT, *some, LATEST))
        for record in map(record_of, found):
            self._latest[record.call_id] = record
        newest = sorted(self._latest.values(), key=lambda each: each.finished_at, reverse=True)
        self._latest = {each.call_id: each for each in newest[:LATEST]}


class _OpenRow(NamedTuple):
    key: Key
    status: LedgerStatus
    reason: str


FindOpen = Callable[[sqlite3.Connection, Mapping[int, _OpenRow]], Mapping[int, LedgerStatus] | None]


class _Rows:
    """The sums of a table, by a pair of columns and by outcome."""

    def __init__(self, table: str, key: str) -> None:
        self._table, self._key = table, key
        self._forget()

    def _forget(self) -> None:
        self.last = 0  # the highest row number that was read
        self.imported = 0
        self._ended: dict[tuple[Key, LedgerStatus], list[float]] = {}
        self._open: dict[int, _OpenRow] = {}
        self._skipped: Counter[str] = Counter()

    def update(self, connection: sqlite3.Connection, find_open: FindOpen) -> list[int]:
        """Read new rows, and which of the open ones have ended; return the latter."""
        self._add_new(connection)
        now = find_open(connection, self._open)
        if now is None:
            return []
        if now.keys() - self._open.keys():  # an outcome was taken back: the sums are wrong
            self._forget()
            self._add_new(connection)
            return []
        ended = sorted(self._open.keys() - now.keys())
        for number in ended:
            del self._open[number]
        for number, status in now.items():
            self._open[number] = self._open[number]._replace(status=status)
        for some in chunks(ended, IDS_PER_QUERY):
            self._add(connection, f"rowid IN ({_marks(some)})", some)
        return ended

    def still_open(
        self, connection: sqlite3.Connection, known: Mapping[int, _OpenRow]
    ) -> dict[int, LedgerStatus] | None:
        """Return the open ones among the rows that are known to be open."""
        found: dict[int, LedgerStatus] = {}
        for some in chunks(known, IDS_PER_QUERY):
            query = f"SELECT rowid, status FROM {self._table} WHERE rowid IN ({_marks(some)})"
            found.update(connection.execute(f"{query} AND +status IN {OPEN}", some))
        return found

    def sums(self) -> dict[Key, Sums]:
        """Return the sums of each pair, in the order in which the pairs came."""
        found: dict[Key, list[tuple[LedgerStatus, list[float]]]] = {}
        for (key, status), numbers in self._ended.items():
            found.setdefault(key, []).append((status, numbers))
        waiting = Counter((row.key, row.status) for row in self._open.values())
        for (key, status), number in waiting.items():
            found.setdefault(key, []).append((status, [number, 0, 0, 0, 0.0, 0]))
        return {key: _sums(rows) for key, rows in found.items()}

    def reasons(self) -> Counter[str]:
        """Count why calls have failed or were not sent, apart from numbers in the reasons."""
        failed = (row.reason for row in self._open.values() if row.status == "failed")
        return Counter(map(without_numbers, failed)) + self._skipped

    def _add_new(self, connection: sqlite3.Connection) -> None:
        (top,) = connection.execute(f"SELECT ifnull(max(rowid), 0) FROM {self._table}").fetchone()
        self._add(connection, "rowid > ? AND rowid <= ?", (self.last, top))
        self.last = top

    def _add(self, connection: sqlite3.Connection, chosen: str, values: Sequence[int]) -> None:
        """Add rows; those that are open are kept one by one."""
        query = (
            f"SELECT {self._key}, status, endpoint = '{IMPORT_ENDPOINT}', "
            "CASE status WHEN 'skipped' THEN error END, count(*), sum(prompt_tokens), "
            "sum(cached_tokens), sum(completion_tokens), total(cost_usd), "
            "sum(cost_usd IS NULL AND status != 'skipped') "
            f"FROM {self._table} WHERE {chosen} AND +status NOT IN {OPEN} GROUP BY 1, 2, 3, 4, 5"
        )
        for one, other, status, imported, reason, *numbers in connection.execute(query, values):
            if imported:
                self.imported += numbers[0]
                continue
            sums = self._ended.setdefault(((one, other), status), [0, 0, 0, 0, 0.0, 0])
            sums[:] = (before + new for before, new in zip(sums, numbers, strict=True))
            if status == "skipped":
                self._skipped[without_numbers(reason or _UNKNOWN)] += numbers[0]
        self._add_open(connection, chosen, values)

    def _add_open(self, connection: sqlite3.Connection, chosen: str, values: Sequence[int]) -> None:
        # The partial index finds them in the whole table; among a few rows it would only be longer.
        status = "+status" if self.last else "status"
        query = (
            f"SELECT rowid, {self._key}, status, error FROM {self._table} "
            f"WHERE {chosen} AND {status} IN {OPEN}"
        )
        for number, one, other, status, error in connection.execute(query, values):
            self._open[number] = _OpenRow((one, other), status, error or _UNKNOWN)


_UNKNOWN = "no reason is known"


def _open_calls(
    connection: sqlite3.Connection, known: Mapping[int, _OpenRow]
) -> dict[int, LedgerStatus] | None:
    """Return all open calls by row number; None if they are those that are known.

    A call may be opened again, so all of the partial index is compared, by its sums.
    """
    query = (
        f"SELECT count(*), total(rowid), total(status = 'failed') FROM calls WHERE status IN {OPEN}"
    )
    failed = sum(row.status == "failed" for row in known.values())
    if connection.execute(query).fetchone() == (len(known), sum(known), failed):
        return None
    return dict(connection.execute(f"SELECT rowid, status FROM calls WHERE status IN {OPEN}"))


def _sums(rows: Iterable[tuple[LedgerStatus, list[float]]]) -> Sums:
    counts: dict[LedgerStatus, int] = {}
    total = [0.0] * 6
    for status, numbers in rows:
        counts[status] = int(numbers[0])
        total = [before + new for before, new in zip(total, numbers, strict=True)]
    usage = Usage(*map(int, total[1:4]))
    return Sums(counts, usage, known_usd=total[4], unpriced=int(total[5]))


def _open(path: Path) -> sqlite3.Connection:
    """Open the file without writing anything beside it.

    Raises:
        UserError: It has the format of another version.
    """
    connection = _connect(path)
    try:
        if is_current(connection, path):
            return connection
        raise UserError(
            "The ledger has the format of an older Steep.",
            where=path,
            hint="the next steep command that reads it, such as steep status, brings it up to date",
        )
    except BaseException:
        connection.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    """Connect; without a log beside the file nobody writes it, and it is read as it is."""
    how = "mode=ro" if any(_log_sizes(path)) else "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(uri, isolation_level=None, uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
    return open_reader(path)


def _files(path: Path) -> tuple[Any, ...]:
    """Return what changes when the ledger does: first the identity of the file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    times = (found.st_size, found.st_mtime_ns, *_log_sizes(path))
    return (found.st_dev, found.st_ino), *times


def _log_sizes(path: Path) -> Iterator[int]:
    """Yield the size of the log, and when it was written."""
    log = path.with_name(path.name + "-wal")
    try:
        found = log.stat()
    except FileNotFoundError:
        return
    if found.st_size:
        yield found.st_size
        yield found.st_mtime_ns


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("?" for _ in values)
