"""The optimizers of a run by name: fp32 AdamW, and three that keep bfloat16 weights honest.

| kind                  | weights                 | moments | bytes per parameter, with gradient |
|-----------------------|-------------------------|---------|----------------------------------|
| adamw                 | fp32                    | fp32    | 16                               |
| adamw-bf16-remainder  | bf16, exact master      | fp32    | 14                               |
| adamw-8bit-remainder  | bf16, exact master      | 8 bits  | 8.03                             |
| adamw-8bit-stochastic | bf16, rounded at random | 8 bits  | 6.03                             |

Plain bfloat16 weights are not offered: see `adamw.py`. What each kind makes of 500 steps is
measured by `benchmarks/training/optimizer_parity.py`. All states are allocated at construction,
before a backward pass scatters memory, and a checkpoint loads into them in place.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from steep.training.adamw import BFloat16AdamW, decay_groups
from steep.training.settings import OptimizerKind


def make_optimizer(
    parameters: Iterable[tuple[str, nn.Parameter]],
    kind: OptimizerKind,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
    seed: int,
    compile: bool,
) -> torch.optim.Optimizer:
    """Make the optimizer `kind`; parameters of one dimension are not decayed.

    Args:
        parameters: Named, each once; fp32 for "adamw", else bfloat16. Names decide the noise.
        kind: See the module.
        learning_rate: Until `set_learning_rate` says otherwise.
        betas: Decay of the first and second moment.
        epsilon: Added to the root of the second moment.
        weight_decay: Decoupled.
        seed: Of the noise that rounds weights and 8-bit moments.
        compile: Compile the update; torch's own AdamW is fused and needs none.
    """
    named = list(parameters)
    if kind == "adamw":
        return _fused_adamw(named, learning_rate, betas, epsilon, weight_decay)
    return BFloat16AdamW(
        named,
        learning_rate,
        betas,
        epsilon,
        weight_decay,
        seed,
        eight_bit=kind != "adamw-bf16-remainder",
        remainder=kind != "adamw-8bit-stochastic",
        compile=compile,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the rate of the next step; nothing recompiles."""
    for group in optimizer.param_groups:
        group["lr"] = value


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All states as "<parameter name>.<key>", to be saved, and loaded in place."""
    return {
        f"{name}.{key}": tensor
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        for key, tensor in optimizer.state[parameter].items()
    }


def _fused_adamw(
    named: list[tuple[str, nn.Parameter]],
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW(
        decay_groups(named, weight_decay), lr=learning_rate, betas=betas, eps=epsilon, fused=True
    )
    for name, parameter in named:
        assert parameter.dtype == torch.float32, (name, parameter.dtype)
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer
