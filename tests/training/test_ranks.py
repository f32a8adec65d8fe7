"""Several ranks: real processes that meet over loopback, split a model and continue one another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rank_worker
import torch
import waiting_ranks
from training_setup import load_tokenizer, write_shards

from steep.core.errors import UserError
from steep.core.ranks import gpu_of, place_of
from steep.training import parallel
from steep.training.metrics import read_metrics, read_validation
from steep.training.parallel import World, disconnect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    write_shards(directory, load_tokenizer(tiny_directory))
    return directory


KEPT = {"mask": True, "checkpoint_minutes": 60}
RUNS: list[dict[str, Any]] = [
    {"run": "alone", "ranks": 1, "changes": {"mask": True}},
    {"run": "two", "ranks": 2, "changes": {"mask": True}},
    {"run": "three", "ranks": 3, "changes": {"mask": True, "micro_batch_sequences": 1}},
    {"run": "changing", "ranks": 1, "changes": {**KEPT, "stop_at": 2}},
    {"run": "changing", "ranks": 2, "changes": {**KEPT, "stop_at": 5}},
    {"run": "changing", "ranks": 1, "changes": KEPT},
    {"run": "dying", "ranks": 2, "changes": {"mask": True, "die_at": 4}},
    {"run": "dying", "ranks": 1, "changes": {"mask": True}},
]


@pytest.fixture(scope="module")
def root(tiny_directory: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all the runs lie."""
    root = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, rank_worker.__file__, *map(str, (tiny_directory, shards, root))]
    subprocess.run(command, input=json.dumps(RUNS), text=True, check=True, timeout=300)
    return root


def told(root: Path, run: str, part: int = 0) -> list[str]:
    """What each rank of the n-th part of a run wrote to standard error, and its exit code."""
    number = [index for index, each in enumerate(RUNS) if each["run"] == run][part]
    return [path.read_text() for path in sorted((root / run).glob(f"{number}-rank*.txt"))]


def ended_well(root: Path, run: str, part: int = 0) -> bool:
    return all(each.splitlines()[-1] == "0" for each in told(root, run, part))


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(run / "weights.pt", weights_only=True)
    return loaded


def assert_close(one: Path, other: Path) -> None:
    assert losses(one) == pytest.approx(losses(other), rel=1e-4)
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    for name, weight in mine.items():
        assert torch.allclose(weight, theirs[name], rtol=1e-3, atol=1e-4), name


def test_two_ranks_do_as_one_though_masks_are_uneven(root: Path) -> None:
    assert ended_well(root, "alone") and ended_well(root, "two"), told(root, "two")
    assert_close(root / "two", root / "alone")
    one, two = (read_validation(root / run) for run in ("alone", "two"))
    assert [row["step"] for row in two] == [0, 8]
    assert two[1]["corpus"] == pytest.approx(one[1]["corpus"], rel=1e-3)


def test_three_ranks_share_four_sequences(root: Path) -> None:
    assert ended_well(root, "three"), told(root, "three")
    assert_close(root / "three", root / "alone")


def test_a_run_goes_on_with_other_numbers_of_ranks(root: Path) -> None:
    assert all(ended_well(root, "changing", part) for part in range(3)), told(root, "changing")
    assert [row["step"] for row in read_metrics(root / "changing")] == list(range(1, 9))
    assert_close(root / "changing", root / "alone")


def test_a_rank_that_dies_is_named_and_the_checkpoint_is_whole(root: Path) -> None:
    survivor, dead = told(root, "dying")
    assert dead.splitlines()[-1] == "-9"
    assert "Rank 0 has lost another rank" in survivor
    assert "last checkpoint is whole" in survivor
    assert "Traceback" not in survivor
    assert ended_well(root, "dying", 1), "another run goes on from it"
    assert_close(root / "dying", root / "alone")


def test_ranks_wait_for_files_longer_than_for_devices(tmp_path: Path) -> None:
    command = [sys.executable, waiting_ranks.__file__, str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
    asleep = ["S"] if sys.platform == "linux" else []  # the threads of gloo, after the run
    of_each_run = [3, [0, 10], "The disk is full.", asleep]
    for rank in "01":
        assert json.loads((tmp_path / rank).read_text()) == 2 * of_each_run


def test_a_rank_leaves_once_the_threads_of_gloo_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [["R", "S"], ["S", "S"], ["D"], ["S"], ["S"], ["never read"]]
    monkeypatch.setattr(parallel, "gloo_thread_states", lambda: states.pop(0))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    disconnect(World(0, 2, 0, torch.device("cpu")))
    assert states == [["never read"]]


def test_a_task_of_srun_that_sees_one_gpu_takes_it() -> None:
    srun = {"SLURM_STEP_NUM_TASKS": "4"}
    assert gpu_of(srun, 3, gpus=1) == 0
    assert gpu_of(srun, 3, gpus=4) == 3
    assert gpu_of({**srun, "TORCHELASTIC_RUN_ID": "none"}, 1, gpus=1) == 1, "refused by the caller"
    assert gpu_of({}, 1, gpus=1) == 1


def test_a_place_is_read_from_torchrun_and_from_srun() -> None:
    assert place_of({}) is None
    assert place_of({"WORLD_SIZE": "1", "RANK": "0"}) is None
    torchrun = {
        "RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3", "MASTER_ADDR": "a", "MASTER_PORT": "1",
    }  # fmt: skip
    assert place_of({**torchrun, "HOME": "/"}) == torchrun
    slurm = {
        "SLURM_PROCID": "9", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "gpu[07-08,12],other", "SLURM_JOB_ID": "43210",
    }  # fmt: skip
    assert place_of(slurm) == {
        "RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu07",
        "MASTER_PORT": "23210",
    }  # fmt: skip
    chosen = place_of({**slurm, "MASTER_ADDR": "here", "MASTER_PORT": "5"})
    assert chosen and (chosen["MASTER_ADDR"], chosen["MASTER_PORT"]) == ("here", "5")
    batch_script = {"SLURM_NTASKS": "16", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}
    assert place_of(batch_script) is None, "sbatch starts one process; srun starts the tasks"


def test_half_a_place_is_refused() -> None:
    with pytest.raises(UserError, match=r"no LOCAL_RANK, MASTER_ADDR, MASTER_PORT"):
        place_of({"WORLD_SIZE": "2", "RANK": "0"})
