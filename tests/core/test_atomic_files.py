from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from steep.core.errors import UserError
from steep.core.files import (
    atomic_directory,
    disk_errors,
    read_json,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)

# What json.dumps leaves unescaped and str.splitlines() takes for the end of a line.
AWKWARD = [{"text": "one\u2028two\u0085three\x0bfour\nfive", "b": 1, "a": "naïve"}, {"text": ""}]


def fail_with(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_files_and_their_folders_are_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "naïve.txt", "naïve\n")
    assert (tmp_path / "a" / "b" / "naïve.txt").read_bytes() == "naïve\n".encode()
    write_bytes(tmp_path / "a" / "b" / "naïve.txt", b"")
    assert (tmp_path / "a" / "b" / "naïve.txt").read_bytes() == b""
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["naïve.txt"]


def test_json_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": AWKWARD, "a": None})
    assert read_json(tmp_path / "x.json") == {"b": AWKWARD, "a": None}
    write_jsonl(tmp_path / "x.jsonl", AWKWARD)
    assert read_jsonl(tmp_path / "x.jsonl") == AWKWARD
    assert (tmp_path / "x.jsonl").read_text().startswith('{"text": "one')


@pytest.mark.parametrize("operation", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(operation, fail_with(errno.ENOSPC))
        with pytest.raises(UserError, match="disk is full") as caught:
            write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["x.txt"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "x.txt"
    write_text(path, "old")
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert [each.name for each in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_text() == "old"


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "model"
    with atomic_directory(path) as temporary:
        (temporary / "weights").write_text("new")
        assert not path.exists()
    assert (path / "weights").read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("first", "second"):
        with atomic_directory(path) as temporary:
            (temporary / name).touch()
    assert [each.name for each in path.iterdir()] == ["second"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_an_interrupted_directory_is_thrown_away(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "model"
    with atomic_directory(path) as temporary:
        (temporary / "old").touch()
    with pytest.raises(type(error)), atomic_directory(path) as temporary:
        (temporary / "half").touch()
        raise error
    assert list(tmp_path.iterdir()) == [path]
    assert [each.name for each in path.iterdir()] == ["old"]


def test_what_an_earlier_process_of_this_number_left_is_no_part_of_it(tmp_path: Path) -> None:
    leftover = tmp_path / f".model.{os.getpid()}.tmp"
    leftover.mkdir()
    (leftover / "half").touch()
    with atomic_directory(tmp_path / "model"):
        pass
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "The disk is full."),
        (errno.EDQUOT, "The disk is full."),
        (errno.EACCES, "Cannot write: Permission denied."),
        (errno.EROFS, "Cannot write: Read-only file system."),
    ],
)
def test_what_a_disk_refuses_is_said(tmp_path: Path, number: int, message: str) -> None:
    with pytest.raises(UserError) as caught, disk_errors(tmp_path):
        fail_with(number)()
    assert caught.value.problem == message
    assert f"where:    {tmp_path}\n" in str(caught.value)
    assert "do: " in str(caught.value)


def test_a_full_disk_is_seen_behind_the_errors_of_other_languages(tmp_path: Path) -> None:
    """safetensors puts the number into its text; torch raises while it handles the OSError."""
    with pytest.raises(UserError, match="disk is full"), disk_errors(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(UserError, match="disk is full"), disk_errors(tmp_path):
        try:
            fail_with(errno.ENOSPC)()
        finally:
            raise RuntimeError("unexpected pos 704 vs 598")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        RuntimeError("a bug"),
        RuntimeError("No such file (os error 2)"),
        UserError("Something else."),
    ],
    ids=repr,
)
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_errors(tmp_path):
        raise error
    assert caught.value is error


def test_what_a_directory_holds_may_be_read_as_the_umask_says(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "model") as temporary:
        (temporary / "parts").mkdir()
        for name in ("weights", "parts/one"):
            (temporary / name).write_text("x")
            (temporary / name).chmod(0o600)  # as safetensors does
    expected = (tmp_path / "model").stat().st_mode & 0o666
    for name in ("weights", "parts/one"):
        assert (tmp_path / "model" / name).stat().st_mode & 0o777 == expected
