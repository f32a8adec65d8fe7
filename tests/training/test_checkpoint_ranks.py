"""Two real ranks: resharding, one error for both, and ranks that die or fall silent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import checkpoint_ranks_setup
import pytest
from checkpoint_ranks_setup import tensors_of_one
from checkpoint_setup import names, open_alone, same_bits

pytestmark = pytest.mark.slow

OLDER, NEWER = "checkpoint-00000001", "checkpoint-00000002"
FULL_DISK = "The disk is full.\n"
LOST = "has lost another rank: it died or timed out.\n"


class Played(NamedTuple):
    """What came of the scenarios; `exits` by name and rank."""

    directory: Path
    exits: dict[str, list[int]]

    def said(self, scenario: str, rank: int) -> tuple[str, float]:
        """A rank's error, and after how many seconds."""
        told = json.loads((self.directory / scenario / f"rank-{rank}").read_text())
        return told["said"], told["seconds"]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    directory = tmp_path_factory.mktemp("scenarios")
    command = [sys.executable, checkpoint_ranks_setup.__file__, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    played = Played(directory, {name: [int(code) for code in codes] for name, *codes in lines})
    assert played.exits.keys() == {each.__name__ for each in checkpoint_ranks_setup.SCENARIOS}
    quiet = {name for name, codes in played.exits.items() if codes == [0, 0]}
    assert quiet == played.exits.keys() - {"killed_one", "killed_zero", "silent_one"}, done.stderr
    yield played


def load_alone(directory: Path) -> int:
    """The newest checkpoint, which must be what its step says, bit for bit."""
    tensors = tensors_of_one(0)
    step = open_alone(directory).load(tensors)
    assert same_bits(tensors, tensors_of_one(step))
    return step


def test_one_rank_two_ranks_one_rank(played: Played) -> None:
    assert [played.said("reshard", rank)[0] for rank in range(2)] == ["nothing"] * 2
    directory = played.directory / "reshard" / "run"
    assert load_alone(directory) == 2
    assert json.loads((directory / NEWER / "step.json").read_text())["world_size"] == 2
    assert {"__0_0.distcp", "__1_0.distcp"} <= set(names(directory / NEWER))


def test_damage_that_one_rank_finds_is_damage_to_both(played: Played) -> None:
    assert [played.said("damage", rank)[0] for rank in range(2)] == ["nothing"] * 2


def test_training_talks_while_the_writer_does(played: Played) -> None:
    assert [played.said("beside", rank)[0] for rank in range(2)] == ["nothing"] * 2
    assert load_alone(played.directory / "beside" / "run") == 2


@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("identity", "found:    corpus.seed: 7 -> 8\n"),
        ("missing", "only in this run: extra\n"),
        ("full_disk", FULL_DISK),
    ],
)
def test_what_one_rank_meets_both_say(played: Played, scenario: str, error: str) -> None:
    for rank in range(2):
        assert error in played.said(scenario, rank)[0]
    assert names(played.directory / scenario / "run") == [OLDER]
    assert load_alone(played.directory / scenario / "run") == 1


@pytest.mark.parametrize(
    ("scenario", "left", "exits", "least_s"),
    [
        ("killed_one", 0, [0, -9], 0),
        ("killed_zero", 1, [-9, 0], 0),
        ("silent_one", 0, [0, -9], checkpoint_ranks_setup.SILENCE_S),
    ],
)
def test_nobody_waits_for_the_dead(
    played: Played, scenario: str, left: int, exits: list[int], least_s: float
) -> None:
    assert played.exits[scenario] == exits
    said, seconds = played.said(scenario, left)
    assert said.startswith(f"Rank {left} {LOST}")
    assert least_s <= seconds < least_s + 30, "not the half hour that a slow rank is given"
    assert load_alone(played.directory / scenario / "run") == 1
    assert names(played.directory / scenario / "run") == [OLDER], "what was left is removed"
