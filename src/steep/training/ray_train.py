"""The workers of a Ray cluster as launcher: the same function in each, one worker a GPU.

Ray Train tells its workers their ranks through torchrun's variables and joins them; nothing else of
it is used, since checkpoints and metrics are the job's own. All nodes must see the job's directory.
A worker that dies ends the run; the same command continues from the last checkpoint, with any
number of workers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.training.job import TrainingJob, run_job
from steep.training.metrics import StepMetrics, last_metrics


def run_on_ray(job: TrainingJob, workers: int) -> StepMetrics:
    """Run a job on so many workers of the connected cluster; on its GPUs, if it has any.

    Args:
        job: What is trained.
        workers: Ranks.

    Raises:
        UserError: A worker said what the user can put right.
    """
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=bool(ray.cluster_resources().get("GPU"))
        ),
        run_config=RunConfig(storage_path=f"{job.directory}/ray"),
    )
    try:
        trainer.fit()
    except Exception as error:
        raise _said(error) from error
    return last_metrics(Path(job.directory))


def _work(config: dict[str, Any]) -> None:
    run_job(config["job"])


def check_ray_train() -> None:
    """Refuse to go on without Ray Train.

    Raises:
        UserError: It is not installed.
    """
    try:
        import ray.train.torch  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Training on Ray needs Python packages that are not installed.",
            where="train.launcher",
            found=error,
            hint="pip install 'steep[ray]'",
        ) from error


def _said(error: Exception) -> Exception:
    """The error of a worker, as the user's where it is one; Ray wraps it in its own."""
    seen: BaseException | None = error
    while seen is not None:
        for worker_error in getattr(seen, "worker_failures", {}).values():
            if isinstance(worker_error, UserError):
                return worker_error
        if isinstance(seen, UserError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error
