"""The SQLite file of the ledger: tables, migrations, lock and errors.

One writer: a lock file beside the database, held as long as the ledger is open, keeps a second
process from paying for the same calls. The lock is the kernel's (flock), so it dies with its
process, also after `kill -9`. Readers need no lock.

`synchronous=FULL`, although a killed process would lose nothing at NORMAL: after a power cut NORMAL
may forget the last transactions, and each of them is paid for. It costs one fsync for all calls
that finished together, milliseconds against the seconds that a call takes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from steep.core.errors import UserError
from steep.core.files import disk_errors, no_locks, try_lock

APPLICATION_ID = 0x53746571  # marks our files
FIRST_APPLICATION_ID = 0x53746570  # of ledgers before calls and requests shared their columns
BUSY_TIMEOUT_MS = 30_000

# Errors of SQLite on network disks that cannot lock, or share the memory that WAL needs.
NO_LOCKS = (
    "SQLITE_PROTOCOL", "SQLITE_NOLFS", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_UNLOCK",
    "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_SHM",
)  # fmt: skip

_OUTCOME = """
            id TEXT PRIMARY KEY,
            status TEXT NOT NULL,
            finish_reason TEXT NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            cost_usd REAL,          -- NULL: unknown
            latency_s REAL NOT NULL,
            endpoint TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            error TEXT,
            finished_at TEXT NOT NULL,
"""

# One entry per version of the file format, oldest first; never edit one that was released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # `text` is last: counting reads the columns before it and never the pages of long texts.
        f"""CREATE TABLE calls ({_OUTCOME}
            recipe TEXT NOT NULL,
            stage TEXT NOT NULL,
            document_id TEXT NOT NULL,
            subset TEXT NOT NULL,   -- JSON
            sample INTEGER NOT NULL,
            model TEXT NOT NULL,
            sampling TEXT NOT NULL, -- JSON
            messages TEXT NOT NULL, -- JSON: [[role, [part hash, ...]], ...]
            batch TEXT,             -- token of the provider batch it waits in
            text BLOB NOT NULL      -- zlib
        )""",
        """CREATE INDEX imported ON calls (recipe, document_id, model, sample, id)
            WHERE endpoint = 'import'""",
        "CREATE INDEX calls_of_document ON calls (document_id, recipe)",
        """CREATE INDEX unfinished ON calls (status, batch)
            WHERE status IN ('failed', 'submitted')""",
        f"""CREATE TABLE requests ({_OUTCOME} -- what evaluations, judges and searches have sent
            purpose TEXT NOT NULL,
            kind TEXT NOT NULL,
            model TEXT NOT NULL,
            parts TEXT NOT NULL,      -- JSON, as `messages` of a call
            parameters TEXT NOT NULL, -- JSON
            held_tokens INTEGER NOT NULL, -- what counts against limits
            held_usd REAL NOT NULL,
            result BLOB NOT NULL      -- zlib, JSON
        )""",
        "CREATE TABLE parts (hash TEXT PRIMARY KEY, text BLOB NOT NULL)",  # of messages; zlib
        "CREATE TABLE sequences (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE)",
        # Which places of a plan have ended for good, and the numbers that totals need: what is left
        # of a million calls is found, and summed, without building or reading one of them.
        """CREATE TABLE slots (
            sequence INTEGER NOT NULL,
            rank INTEGER NOT NULL,
            call_id TEXT NOT NULL,
            status TEXT NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            cost_usd REAL,
            PRIMARY KEY (sequence, rank)
        ) WITHOUT ROWID""",
        """CREATE TABLE batches (
            token TEXT PRIMARY KEY, -- ours; known before the provider names the batch
            endpoint TEXT NOT NULL,
            batch_id TEXT,
            input_file_id TEXT,
            status TEXT NOT NULL,
            calls INTEGER NOT NULL,
            submitted_at TEXT NOT NULL,
            finished_at TEXT,
            note TEXT
        )""",
        """CREATE TABLE lost ( -- attempts that returned nothing
            attempts INTEGER NOT NULL,
            tokens INTEGER NOT NULL,
            cost_usd REAL NOT NULL, -- as far as prices are known
            unpriced INTEGER NOT NULL
        )""",
    ),
    (
        # Tokens of reasoning in the answers of calls and requests that have any. Columns of those
        # tables would stand after the texts, and be as slow to sum.
        "CREATE TABLE reasoning (id TEXT PRIMARY KEY, tokens INTEGER NOT NULL) WITHOUT ROWID",
        """INSERT INTO reasoning SELECT id, completion_tokens FROM calls
            WHERE status = 'reasoning' AND completion_tokens > 0""",
    ),
)


# The problem and the hint for SQLite's names of errors that begin like this.
_ERRORS = {
    ("SQLITE_FULL", "SQLITE_IOERR"): (
        "The ledger cannot be written: the disk is full or failing.",
        "free some space and run the same command again; what was recorded is safe",
    ),
    ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"): (
        "The ledger cannot be opened or written.",
        "check who may write this file and its folder",
    ),
    ("SQLITE_NOTADB", "SQLITE_CORRUPT"): (
        "This file is not a ledger, or it is damaged.",
        "restore it from a copy, or move it away to begin with an empty ledger",
    ),
    ("SQLITE_BUSY", "SQLITE_LOCKED"): ("Another program holds the ledger.", "close it"),
}


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn SQLite errors (disk full, not writable, broken or foreign file) into a `UserError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(NO_LOCKS):
            raise no_locks(path, error) from error
        for names, (problem, hint) in _ERRORS.items():
            if name.startswith(names):
                raise UserError(problem, where=path, found=error, hint=hint) from error
        raise


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the right to write the database at `path`.

    Raises:
        UserError: Another process holds it, or its file system has no locks.
    """
    lock_path = path.with_name(path.name + ".lock")
    with disk_errors(lock_path):
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not try_lock(descriptor, path):
            holder = os.read(descriptor, 20).decode().strip()
            raise UserError(
                "Another process is writing this ledger.",
                where=path,
                found=f"process {holder or 'unknown'}",
                hint="wait until it ends, or stop it; then run the same command again",
            )
        with disk_errors(lock_path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)  # releases the lock


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the database; create it when it may be written, and bring an older one up to date.

    Raises:
        UserError: There is none to read, or another process writes the older one.
    """
    if not write and not path.is_file():
        raise UserError("There is no ledger yet.", where=path, hint="steep generate")
    connection = sqlite3.connect(path, isolation_level=None) if write else open_reader(path)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        version = _checked_version(connection, path, write=write)
        if write:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, version)
        else:
            if version < len(MIGRATIONS):  # no reader can do without the newer tables
                with writer_lock(path):
                    _migrate(connection, _checked_version(connection, path, write=False))
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a database to read it, also where nothing can be written.

    A reader of a database in WAL mode writes a file of shared memory beside it. Where that cannot
    be, as in a snapshot, no process writes the database, and it is read without; what a killed
    writer left in the log beside it is read from a copy of both.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.DatabaseError as error:
        connection.close()
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
    log = path.with_name(path.name + "-wal")
    if not log.is_file() or not log.stat().st_size:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        return sqlite3.connect(uri, isolation_level=None, uri=True)
    with disk_errors(path), tempfile.TemporaryDirectory() as folder:
        copy = sqlite3.connect(":memory:", isolation_level=None)
        for each in (path, log):
            shutil.copyfile(each, Path(folder) / each.name)
        with closing(sqlite3.connect(Path(folder) / path.name)) as source:
            source.backup(copy)
        return copy


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Open a transaction for writing from the start, so that it cannot fail half-way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back on a full disk
            connection.execute("ROLLBACK")
        raise


def is_current(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether a ledger has the tables of this version.

    Raises:
        UserError: It is not a ledger, or one of a newer version.
    """
    return _checked_version(connection, path, write=False) == len(MIGRATIONS)


def _checked_version(connection: sqlite3.Connection, path: Path, *, write: bool) -> int:
    """Return the file's format version; 0 for a new file."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application_id == FIRST_APPLICATION_ID:
        raise UserError(
            "This ledger was written by an older Steep, in a format that this one cannot read.",
            where=path,
            hint="keep it with the older Steep, or use another project directory",
        )
    if application_id != APPLICATION_ID and (tables or not write):
        raise UserError(
            "This database is not a ledger of Steep.",
            where=path,
            found=f"{tables} tables, application id {application_id}",
            hint="move it away, and run the same command again",
        )
    if version > len(MIGRATIONS):
        raise UserError(
            "This ledger was written by a newer Steep.",
            where=path,
            expected=f"format {len(MIGRATIONS)} or older",
            found=f"format {version}",
            hint="install the version of Steep that wrote it, or a later one",
        )
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
