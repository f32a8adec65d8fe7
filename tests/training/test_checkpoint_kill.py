"""`kill -9` at every change that a save makes to the disk, and disks that take no more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import checkpoint_processes
import pytest
from checkpoint_setup import make_state, names, open_alone, same_bits

from steep.training.checkpoint_files import check_files, read_record

pytestmark = pytest.mark.slow


class Victims(NamedTuple):
    """`moments`: a directory for each moment of the kill; the last was left alone."""

    directory: Path
    moments: list[Path]
    said: dict[str, list[str]]


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    directory = tmp_path_factory.mktemp("victims")
    command = [sys.executable, checkpoint_processes.__file__, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if (directory / line).is_dir():
            said[line] = []
        else:
            said[list(said)[-1]].append(line)
    yield Victims(directory, sorted((directory / "kill").iterdir()), said)


def test_whatever_the_moment_a_whole_checkpoint_is_there(victims: Victims) -> None:
    found: list[int] = []
    for directory in victims.moments:
        state = make_state(0)
        found.append(open_alone(directory, keep=1).load(state))
        assert same_bits(state, make_state(found[-1])), directory
        assert not list(directory.glob(".*")), "what was left is removed"
        for path in directory.iterdir():
            check_files(path, read_record(path).files.items())  # no half that looks like a whole
    assert found == sorted(found), "once there, the new one stays"
    assert set(found) == {1, 2}
    assert found.count(1) > 5
    assert found.count(2) > 5


def test_whatever_the_moment_the_next_save_works(victims: Victims) -> None:
    for directory in victims.moments:
        checkpoints = open_alone(directory, keep=1)
        checkpoints.load(make_state(0))
        checkpoints.save(3, make_state(3))
        checkpoints.wait()
        assert names(directory) == ["checkpoint-00000003"]


def test_a_kill_in_the_middle_of_the_data(victims: Victims) -> None:
    directory, state = victims.directory / "kill_in_data", make_state(0)
    assert victims.said["kill_in_data"] == ["-9"]
    assert names(directory / ".checkpoint-00000002.tmp") == ["__0_0.distcp"]
    assert open_alone(directory).load(state) == 1
    assert same_bits(state, make_state(1))
    assert names(directory) == ["checkpoint-00000001"]


def test_a_limit_on_the_size_of_files_is_no_full_disk(victims: Victims) -> None:
    assert victims.said["limit"] == [
        "A file of the checkpoint exceeds the allowed file size.",
        "['checkpoint-00000001']",
        "1",
    ]


def test_a_disk_that_is_really_full(victims: Victims) -> None:
    if victims.said["full"] == ["no file system can be mounted here"]:
        pytest.skip(victims.said["full"][0])
    assert victims.said["full"] == ["The disk is full.", "['checkpoint-00000001', 'other']", "1"]
