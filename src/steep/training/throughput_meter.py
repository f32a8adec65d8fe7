"""Turns the seconds of a step into the numbers that people compare."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Any

import torch

from steep.tokens.mixture import Mixture
from steep.training.config import OptimizationConfig
from steep.training.flops import flops_per_token, mfu, peak_flops
from steep.training.metrics import StepMetrics
from steep.training.optimizers import learning_rate_at
from steep.training.parallel import World, device_name
from steep.training.throughput import Workload, workload_of


@dataclass
class Speed:
    """What the metrics of a run are counted from."""

    model: Any
    mixture: Mixture
    settings: OptimizationConfig
    steps: int
    world: World

    def __post_init__(self) -> None:
        self._flops = flops_per_token(self.model, self.mixture.context_tokens)
        self._peak = peak_flops(self.world.device)

    def workload(self) -> Workload:
        """What decides how fast the steps are."""
        return workload_of(
            device_name(self.world.device),
            self.world.size,
            self._flops,
            self.settings,
        )

    def metrics(
        self,
        step: int,
        loss: float,
        norm: float,
        predicted_tokens: int,
        step_s: float,
        elapsed_s: float,
    ) -> StepMetrics:
        """The metrics of step `step`, counted from 0, which took `step_s`."""
        settings, mixture = self.settings, self.mixture
        tokens = settings.batch_sequences * mixture.context_tokens
        rate = learning_rate_at(step, self.steps, settings.learning_rate, settings.warmup)
        return StepMetrics(
            step=step + 1,
            tokens=(step + 1) * tokens,
            loss=loss,
            learning_rate=rate,
            grad_norm=norm,
            tokens_per_s=tokens / step_s,
            elapsed_s=elapsed_s,
            epoch=mixture.epochs((step + 1) * settings.batch_sequences),
            predicted_tokens=predicted_tokens,
            mfu=mfu(tokens / step_s, self._flops, self._peak, self.world.size),
            memory_bytes=_memory_bytes(self.world.device),
            left_s=(self.steps - step - 1) * step_s,
        )


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
