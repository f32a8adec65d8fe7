"""A job on two workers of a real Ray cluster on this machine: the same run as in one process."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_setup import SETTINGS, STEPS, changed, load_tokenizer, write_shards
from transformers import AutoModelForCausalLM

from steep.core.errors import UserError
from steep.training.job import MixedShard, TrainingJob, run_job
from steep.training.metrics import read_metrics

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own: of its future, and of its open files
]


@pytest.fixture(scope="module")
def job(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    root = tmp_path_factory.mktemp("ray")
    write_shards(root / "shards", load_tokenizer(tiny_directory))
    (root / "alone").mkdir()
    return TrainingJob(
        label="train toy",
        model=str(tiny_directory),
        directory=str(root / "alone"),
        shard=str(root / "shards" / "corpus"),
        shares={"replay": MixedShard(str(root / "shards" / "replay"), 0.25)},
        validation={"replay": str(root / "shards" / "replay")},
        settings=changed(SETTINGS, checkpoint_minutes=60),
        steps=STEPS,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from steep.llm.ray_cluster import connect

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_worker_niceness", "0")
        connect(None, "train")
        import ray

        yield ray
        ray.shutdown()


def test_workers_of_a_cluster_do_as_one_process(job: TrainingJob, cluster: Any) -> None:
    from steep.training.ray_train import run_on_ray

    alone = run_job(job)
    assert alone is not None
    together = replace(job, directory=str(Path(job.directory).parent / "together"))
    Path(together.directory).mkdir()
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    last = run_on_ray(together, 2)
    assert signal.getsignal(signal.SIGINT) is on_ctrl_c, "Ctrl-C works as before"
    assert last.step == alone.step == 8
    one, two = (read_metrics(Path(each.directory)) for each in (job, together))
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-4)
    first, second = (
        AutoModelForCausalLM.from_pretrained(f"{each.directory}/model") for each in (job, together)
    )
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_what_a_worker_says_to_the_user_arrives(
    job: TrainingJob, cluster: Any, tmp_path: Path
) -> None:
    from steep.training.ray_train import run_on_ray

    settings = changed(job.settings, learning_rate=1e30, warmup=0.0)
    with pytest.raises(UserError, match=r"The loss is .* gradient norm"):
        run_on_ray(replace(job, directory=str(tmp_path), settings=settings), 1)
