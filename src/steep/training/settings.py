"""What the loop needs beside model and data, and which of it decides the result."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

OptimizerKind = Literal[
    "adamw", "adamw-bf16-remainder", "adamw-8bit-remainder", "adamw-8bit-stochastic"
]

# Settings that say how a step is computed, watched and kept, not what it computes: a run may go on
# with other ones. All others are the identity of a run.
NOT_IDENTITY = {
    "checkpoint_minutes",
    "keep_checkpoints",
    "micro_batch_sequences",
    "compile",
    "recompute_every",
    "max_loss_jump",
    "validation_every",
}


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Sizes in sequences and steps; the defaults of the optimizer are those of the authors' code.

    Attributes:
        steps: Optimizer steps of the run.
        batch_sequences: Sequences an optimizer step, over all ranks and micro-batches.
        micro_batch_sequences: Sequences a forward pass on one rank, at most.
        learning_rate: Peak.
        warmup: Share of the steps with a rising rate.
        weight_decay: Decoupled.
        gradient_clip: Largest gradient norm.
        optimizer: "adamw" keeps fp32 weights and moments; the others keep bf16 weights (see
            `optimizers`).
        compute: Precision of matrix products; fp32 weights are then cast by autocast or FSDP.
        compile: Whether each decoder layer and the loss are compiled.
        recompute_every: Recompute the activations of every n-th layer; 0 keeps all.
        max_loss_jump: Nats above the mean of the last steps that stop the run; None: never.
        validation_every: Steps between validations; 0: before the first and after the last only.
        checkpoint_minutes: At most this much work is ever lost.
        keep_checkpoints: How many of the newest checkpoints are kept.
        seed: Of dropout and of stochastic rounding.
    """

    steps: int
    batch_sequences: int
    micro_batch_sequences: int
    learning_rate: float
    warmup: float
    weight_decay: float
    gradient_clip: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    optimizer: OptimizerKind = "adamw"
    compute: Literal["auto", "float32", "bfloat16"] = "float32"
    compile: Literal["auto", "none", "layers"] = "none"
    recompute_every: int = 0
    max_loss_jump: float | None = None
    validation_every: int = 0
    checkpoint_minutes: float = 2.0
    keep_checkpoints: int = 1
    seed: int = 0

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued, by the names of the fields."""
        return {k: v for k, v in asdict(self).items() if k not in NOT_IDENTITY}


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
