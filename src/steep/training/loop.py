"""Continued pretraining: the whole loop, for one process on CPU or one GPU, in fp32.

Order of data, learning rate and clipping are functions of the step alone, so a run that was killed
and continued ends with the same weights, bit for bit, as one that was not (tested on CPU). About
100 tokens/s for 135M parameters on two CPU cores.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steep.core.errors import UserError
from steep.core.files import atomic_directory, disk_errors, write_text
from steep.core.ids import stable_hash
from steep.tokens.order import Mixture
from steep.training.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from steep.training.loss import check_plain_head, summed_loss

METRICS = "metrics.jsonl"
# Settings that say how a step is computed and kept, not what it computes.
NOT_IDENTITY = {"checkpoint_minutes", "micro_batch_sequences"}


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What the loop needs beside model and data; sizes in sequences and steps."""

    steps: int
    batch_sequences: int
    micro_batch_sequences: int
    learning_rate: float
    warmup: float
    weight_decay: float
    gradient_clip: float
    checkpoint_minutes: float
    seed: int


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One optimizer step: `loss` in nats a token before the step, `tokens` seen so far."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_s: float
    elapsed_s: float


def learning_rate_at(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear warm-up over a share of the steps, then half a cosine to zero (paper, appendix D).

    Args:
        step: From 0 to steps - 1.
        steps: All optimizer steps of the run.
        peak: The largest value.
        warmup: Share of the steps.
    """
    warmup_steps = math.ceil(steps * warmup)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def train(
    model: Any,
    mixture: Mixture,
    settings: TrainingSettings,
    directory: Path,
    on_step: Callable[[StepMetrics], None] = lambda metrics: None,
) -> StepMetrics:
    """Train `model` in place; metrics and checkpoints go to `directory`.

    Returns:
        The metrics of the last step.

    Raises:
        UserError: The loss is not a number (the batch is named, the last checkpoint stays), a
            checkpoint belongs to another run, the model's head is not plain, or the disk is full.
    """
    torch.manual_seed(settings.seed)
    check_plain_head(model, torch.from_numpy(mixture.rows(0, 1)[:, :8]).to(model.device))
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    identity = _identity(mixture, settings)
    first = load_checkpoint(directory, model, optimizer, identity)
    saved_at = time.monotonic()
    metrics: StepMetrics | None = None
    with disk_errors(directory), _metrics_log(directory / METRICS, first) as (log, before_s):
        start = saved_at - before_s
        for step in range(first, settings.steps):
            began = time.monotonic()
            loss, norm = _optimizer_step(model, optimizer, mixture, settings, step)
            now = time.monotonic()
            metrics = _metrics(step, loss, norm, settings, mixture, now - began, now - start)
            log(metrics)
            on_step(metrics)
            if now - saved_at > settings.checkpoint_minutes * 60 or step == settings.steps - 1:
                save_checkpoint(directory, step + 1, model, optimizer, identity)
                saved_at = time.monotonic()
    return metrics or last_metrics(directory)


def export(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write a Hugging Face directory to `directory/model`, then drop the checkpoints."""
    with atomic_directory(directory / "model") as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    remove_checkpoints(directory)


def last_metrics(directory: Path) -> StepMetrics:
    """The last line of a run's metrics."""
    lines = (directory / METRICS).read_text(encoding="utf-8").splitlines()
    return StepMetrics(**json.loads(lines[-1]))


def _optimizer_step(
    model: Any,
    optimizer: torch.optim.Optimizer,
    mixture: Mixture,
    settings: TrainingSettings,
    step: int,
) -> tuple[float, float]:
    """One step over all micro-batches; returns mean loss and gradient norm before clipping."""
    rate = learning_rate_at(step, settings.steps, settings.learning_rate, settings.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
    device = next(model.parameters()).device
    first_row = step * settings.batch_sequences
    ids_BT = torch.from_numpy(mixture.rows(first_row, settings.batch_sequences))
    predictions = ids_BT.shape[0] * (ids_BT.shape[1] - 1)
    total = torch.zeros((), device=device)
    for micro_BT in torch.split(ids_BT, settings.micro_batch_sequences):
        loss: Tensor = summed_loss(model, micro_BT.to(device)) / predictions
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    if not torch.isfinite(total) or not torch.isfinite(norm):
        raise UserError(
            f"The loss is {total.item()} and the gradient norm {norm.item()} at step {step + 1}.",
            where=f"training rows {first_row} to {first_row + settings.batch_sequences - 1}",
            hint="lower train.learning_rate; the last good checkpoint is kept",
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total.item(), norm.item()


def _metrics(
    step: int,
    loss: float,
    norm: float,
    settings: TrainingSettings,
    mixture: Mixture,
    step_s: float,
    elapsed_s: float,
) -> StepMetrics:
    tokens = settings.batch_sequences * mixture.context_tokens
    return StepMetrics(
        step=step + 1,
        tokens=(step + 1) * tokens,
        loss=loss,
        learning_rate=learning_rate_at(
            step, settings.steps, settings.learning_rate, settings.warmup
        ),
        grad_norm=norm,
        tokens_per_s=tokens / step_s,
        elapsed_s=elapsed_s,
    )


@contextmanager
def _metrics_log(path: Path, first: int) -> Iterator[tuple[Callable[[StepMetrics], None], float]]:
    """Append to the metrics file, after dropping lines of steps that will be done again.

    Yields:
        What writes a line, and the seconds that the steps of the kept lines took.
    """
    kept = []
    if path.exists():
        whole_lines = path.read_text(encoding="utf-8").splitlines()[:first]
        kept = [line for line in whole_lines if line.endswith("}")]
    write_text(path, "".join(line + "\n" for line in kept))
    with path.open("a", encoding="utf-8") as file:

        def log(metrics: StepMetrics) -> None:
            file.write(json.dumps(asdict(metrics)) + "\n")
            file.flush()

        yield log, json.loads(kept[-1])["elapsed_s"] if kept else 0.0


def _identity(mixture: Mixture, settings: TrainingSettings) -> str:
    """What must be equal for a checkpoint to be continued: the data, its order, the settings."""
    relevant = {k: v for k, v in asdict(settings).items() if k not in NOT_IDENTITY}
    streams = [
        [stream.shard.manifest.sha256, stream.seed]
        for stream in (mixture.corpus, mixture.replay)
        if stream is not None
    ]
    return stable_hash([relevant, streams, mixture.context_tokens, mixture.replay_rate], 16)
