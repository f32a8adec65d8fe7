"""Stage 5: shards become a checkpoint; every arm starts from the same base, with equal tokens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.llm.model_names import check_libraries, find_model, model_directory
from steep.training.config import TrainConfig
from steep.training.models import check_model, check_safetensors
from steep.training.runs import check_training, train_model

if TYPE_CHECKING:
    from steep.training.job import TrainingJob
    from steep.training.metrics import StepMetrics


def run(config: Config, project: Project, shards: Mapping[str, Artifact], name: str) -> Artifact:
    """Train one model on the shard of its arm, and on those that are mixed in."""
    settings, find = config.train, partial(model_directory, project=project)
    return train_model(project, settings, shards, name, find, partial(launch, settings))


def check(config: Config, project: Project) -> None:
    """Refuse what cannot be trained, before anything is spent."""
    check_training(config.train)
    check_libraries()
    difference = config.train.add_task_vector
    for key, name in (("model", config.train.model), ("add_task_vector", difference)):
        where = find_model(name, project.root, f"train.{key}") if name else None
        if where is not None:
            check_model(where, project)
            if difference:
                check_safetensors(where, "train.add_task_vector")


def launch(settings: TrainConfig, job: TrainingJob) -> StepMetrics | None:
    """Run a job on the workers of a Ray cluster, or as one of the ranks of a launcher."""
    if settings.launcher == "here":
        from steep.training.job import run_job

        return run_job(job)
    import ray

    from steep.llm.ray_cluster import connect
    from steep.training.ray_train import run_on_ray

    started = connect(settings.ray_address, "train")
    try:
        return run_on_ray(job, settings.ray_workers)
    finally:
        if started:
            ray.shutdown()
