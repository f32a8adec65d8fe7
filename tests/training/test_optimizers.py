"""Both optimizers beside AdamW in fp32: arithmetic, states, memory, and the compiler."""

from __future__ import annotations

import copy
import shutil
from typing import Any, NamedTuple, get_args

import pytest
import torch
from torch import Tensor, nn

from steep.training.config import OptimizationConfig, OptimizerName
from steep.training.optimizers import (
    BFloat16AdamW,
    _scalars,
    adamw_step,
    make_optimizer,
    set_learning_rate,
    state_tensors,
)

KINDS = get_args(OptimizerName)
BF16_KINDS = KINDS[1:]
BETAS, EPSILON, DECAY = (0.9, 0.999), 1e-8, 0.1
SHAPES = {"embedding": (50, 64), "experts": (3, 8, 32), "norm": (64,), "odd": (11, 257)}
RATES = [1e-5 * (step + 1) for step in range(5)] + [5e-5 * 0.9**step for step in range(20)]


def parameters(kind: str, **shapes: tuple[int, ...]) -> list[tuple[str, nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    dtype = torch.float32 if kind == "adamw" else torch.bfloat16
    return [
        (name, nn.Parameter((torch.randn(shape, generator=generator) * 0.02).bfloat16().to(dtype)))
        for name, shape in (shapes or SHAPES).items()
    ]


def gradients_of(step: int, named: list[tuple[str, nn.Parameter]]) -> list[Tensor]:
    """Gradients that bfloat16 holds exactly, of very different sizes."""
    generator = torch.Generator().manual_seed(step)
    draws = [
        torch.randn(p.shape, generator=generator) * torch.rand(p.shape, generator=generator) ** 4
        for _, p in named
    ]
    return [(draw * 1e-3).bfloat16() for draw in draws]


def make(
    named: list[tuple[str, nn.Parameter]], kind: OptimizerName, seed: int = 0, compile: bool = False
) -> torch.optim.Optimizer:
    settings = OptimizationConfig(
        optimizer=kind,
        learning_rate=RATES[0],
        weight_decay=DECAY,
        seed=seed,
        compile="layers" if compile else "none",
    )
    return make_optimizer(named, settings)


def take_steps(
    named: list[tuple[str, nn.Parameter]], optimizer: torch.optim.Optimizer, steps: range
) -> None:
    for step in steps:
        for (_, parameter), gradient in zip(named, gradients_of(step, named), strict=True):
            parameter.grad = gradient.to(parameter.dtype)
        set_learning_rate(optimizer, RATES[step])
        optimizer.step()


class Updated(NamedTuple):
    """A weight and its moments, in fp32."""

    weight: Tensor
    first: Tensor
    second: Tensor


@pytest.fixture(scope="module")
def updated() -> dict[str, Updated]:
    """What our arithmetic makes of fp32 weights in 25 steps, without any rounding to fewer bits."""
    named, results = parameters("adamw"), {}
    for index, (name, parameter) in enumerate(named):
        weight = parameter.detach().clone()
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        decay = DECAY if weight.dim() > 1 else 0.0
        for step in range(25):
            group = {"lr": RATES[step], "betas": BETAS, "eps": EPSILON, "weight_decay": decay}
            scalars = _scalars(group, step + 1, 0, weight.device)
            gradient = gradients_of(step, named)[index].float()
            weight, first, second = adamw_step(weight, gradient, first, second, scalars)
        results[name] = Updated(weight, first, second)
    return results


def test_moments_are_those_of_fp32_adamw_bit_for_bit(updated: dict[str, Updated]) -> None:
    beta1, beta2 = BETAS
    named = parameters("adamw")
    for index, (name, parameter) in enumerate(named):
        first, second = torch.zeros(parameter.shape), torch.zeros(parameter.shape)
        for step in range(25):
            gradient = gradients_of(step, named)[index].float()
            first = first + (gradient - first) * (1 - beta1)
            second = second * beta2 + gradient * gradient * (1 - beta2)
        assert torch.equal(updated[name].first, first), name
        assert torch.equal(updated[name].second, second), name


def test_the_update_is_that_of_torch_to_a_few_units_in_the_last_place(
    updated: dict[str, Updated],
) -> None:
    """25 steps, each rounded once by us and more often by torch: 25 half-units of 0.02 at most."""
    theirs = parameters("adamw")
    take_steps(theirs, make(theirs, "adamw"), range(25))
    for name, fp32 in theirs:
        torch.testing.assert_close(updated[name].weight, fp32.detach(), rtol=2e-6, atol=5e-9)


@pytest.mark.parametrize("kind", BF16_KINDS)
def test_8_bit_moments_and_random_rounding_stay_near(kind: OptimizerName) -> None:
    """The movement of many weights in 25 steps, projected on that of fp32."""
    named, theirs = (parameters(each, w=(256, 256)) for each in (kind, "adamw"))
    start = named[0][1].detach().float().clone()
    for parameters_, each in ((named, kind), (theirs, KINDS[0])):
        take_steps(parameters_, make(parameters_, each), range(25))
    ours = named[0][1].detach().float() - start
    fp32 = theirs[0][1].detach() - start
    assert ((ours * fp32).sum() / (fp32 * fp32).sum()).item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_there_from_the_start_and_stay_where_they_are(kind: OptimizerName) -> None:
    named = parameters(kind)
    optimizer = make(named, kind)
    before = {name: tensor.data_ptr() for name, tensor in state_tensors(optimizer).items()}
    take_steps(named, optimizer, range(2))
    assert {name: tensor.data_ptr() for name, tensor in state_tensors(optimizer).items()} == before
    assert {name.split(".")[0] for name in before} == set(SHAPES)
    assert all(state_tensors(optimizer)[f"{name}.step"].item() == 2 for name in SHAPES)


@pytest.mark.parametrize(("kind", "expected"), list(zip(KINDS, (16, 6 + 1 / 32), strict=True)))
def test_bytes_a_parameter(kind: OptimizerName, expected: float) -> None:
    """Of a matrix: weight, gradient and all states but the step counter."""
    named = parameters(kind, matrix=(64, 512))
    optimizer = make(named, kind)
    take_steps(named, optimizer, range(1))
    states = [tensor for name, tensor in state_tensors(optimizer).items() if "step" not in name]
    matrix = named[0][1]
    assert matrix.grad is not None
    held = sum(tensor.nbytes for tensor in (matrix, matrix.grad, *states))
    assert held / matrix.numel() == expected


def test_moments_that_blocks_do_not_serve_stay_fp32() -> None:
    states = state_tensors(make(parameters("adamw-8bit-stochastic"), "adamw-8bit-stochastic"))
    kept = {name: states[f"{name}.second"].dtype for name in SHAPES}
    eight, full = torch.uint8, torch.float32
    assert kept == {"embedding": eight, "experts": eight, "norm": full, "odd": full}
    assert states["experts.first"].shape == (3, 8, 32)
    assert states["experts.first_scale"].shape == (3, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["in place", "state_dict"])
def test_a_run_continued_from_its_states_is_the_run(kind: OptimizerName, way: str) -> None:
    whole = parameters(kind)
    optimizer = make(whole, kind)
    take_steps(whole, optimizer, range(3))
    kept = {name: tensor.clone() for name, tensor in state_tensors(optimizer).items()}
    state_dict: Any = copy.deepcopy(optimizer.state_dict())
    continued = [(name, nn.Parameter(parameter.detach().clone())) for name, parameter in whole]
    again = make(continued, kind)
    if way == "in place":
        for name, tensor in state_tensors(again).items():
            tensor.copy_(kept[name])
    else:
        again.load_state_dict(state_dict)
    take_steps(whole, optimizer, range(3, 6))
    take_steps(continued, again, range(3, 6))
    assert_equal(snapshot(continued, again), snapshot(whole, optimizer))


def test_noise_depends_on_seed_and_name_and_on_nothing_else() -> None:
    kind: OptimizerName = "adamw-8bit-stochastic"

    def weight(name: str, seed: int, others: int) -> Tensor:
        named = parameters(kind, **{name: (32, 64)})
        more = [(f"other{index}", nn.Parameter(named[0][1].detach())) for index in range(others)]
        take_steps(named, make([*more, *named], kind, seed), range(3))
        return named[0][1].detach()

    assert torch.equal(weight("a", 0, 0), weight("a", 0, 2))
    assert not torch.equal(weight("a", 0, 0), weight("a", 1, 0))
    assert not torch.equal(weight("a", 0, 0), weight("b", 0, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_without_a_gradient_rests(kind: OptimizerName) -> None:
    named = parameters(kind)
    optimizer = make(named, kind)
    take_steps(named, optimizer, range(1))
    before = snapshot(named[:1], optimizer)
    named[0][1].grad = None
    optimizer.step()
    after = snapshot(named[:1], optimizer)
    assert_equal(
        {name: tensor for name, tensor in after.items() if name.startswith(named[0][0])},
        {name: tensor for name, tensor in before.items() if name.startswith(named[0][0])},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_only_matrices_decay(kind: OptimizerName) -> None:
    named = parameters(kind)
    starts = [parameter.detach().float().clone() for _, parameter in named]
    optimizer = make(named, kind)
    set_learning_rate(optimizer, 0.5)
    for _, parameter in named:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for start, (name, parameter) in zip(starts, named, strict=True):
        expected = start * 0.95 if name != "norm" else start
        torch.testing.assert_close(parameter.detach().float(), expected, rtol=2**-7, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_the_wrong_type_are_refused(kind: OptimizerName) -> None:
    wrong = parameters(BF16_KINDS[0] if kind == "adamw" else "adamw")
    with pytest.raises(AssertionError, match="embedding"):
        make(wrong, kind)


def test_gradients_are_scaled_within_the_update() -> None:
    """Half of a bf16 number is exact, so halved gradients give the same bits."""
    snapshots = []
    for scale in (None, torch.tensor(0.5)):
        named = parameters("adamw-8bit-stochastic", a=(8, 128))
        optimizer = make(named, "adamw-8bit-stochastic", compile=False)
        assert isinstance(optimizer, BFloat16AdamW)
        optimizer.gradient_scale = scale
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            gradient = torch.randn((8, 128), generator=generator) * (0.5 if scale is None else 1)
            named[0][1].grad = gradient.bfloat16()
            optimizer.step()
        snapshots.append(snapshot(named, optimizer))
    assert_equal(*snapshots)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on CPU needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_the_compiled_update_is_the_eager_one_and_compiled_once() -> None:
    """But for the last bit of a square root, which eager torch leaves to MKL on some machines."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    kind: OptimizerName = "adamw-8bit-stochastic"
    snapshots = []
    for compile in (False, True):
        named = parameters(kind, a=(8, 128), b=(8, 128), c=(8, 2, 64))
        optimizer = make(named, kind, compile=compile)
        take_steps(named, optimizer, range(3))
        snapshots.append(snapshot(named, optimizer))
    assert counters["stats"]["unique_graphs"] == 1, "for equal shapes, at any step, of any name"
    eager, compiled = snapshots
    for name, tensor in eager.items():
        assert (tensor != compiled[name]).float().mean().item() < 0.005, name


def snapshot(
    named: list[tuple[str, nn.Parameter]], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    states = {name: tensor.clone() for name, tensor in state_tensors(optimizer).items()}
    return states | {name: parameter.detach().clone() for name, parameter in named}


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
