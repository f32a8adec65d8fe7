"""Metrics of training: on the terminal, as JSON Lines on disk, and in optional trackers.

The report reads the JSON Lines, which are always written. Trackers are third-party packages; those
that upload do so only if the configuration names them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.core.files import write_text
from steep.core.formatting import duration, gib
from steep.training.config import TrackerName

METRICS = "metrics.jsonl"
VALIDATION = "validation.jsonl"
STARTS = "starts.jsonl"

Log = Callable[[Mapping[str, Any], int], None]  # numbers by name, and their step


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Metrics of one optimizer step."""

    step: int  # number of steps done, including this one
    tokens: int  # tokens read so far, replay included
    loss: float | None  # nats per predicted token, before the step; None if no token is predicted
    learning_rate: float  # learning rate of the step
    grad_norm: float  # norm of the gradient before clipping
    tokens_per_s: float  # tokens per second of the step, over all ranks; 0 if it was skipped
    elapsed_s: float  # seconds of all steps so far, over all restarts
    epoch: float  # passes over the corpus so far
    predicted_tokens: int  # tokens of the step that are predicted, without masked ones
    # model FLOPs per second, as a share of the device's peak; None if that is unknown
    mfu: float | None
    memory_bytes: int  # peak memory of this rank so far: of the GPU, or of the process
    left_s: float  # seconds left at the speed of the last step that was not skipped

    def facts(self) -> dict[str, str]:
        """Return the metrics as text by name, the most important first."""
        return {
            "loss": "unknown, no token is predicted" if self.loss is None else f"{self.loss:.4f}",
            "tokens": f"{self.tokens_per_s:,.0f}/s",
            **({} if self.mfu is None else {"mfu": f"{100 * self.mfu:.1f}%"}),
            "epoch": f"{self.epoch:.2f}",
            "learning rate": f"{self.learning_rate:.2e}",
            "gradient norm": f"{self.grad_norm:.2f}",
            "memory": gib(self.memory_bytes),
        }

    def line(self, steps: int) -> str:
        """Return the metrics as one line of text, the most important first."""
        parts = [
            f"step {self.step:,}/{steps:,} ({100 * self.step / steps:.1f}%)",
            "skipped: no token is predicted" if self.loss is None else f"loss {self.loss:.4f}",
            f"left {duration(self.left_s)}",
            f"{self.tokens_per_s:,.0f} tok/s",
            *([] if self.mfu is None else [f"mfu {100 * self.mfu:.1f}%"]),
            f"epoch {self.epoch:.2f}",
            f"{self.memory_bytes / 2**30:.1f} GiB",
            f"lr {self.learning_rate:.2e}",
            f"norm {self.grad_norm:.2f}",
        ]
        return " | ".join(parts)


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Read all complete lines of a run's metrics; a kill may have cut the last one."""
    return _whole_lines(directory / METRICS)


def read_validation(directory: Path) -> list[dict[str, Any]]:
    """Read the validation losses of a run: `step`, and nats per token by name."""
    return _whole_lines(directory / VALIDATION)


def read_starts(directory: Path) -> list[dict[str, Any]]:
    """Read the starts of a run: the `step` that it resumed from, and its workload."""
    return _whole_lines(directory / STARTS)


def last_metrics(directory: Path) -> StepMetrics:
    """Read the last line of a run's metrics."""
    return StepMetrics(**read_metrics(directory)[-1])


@contextmanager
def lines_after(path: Path, step: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Append rows to a file of JSON Lines, after dropping those of steps that are repeated."""
    kept = [json.dumps(row) + "\n" for row in _whole_lines(path) if row["step"] <= step]
    write_text(path, "".join(kept))
    with path.open("a", encoding="utf-8") as file:

        def log(row: Mapping[str, Any]) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        yield log


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def check_trackers(names: Sequence[TrackerName], section: str) -> None:
    """Refuse trackers whose packages are not installed.

    Raises:
        UserError: One is not installed.
    """
    if missing := [name for name in names if importlib.util.find_spec(name) is None]:
        raise UserError(
            f"The tracker {missing[0]} is not installed.",
            where=f"{section}.trackers",
            hint=f"pip install {missing[0]}",
        )


@contextmanager
def trackers(names: Sequence[TrackerName], directory: Path, run: str) -> Iterator[Log]:
    """Open trackers, and return a function that logs to all of them."""
    with ExitStack() as stack:
        logs = [stack.enter_context(_TRACKERS[name](directory, run)) for name in names]

        def log(row: Mapping[str, Any], step: int) -> None:
            numbers = {k: v for k, v in row.items() if isinstance(v, (int, float))}
            for each in logs:
                each(numbers, step)

        yield log


@contextmanager
def _tensorboard(directory: Path, run: str) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(directory / "tensorboard")

    def log(row: Mapping[str, Any], step: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def _wandb(directory: Path, run: str) -> Iterator[Log]:
    import wandb

    with wandb.init(
        project="steep", name=run, dir=directory, id=directory.name, resume="allow"
    ) as opened:
        yield lambda row, step: opened.log(dict(row), step=step)


@contextmanager
def _trackio(directory: Path, run: str) -> Iterator[Log]:
    import trackio

    opened = trackio.init(project="steep", name=run, resume="allow")
    try:
        yield lambda row, step: opened.log(dict(row), step=step)
    finally:
        opened.finish()


_TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb, "trackio": _trackio}
