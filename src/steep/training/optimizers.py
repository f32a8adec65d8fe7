"""The optimizers by name, and the learning rate schedule.

| name                  | weights                    | moments | bytes per parameter and gradient |
|-----------------------|----------------------------|---------|----------------------------------|
| adamw                 | fp32                       | fp32    | 16                               |
| adamw-8bit-stochastic | bf16, rounded at random    | 8 bits  | 6.03                             |

Plain bfloat16 weights are not offered: see `adamw.py`. `benchmarks/training/optimizer_parity.py`
compares the optimizers over 500 steps. All states are allocated at construction, before a backward
pass fragments memory, and a checkpoint loads into them in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from steep.training.adamw import BFloat16AdamW, decay_groups, local
from steep.training.config import OptimizationConfig
from steep.training.parallel import World


def make_optimizer(
    parameters: Iterable[tuple[str, nn.Parameter]], settings: OptimizationConfig
) -> torch.optim.Optimizer:
    """Make the optimizer of a run; parameters of one dimension are not decayed.

    Args:
        parameters: Named parameters, each once; fp32 for "adamw", else bfloat16. The names seed the
            noise of stochastic rounding.
        settings: The settings of the run, without `auto` values.
    """
    named = list(parameters)
    if settings.optimizer == "adamw":
        return _fused_adamw(named, settings)
    return BFloat16AdamW(named, settings)


def learning_rate_at(step: int, steps: int, peak: float, warmup: float) -> float:
    """Return the learning rate: linear warm-up, then half a cosine to zero (paper, appendix D).

    Args:
        step: From 0 to steps - 1.
        steps: Optimizer steps of the whole run.
        peak: The largest value.
        warmup: Share of the steps.
    """
    warmup_steps = math.ceil(steps * warmup)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of the next step, without recompiling."""
    for group in optimizer.param_groups:
        group["lr"] = value


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all states as "<parameter name>.<key>", to be saved, and loaded in place."""
    return {
        f"{name}.{key}": tensor
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        for key, tensor in optimizer.state[parameter].items()
    }


def _fused_adamw(
    named: list[tuple[str, nn.Parameter]], settings: OptimizationConfig
) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW(
        decay_groups(named, settings.weight_decay),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )
    for name, parameter in named:
        assert parameter.dtype == torch.float32, (name, parameter.dtype)
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer


def clip_gradients(parameters: list[nn.Parameter], largest: float, world: World) -> Tensor:
    """Clip gradients to a common norm of at most `largest`, without waiting for the device.

    Returns:
        The norm before clipping, over all ranks, summed in fp32.
    """
    gradients = [local(each.grad) for each in parameters if each.grad is not None]
    norms = torch._foreach_norm(gradients, 2, dtype=torch.float32)
    norm = world.sum(torch.stack(norms).square().sum()).sqrt()
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
    return norm
