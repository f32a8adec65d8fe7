from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from steep.core.calls import Usage
from steep.core.errors import UserError
from steep.ledger import queries, store
from steep.ledger.ledger import Ledger
from steep.ledger.rows import pack
from steep.ledger.store import connect, sqlite_errors, writer_lock

KILLED_WRITER = """
import os, sys
from pathlib import Path
from steep.ledger.store import connect
connection = connect(Path(sys.argv[1]), write=True)
connection.execute("INSERT INTO parts VALUES ('late', 'text')")
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"does not support file locks[^$]*local disk"):
        Ledger(tmp_path / "ledger.db")


@pytest.mark.parametrize("name", ["SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_SHMMAP"])
def test_what_sqlite_says_of_network_disks_is_said_plainly(tmp_path: Path, name: str) -> None:
    error = sqlite3.OperationalError("locking protocol")
    error.sqlite_errorname = name
    locked = pytest.raises(UserError, match="does not support file locks")
    with locked, sqlite_errors(tmp_path / "ledger.db"):
        raise error


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What SQLite does in a read-only directory; tests may run as root, who may write anywhere."""
    real = sqlite3.connect

    class Refusing(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorname = "SQLITE_CANTOPEN"
            raise error

    def connect_there(path: object, **options: object) -> sqlite3.Connection:
        refused = str(path).endswith("snapshot/ledger.db") and not options.get("uri")
        return real(path, **options, **({"factory": Refusing} if refused else {}))  # type: ignore

    monkeypatch.setattr(sqlite3, "connect", connect_there)
    yield


def _snapshot(path: Path) -> Path:
    folder = path.parent / "snapshot"
    folder.mkdir()
    for each in path.parent.glob("ledger.db*"):
        shutil.copy(each, folder)
    return folder / path.name


def test_a_read_only_copy_can_be_read(tmp_path: Path, unwritable: None) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    with Ledger(_snapshot(path), read_only=True) as ledger:
        assert ledger.usage().known_usd == 0
    assert not list((tmp_path / "snapshot").glob("*-wal"))


def test_a_read_only_copy_holds_what_a_killed_writer_left_in_its_log(
    tmp_path: Path, unwritable: None
) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    subprocess.run([sys.executable, "-c", KILLED_WRITER, path], check=False)
    assert (tmp_path / "ledger.db-wal").stat().st_size
    connection = connect(_snapshot(path), write=False)
    assert connection.execute("SELECT hash FROM parts").fetchall() == [("late",)]
    connection.close()


def test_two_writers_keep_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with writer_lock(path), pytest.raises(UserError, match="Another process is writing"):
        Ledger(path)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_of_an_older_format_is_brought_up_to_date_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    newer = (*store.MIGRATIONS, ("CREATE TABLE later (number INTEGER)",))
    monkeypatch.setattr(store, "MIGRATIONS", newer)
    for _ in range(2):
        with Ledger(path, read_only=read_only) as ledger:
            assert list(ledger.select("SELECT * FROM later")) == []
            assert ledger.batches() == []


@pytest.mark.parametrize("read_only", [False, True])
def test_reasoning_in_a_ledger_from_before_it_was_counted_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    path, newest = tmp_path / "ledger.db", store.MIGRATIONS
    monkeypatch.setattr(store, "MIGRATIONS", newest[:1])
    with Ledger(path) as ledger, ledger.writing():
        for name, status in (("a", "reasoning"), ("b", "done")):
            ledger.connection.execute(
                "INSERT INTO calls VALUES (?, ?, 'stop', 9, 0, 70, 0.1, 1, 'e', 1, NULL, 'now', "
                "'qa', 'texts', 'd', '[]', 0, 'm', '{}', '[]', NULL, ?)",
                (name, status, pack("")),
            )
    monkeypatch.setattr(store, "MIGRATIONS", newest)
    with Ledger(path, read_only=read_only) as ledger:
        assert queries.paid(ledger)[0].usage == Usage(18, 0, 140, 70)
        records = ledger.get_many(["a", "b"])
        assert records["a"].completion.usage.reasoning_tokens == 70
        assert records["b"].completion.usage.text_tokens == 70


def test_a_ledger_in_the_first_format_is_kept_and_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE calls (id TEXT)")
        connection.execute(f"PRAGMA application_id = {store.FIRST_APPLICATION_ID}")
    before = path.read_bytes()
    for read_only in (True, False):
        with pytest.raises(UserError, match="written by an older Steep"):
            Ledger(path, read_only=read_only)
    assert path.read_bytes() == before
