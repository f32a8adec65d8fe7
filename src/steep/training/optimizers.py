"""The optimizers, and the learning rate schedule.

| name                  | weights                    | moments | bytes per parameter and gradient |
|-----------------------|----------------------------|---------|----------------------------------|
| adamw                 | fp32                       | fp32    | 16                               |
| adamw-8bit-stochastic | bf16, rounded at random    | 8 bits  | 6.03                             |

Plain bfloat16 weights are a trap: at the paper's learning rate of 5e-6, rounding to nearest undoes
92% of the updates of a N(0, 0.02) weight. Stochastic rounding keeps them in expectation.
`benchmarks/training/optimizer_parity.py` compares the optimizers over 500 steps. All states are
allocated at construction, before a backward pass fragments memory, and a checkpoint loads into them
in place.

The arithmetic of the second is fp32. One function updates one parameter, eagerly or compiled (once
per shape); values that change from step to step are 0-dim tensors on the device, so that nothing
recompiles. Parameters of one dimension keep fp32 moments, and are not decayed.

Shapes: N elements or blocks, C columns of a block (absent where moments are fp32).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from steep.core.ids import derive_seed
from steep.training.config import OptimizationConfig
from steep.training.parallel import World, local_part
from steep.training.quantize import (
    block_columns,
    decode_first,
    decode_second,
    encode_first,
    encode_second,
    hash_noise,
    round_stochastically,
    square_root,
)

# In smaller blocks, scales need more bytes than the codes save: moments stay fp32.
SMALLEST_BLOCK = 8
# Limit of the shapes that one process compiles the update for; seconds each.
SHAPES = 256
# Times several shapes of the kernel on the GPU: some need so many registers that few threads run.
TUNED: dict[str, Any] = {"max_autotune_pointwise": True}


class Scalars(NamedTuple):
    """Values of a step that many parameters share: 0-dim tensors on the device."""

    decay: Tensor  # learning rate * weight decay
    step_size: Tensor  # learning rate / (1 - beta1^t)
    root_scale: Tensor  # 1 / sqrt(1 - beta2^t)
    beta2: Tensor
    rest1: Tensor  # 1 - beta1
    rest2: Tensor  # 1 - beta2
    epsilon: Tensor
    gradient_scale: Tensor  # of clipping, at most 1
    step_key: Tensor  # int32


class Slots(NamedTuple):
    """The stored tensors of one parameter: local, and flat or cut into blocks."""

    weight: Tensor
    first: Tensor
    second: Tensor
    first_scale: Tensor | None
    second_scale: Tensor | None


def adamw_step(
    weight: Tensor, gradient: Tensor, first: Tensor, second: Tensor, scalars: Scalars
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the new weight, first and second moment of AdamW in fp32.

    Decay and step are summed before they are subtracted: the weight is rounded once, not twice,
    which matters where both are near its last bit (at 5e-6 and 0.01 the decay is half of it).
    """
    first = first + (gradient - first) * scalars.rest1
    second = second * scalars.beta2 + gradient * gradient * scalars.rest2
    denominator = square_root(second) * scalars.root_scale + scalars.epsilon
    share = first * denominator.rsqrt().square()  # first / denominator
    change = scalars.step_size * share + scalars.decay * weight
    return weight - change, first, second


def update_parameter(slots: Slots, gradient: Tensor, first_index: Tensor, scalars: Scalars) -> None:
    """Update the stored tensors of a parameter in place."""
    first, second = slots.first, slots.second
    if slots.first_scale is not None and slots.second_scale is not None:
        first = decode_first(first, slots.first_scale)
        second = decode_second(second, slots.second_scale)
    weight, first, second = adamw_step(
        slots.weight.float(), gradient.float() * scalars.gradient_scale, first, second, scalars
    )
    noise = hash_noise(first_index, scalars.step_key, weight)
    slots.weight.copy_(round_stochastically(weight, noise.weight).view(torch.bfloat16))
    if slots.first_scale is not None and slots.second_scale is not None:
        first, first_scale = encode_first(first, noise.first)
        second, second_scale = encode_second(second, noise.second)
        slots.first_scale.copy_(first_scale)
        slots.second_scale.copy_(second_scale)
    slots.first.copy_(first)
    slots.second.copy_(second)


class BFloat16AdamW(torch.optim.Optimizer):
    """AdamW on bfloat16 parameters, plain or sharded on their first dimension.

    Every state tensor exists from the start; `param_groups[...]["lr"]` may change at any step.

    Attributes:
        gradient_scale: Factor of all gradients in the next step: a 0-dim fp32 tensor, or None. It
            saves clipping a pass over the gradients, which are rounded once less.
    """

    gradient_scale: Tensor | None = None

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        settings: OptimizationConfig,
    ) -> None:
        named, seed = list(parameters), settings.seed
        defaults = {
            "lr": settings.learning_rate,
            "betas": (settings.beta1, settings.beta2),
            "eps": settings.epsilon,
        }
        super().__init__(decay_groups(named, settings.weight_decay), defaults)
        self._seed = seed
        self._update: Callable[[Slots, Tensor, Tensor, Scalars], None] = (
            torch.compile(update_parameter, fullgraph=True, dynamic=False, options=TUNED)
            if settings.compile == "layers"
            else update_parameter
        )
        self._first_index: dict[nn.Parameter, Tensor] = {}
        for name, parameter in named:
            assert parameter.dtype == torch.bfloat16, (name, parameter.dtype)
            self.state[parameter] = new_state(parameter)
            self._first_index[parameter] = _first_index(name, parameter, seed)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        with torch._dynamo.config.patch(recompile_limit=SHAPES):
            for group in self.param_groups:
                scalars: dict[int, Scalars] = {}  # by number of steps
                for parameter in group["params"]:
                    if parameter.grad is None:
                        continue
                    state = self.state[parameter]
                    state["step"] += 1
                    step = int(state["step"])  # on the host: no device wait
                    if step not in scalars:
                        scalars[step] = _scalars(
                            group, step, self._seed, parameter.device, self.gradient_scale
                        )
                    self._step_one(parameter, state, scalars[step])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy states in place: torch's own would cast them to the parameters' bfloat16."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for index, parameter in enumerate(parameters):
            for key, tensor in self.state[parameter].items():
                tensor.copy_(state_dict["state"][index][key])
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({key: value for key, value in saved.items() if key != "params"})

    def _step_one(
        self, parameter: nn.Parameter, state: dict[str, Tensor], scalars: Scalars
    ) -> None:
        assert parameter.grad is not None
        gradient = local_part(parameter.grad)
        if gradient.numel() == 0:  # a rank without rows of this parameter
            return
        first_scale, second_scale = (state.get(f"{moment}_scale") for moment in ("first", "second"))
        cut: tuple[int, ...] = (-1,)
        if first_scale is not None:
            cut = (-1, gradient.numel() // local_part(first_scale).numel())
        slots = Slots(
            weight=local_part(parameter.detach()).view(cut),
            first=local_part(state["first"]).view(cut),
            second=local_part(state["second"]).view(cut),
            first_scale=None if first_scale is None else local_part(first_scale).view(-1, 1),
            second_scale=None if second_scale is None else local_part(second_scale).view(-1, 1),
        )
        self._update(slots, gradient.reshape(cut), self._first_index[parameter], scalars)


def decay_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    """Return two groups: matrices decay, norms and biases do not, as in the authors' Trainer."""
    flat: list[tuple[str, nn.Parameter]] = []
    matrices: list[tuple[str, nn.Parameter]] = []
    for name, parameter in parameters:
        (matrices if parameter.dim() > 1 else flat).append((name, parameter))
    groups = [(matrices, weight_decay), (flat, 0.0)]
    return [
        {"params": [p for _, p in named], "names": [n for n, _ in named], "weight_decay": decay}
        for named, decay in groups
        if named
    ]


def new_state(parameter: nn.Parameter) -> dict[str, Tensor]:
    """Return all state tensors of a parameter, zero."""
    shape = parameter.shape
    state = {"step": torch.zeros((), dtype=torch.int64)}
    columns = math.prod(shape[1:])
    block = block_columns(columns) if len(shape) > 1 else 1
    if block >= SMALLEST_BLOCK:
        state["first"] = _zeros(parameter, shape, torch.int8)
        state["second"] = _zeros(parameter, shape, torch.uint8)
        for moment in ("first", "second"):
            scales = torch.Size((shape[0], columns // block))
            state[f"{moment}_scale"] = _zeros(parameter, scales, torch.float32)
    else:
        state["first"] = _zeros(parameter, shape, torch.float32)
        state["second"] = _zeros(parameter, shape, torch.float32)
    return state


def _zeros(parameter: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return zeros, sharded like the parameter on dimension 0."""
    if not isinstance(parameter, DTensor):
        return torch.zeros(shape, dtype=dtype, device=parameter.device)
    whole: Tensor = torch.distributed.tensor.zeros(
        shape, dtype=dtype, device_mesh=parameter.device_mesh, placements=parameter.placements
    )
    return whole


def _first_index(name: str, parameter: Tensor, seed: int) -> Tensor:
    """Return the key of a parameter plus the index of this process's first element, as int32."""
    offset = 0
    if isinstance(parameter, DTensor):
        assert all(place in (Shard(0), Replicate()) for place in parameter.placements), name
        _, starts = compute_local_shape_and_global_offset(
            parameter.shape, parameter.device_mesh, parameter.placements
        )
        offset = starts[0] * math.prod(parameter.shape[1:])
    key = derive_seed(seed, "rounding", name) + offset
    return torch.tensor(_wrapped(key), dtype=torch.int32, device=parameter.device)


def _scalars(
    group: dict[str, Any],
    step: int,
    seed: int,
    device: torch.device,
    gradient_scale: Tensor | None = None,
) -> Scalars:
    """Return the scalars of a step, computed in double precision on the host."""

    def scalar(value: float) -> Tensor:
        return torch.full((), value, dtype=torch.float32, device=device)

    rate, (beta1, beta2) = group["lr"], group["betas"]
    key = _wrapped(derive_seed(seed, "step", step))
    return Scalars(
        decay=scalar(rate * group["weight_decay"]),
        step_size=scalar(rate / (1 - beta1**step)),
        root_scale=scalar(1 / math.sqrt(1 - beta2**step)),
        beta2=scalar(beta2),
        rest1=scalar(1 - beta1),
        rest2=scalar(1 - beta2),
        epsilon=scalar(group["eps"]),
        gradient_scale=scalar(1.0) if gradient_scale is None else gradient_scale,
        step_key=torch.full((), key, dtype=torch.int32, device=device),
    )


def _wrapped(value: int) -> int:
    """Return the low 32 bits as a signed integer."""
    return (value + 2**31) % 2**32 - 2**31


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

    `step` counts from 0; `warmup` is a share of the steps.
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


def clip_gradients(optimizer: torch.optim.Optimizer, largest: float, world: World) -> Tensor:
    """Clip gradients to a common norm of at most `largest`, without waiting for the device.

    Returns:
        The norm before clipping, over all ranks, summed in fp32.
    """
    parameters = (each for group in optimizer.param_groups for each in group["params"])
    gradients = [local_part(each.grad) for each in parameters if each.grad is not None]
    norms = torch._foreach_norm(gradients, 2, dtype=torch.float32)
    norm = world.sum(torch.stack(norms).square().sum()).sqrt()
    scale = (largest / (norm + 1e-6)).clamp(max=1.0)
    if isinstance(optimizer, BFloat16AdamW):
        optimizer.gradient_scale = scale
    else:
        torch._foreach_mul_(gradients, scale)
    return norm
