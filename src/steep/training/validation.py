"""Validation: the loss on sets of texts that are not trained on, up to a limit of tokens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from steep.core.errors import UserError
from steep.core.progress import Progress
from steep.tokens.mixture import IGNORED, Mixture, RowBatch
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
        UserError: No token of a set is predicted.
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
    progress = Progress(f"loss on '{name}'", count * context, "tokens")
    if world.is_main:
        progress.update(0)
    total, tokens = torch.zeros((), device=world.device), 0
    run.module.eval()
    try:
        for start in range(0, count, at_once):
            if world.sum(torch.tensor(float(stop.asked), device=world.device)).item():
                raise KeyboardInterrupt
            rows = mixture.rows(start, min(at_once, count - start))
            if settings.compile == "layers":
                rows = _padded(rows, at_once)
            batch = run.divide(rows)
            tokens += batch.predicted_tokens
            for micro in batch.micro:
                with computing(settings, world):
                    total += run.module(*on_device(micro, world.device))
            if world.is_main:
                progress.update(min(start + at_once, count) * context)
    finally:
        run.module.train()
    if not tokens:
        raise UserError(
            f"The validation set '{name}' predicts no token, so its loss cannot be measured.",
            where=settings.section,
            expected="rows with labels",
            found=f"{count:,} rows without any",
            hint=f"raise {settings.section}.context_tokens, or leave the set out",
        )
    return float(world.sum(total).item() / tokens)


def _padded(rows: RowBatch, count: int) -> RowBatch:
    """Return `count` rows, the added ones without labels: a tail would be compiled by itself."""
    missing = count - len(rows.ids_BT)
    if not missing:
        return rows
    places = np.concatenate([np.arange(len(rows.ids_BT)), np.zeros(missing, dtype=np.int64)])
    labels_BT = rows.labels_BT[places]
    labels_BT[len(rows.ids_BT) :] = IGNORED
    positions_BT = None if rows.positions_BT is None else rows.positions_BT[places]
    return RowBatch(rows.ids_BT[places], labels_BT, positions_BT)
