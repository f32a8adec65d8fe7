"""Validation: the loss on sets of texts that are not trained on, up to a limit of tokens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from steep.core.progress import Progress
from steep.tokens.mixture import Mixture
from steep.training.monitor import InterruptFlag
from steep.training.prepare import computing, on_device
from steep.training.runs import validation_rows

if TYPE_CHECKING:
    from steep.training.loop import TrainingRun

log = logging.getLogger("steep")


def mean_losses(
    run: TrainingRun, sets: Mapping[str, Mixture], stop: InterruptFlag
) -> dict[str, float]:
    """Return nats per token of each set, over its first rows in a random order of texts.

    Called on every rank.

    Raises:
        KeyboardInterrupt: A stop was requested; all ranks raise it at the same point.
    """
    return {name: _mean_loss(run, name, mixture, stop) for name, mixture in sets.items()}


@torch.no_grad()
def _mean_loss(run: TrainingRun, name: str, mixture: Mixture, stop: InterruptFlag) -> float:
    settings, world, context = run.settings, run.world, mixture.context_tokens
    at_once = settings.micro_batch_sequences * world.size
    there = mixture.corpus.shard.manifest.tokens
    count = validation_rows(there, context)
    if world.is_main:
        cut = f" of its {there:,}" if there >= (count + 1) * context else ""
        log.info(
            "%s: measuring the loss on '%s', %s tokens%s",
            settings.section,
            name,
            f"{count * context:,}",
            cut,
        )
    progress = Progress(f"{settings.section}: loss on '{name}'", count * context, "tokens")
    total, tokens = torch.zeros((), device=world.device), 0
    run.module.eval()
    try:
        for start in range(0, count, at_once):
            if world.sum(torch.tensor(float(stop.asked), device=world.device)).item():
                raise KeyboardInterrupt
            batch = run.divide(mixture.rows(start, min(at_once, count - start)))
            tokens += batch.predicted_tokens
            for rows in batch.micro:
                with computing(settings, world):
                    total += run.module(*on_device(rows, world.device))
            if world.is_main:
                progress.update(min(start + at_once, count) * context)
    finally:
        run.module.train()
    return float(world.sum(total).item() / tokens)
