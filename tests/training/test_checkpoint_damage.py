"""Disks that are full, and files that are not as they were written."""

from __future__ import annotations

import errno
import gc
import io
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_setup import make_state, names, open_alone, same_bits, write

from steep.core.errors import UserError
from steep.training import checkpoint_files
from steep.training.checkpoint_files import check_files, checksum

NEWEST = "checkpoint-00000002"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "spoil", "named"),
    [
        ("__0_0.distcp", cut, "__0_0.distcp is not as it was written"),
        ("__0_0.distcp", flip, "__0_0.distcp is not as it was written"),
        ("__0_0.distcp", Path.unlink, "__0_0.distcp is missing"),
        (".metadata", cut, ".metadata is not as it was written"),
        ("step.json", cut, "step.json: "),
        ("step.json", Path.unlink, "step.json: "),
    ],
    ids=["cut", "flip", "missing", "metadata", "record cut", "record missing"],
)
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    spoil: Callable[[Path], None],
    named: str,
) -> None:
    write(tmp_path, [1, 2])
    spoil(tmp_path / NEWEST / name)
    state = make_state(0)
    with caplog.at_level(logging.WARNING, logger="steep"):
        assert open_alone(tmp_path).load(state) == 1
    assert same_bits(state, make_state(1))
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert f"{NEWEST} is damaged ({named}" in warning
    assert "resuming from the older checkpoint-00000001" in warning


def test_nothing_whole_is_an_error_that_names_the_damage(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    cut(tmp_path / "checkpoint-00000001" / "__0_0.distcp")
    cut(tmp_path / NEWEST / ".metadata")
    state = make_state(0)
    with pytest.raises(UserError, match="All checkpoints are damaged") as caught:
        open_alone(tmp_path).load(state)
    assert "checkpoint-00000002: .metadata is not" in str(caught.value)
    assert "checkpoint-00000001: __0_0.distcp is not" in str(caught.value)
    assert same_bits(state, make_state(0)), "nothing was touched"
    assert len(names(tmp_path)) == 2, "nothing was removed"


@pytest.mark.parametrize(("again", "left"), [(2, [NEWEST]), (3, ["checkpoint-00000003"])])
def test_training_past_a_damaged_checkpoint_replaces_it(
    tmp_path: Path, again: int, left: list[str]
) -> None:
    write(tmp_path, [1, 2])
    cut(tmp_path / NEWEST / "__0_0.distcp")
    checkpoints, state = open_alone(tmp_path, keep=1), make_state(0)
    assert checkpoints.load(state) == 1
    checkpoints.save(again, make_state(again))
    checkpoints.wait()
    assert names(tmp_path) == left
    assert open_alone(tmp_path).load(state) == again
    assert same_bits(state, make_state(again))


def test_a_new_checkpoint_does_not_go_for_a_damaged_newer_one(tmp_path: Path) -> None:
    write(tmp_path, [1, 5])
    cut(tmp_path / "checkpoint-00000005" / "__0_0.distcp")
    checkpoints = open_alone(tmp_path, keep=1)
    assert checkpoints.load(make_state(0)) == 1
    checkpoints.save(3, make_state(3))
    checkpoints.wait()
    assert names(tmp_path) == ["checkpoint-00000003"]


@pytest.mark.parametrize("piece_bytes", [100, checkpoint_files.PIECE_BYTES])
def test_checksums_see_every_byte(
    piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "PIECE_BYTES", piece_bytes)
    path, sums = tmp_path / "data", set()
    for size in (100, 101, 200, 203):
        path.write_bytes(bytes(size))
        sums.add(checksum(path))
        for place in (0, 99, size - 1):
            data = bytearray(size)
            data[place] = 1
            path.write_bytes(data)
            sums.add(checksum(path))
        check_files(tmp_path, [("data", checksum(path))])  # its threads see the same pieces
    assert len(sums) == 4 * 4 - 1, "in the first, two of the places are one"


class FullDisk(io.BytesIO):
    """Takes some bytes, then no more."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 300:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)


# From Python 3.13 on, a file of torch's that wraps a closed one is reported when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata.tmp", "step.json"])
@pytest.mark.parametrize("how", ["wait", "save"])
def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    """Torch hides the error of the disk behind others; one is no `Exception`."""
    write(tmp_path, [1])
    checkpoints, state, real_open = open_alone(tmp_path), make_state(0), Path.open
    assert checkpoints.load(state) == 1

    def open_full(path: Path, mode: str = "r", **rest: Any) -> Any:
        return FullDisk() if name in path.name and "w" in mode else real_open(path, mode, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        checkpoints.save(2, make_state(2))
        with pytest.raises(UserError, match="disk is full"):
            checkpoints.wait() if how == "wait" else checkpoints.save(3, make_state(3))
    assert names(tmp_path) == ["checkpoint-00000001"]
    checkpoints.save(3, make_state(3))  # somebody made room
    checkpoints.wait()
    assert open_alone(tmp_path).load(state) == 3
    gc.collect()  # so that it is reported here


def test_too_little_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [1])
    usage = shutil.disk_usage(tmp_path)._replace(free=50_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    checkpoints = open_alone(tmp_path)
    state = make_state(2) | {"large": make_state(0)["weight"].repeat(10, 10)}
    with pytest.raises(UserError, match="too little room") as caught:
        checkpoints.save(2, state)
    assert "expected: 0.2 MB free" in str(caught.value)
    assert "found:    0.1 MB" in str(caught.value)
    assert names(tmp_path) == ["checkpoint-00000001"]
