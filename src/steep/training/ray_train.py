"""Training on the workers of a Ray cluster, one worker per GPU.

Ray Train sets the ranks of its workers in torchrun's variables and connects them. Checkpoints and
metrics are the job's own. All nodes must see the job's directory. The death of a worker ends the
run; the same command resumes from the last checkpoint, with any number of workers.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.training.job import TrainingJob, run_job
from steep.training.metrics import StepMetrics, last_metrics


def run_on_ray(job: TrainingJob, workers: int) -> StepMetrics:
    """Run a job on workers of the connected cluster, with GPUs if it has any.

    Raises:
        UserError: A worker raised it.
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
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit()
    except Exception as error:
        raise _error_of_worker(error) from error
    finally:
        if on_ctrl_c is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_ctrl_c)  # Ray leaves its own handler behind
    return last_metrics(Path(job.directory))


def _work(config: dict[str, Any]) -> None:
    run_job(config["job"])


def check_ray_train() -> None:
    """Refuse to continue without Ray Train.

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


def _error_of_worker(error: Exception) -> Exception:
    """Return the UserError of a worker, which Ray wraps, or the error itself."""
    seen: BaseException | None = error
    while seen is not None:
        for worker_error in getattr(seen, "worker_failures", {}).values():
            if isinstance(worker_error, UserError):
                return worker_error
        if isinstance(seen, UserError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error
