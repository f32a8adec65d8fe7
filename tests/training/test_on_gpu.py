"""What only a GPU can show.

    STEEP_TEST_DEVICE=cuda python -m pytest tests/training/test_on_gpu.py -W default -rA

Skipped if the variable is not set, and then no test sees a GPU. STEEP_TEST_DEVICE=cpu runs the
logic on a processor.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor
from training_setup import (
    ALONE,
    SETTINGS,
    STEPS,
    changed,
    load_mixture,
    load_model,
    load_tokenizer,
    write_shards,
)
from transformers import LlamaConfig, LlamaForCausalLM

from steep.evaluation.likelihood import score_questions
from steep.tokens.mixture import IGNORED, RowBatch, positions_of
from steep.training import loop
from steep.training.attention import needs_no_masks
from steep.training.config import OptimizationConfig
from steep.training.loss import CausalLoss
from steep.training.metrics import StepMetrics
from steep.training.optimizers import make_optimizer
from steep.training.parallel import World
from steep.training.prepare import computing, on_device, prepare, weight_dtype

WANTED = os.environ.get("STEEP_TEST_DEVICE", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not WANTED, reason="STEEP_TEST_DEVICE is not set"),
    pytest.mark.skipif(
        WANTED == "cuda" and not torch.cuda.is_available(), reason="there is no GPU"
    ),
]
ON_GPU = WANTED == "cuda"
DEVICE = torch.device(WANTED or "cpu")
WORLD = World(0, 1, 0, DEVICE)
BF16 = changed(SETTINGS, compute="bfloat16", compile="layers", learning_rate=3e-3)
EIGHT_BIT = changed(BF16, optimizer="adamw-8bit-stochastic")
FUSED = ("flash", "cudnn", "fmha")  # in the names of kernels of attention
BOTH = pytest.mark.parametrize("settings", [BF16, EIGHT_BIT], ids=lambda each: each.optimizer)


@pytest.fixture(scope="module")
def shards(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    write_shards(directory, load_tokenizer(tiny_directory))
    return directory


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield


def train(
    model: Path, shards: Path, directory: Path, settings: OptimizationConfig, **more: Any
) -> list[StepMetrics]:
    done: list[StepMetrics] = []
    loaded = load_model(model).to(weight_dtype(settings))
    mixture, more = load_mixture(shards), {"on_step": done.append, "world": WORLD, **more}
    directory.mkdir(exist_ok=True)
    loop.train(loaded, mixture, settings, STEPS, directory, **more)
    return done


def losses_of(steps: list[StepMetrics]) -> list[float]:
    return [each.loss or math.nan for each in steps]


@pytest.mark.parametrize("shape", [(1024, 512), (640, 576), (512,)], ids=str)
def test_compiled_updates_are_those_of_the_processor(shape: tuple[int, ...]) -> None:
    """With the same gradients, all but a few in 1,000 weights are equal in every bit."""
    generator = torch.Generator().manual_seed(0)
    start = (torch.randn(shape, generator=generator) * 0.02).bfloat16()
    here, there = (torch.nn.Parameter(start.clone().to(each)) for each in ("cpu", DEVICE))
    eager = make_optimizer([("w", here)], changed(EIGHT_BIT, compile="none"))
    compiled = make_optimizer([("w", there)], EIGHT_BIT)
    for _ in range(5):
        gradient = (torch.randn(shape, generator=generator) * 1e-3).bfloat16()
        here.grad, there.grad = gradient.clone(), gradient.to(DEVICE)
        eager.step()
        compiled.step()
    found, expected = there.detach().cpu(), here.detach()
    different = (found.view(torch.int16) != expected.view(torch.int16)).float().mean().item()
    assert different < 5e-3
    assert (found.float() - expected.float()).abs().max() < 1e-2
    assert abs((found.float() - expected.float()).mean()) < 1e-5, "a rounding with a bias"
    assert not torch.equal(found, start)


def random_llama(vocabulary: int, hidden: int, layers: int = 2) -> Any:
    """A model whose embedding and head are not tied, on the device."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 64,
        tie_word_embeddings=False,
        use_cache=False,
    )
    torch.manual_seed(0)
    with DEVICE:
        return LlamaForCausalLM(config)


def head_gradients(model: Any, loss: Any) -> tuple[Tensor, Tensor]:
    """Gradients by the head's weight and by its input."""
    kept: list[Tensor] = []

    def keep(_: Any, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    model.zero_grad(set_to_none=True)
    hook = model.model.norm.register_forward_hook(keep)
    loss().backward()
    hook.remove()
    assert len(kept) == 1 and kept[0].grad is not None
    return model.lm_head.weight.grad.float(), kept[0].grad.float()


@BOTH
def test_the_head_of_a_large_vocabulary(settings: OptimizationConfig) -> None:
    """Both gradients are autograd's; logits of all positions (8.4 GB in fp32) never exist."""
    rows, context, vocabulary, hidden = (8, 2048, 128_256, 512) if ON_GPU else (2, 64, 512, 64)
    model = random_llama(vocabulary, hidden, layers=1).to(weight_dtype(settings))
    module = prepare(model, settings, WORLD)
    assert module.plain_head
    ids_BT = torch.randint(0, vocabulary, (rows, context), device=DEVICE)
    labels_BT = ids_BT.roll(-1, 1)
    labels_BT[:, ::7] = IGNORED

    def ours() -> Tensor:
        with computing(settings, WORLD):
            return module(ids_BT, labels_BT, None) / labels_BT.numel()  # type: ignore[no-any-return]

    def plain() -> Tensor:
        with computing(settings, WORLD):
            hidden_BTE = model.base_model(ids_BT).last_hidden_state
        logits_BTV = hidden_BTE.float() @ model.lm_head.weight.float().T
        return torch.nn.functional.cross_entropy(
            logits_BTV.flatten(0, 1), labels_BT.flatten(), ignore_index=IGNORED, reduction="sum"
        ).div(labels_BT.numel())

    head_gradients(model, ours)  # compiles
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if ON_GPU else 0
    found = head_gradients(model, ours)
    if ON_GPU:
        taken = torch.cuda.max_memory_allocated() - before
        print(f"peak above the model: {taken / 2**30:.2f} GiB")
        assert taken < 5 * 2**30
    for ours_by, plain_by in zip(found, head_gradients(model, plain), strict=True):
        error = ((ours_by - plain_by).norm() / plain_by.norm()).item()
        print(f"relative error of the gradient: {error:.2g}")
        assert error < 2e-2


@BOTH
def test_isolated_documents_leak_nothing(settings: OptimizationConfig) -> None:
    """No token of the first document changes the loss of the second or gets a gradient from it."""
    context, first, vocabulary = 256, 100, 512
    settings = changed(settings, isolate_documents=True)
    model = random_llama(vocabulary, 128).to(weight_dtype(settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)  # fresh weights attend to everything alike
    module: CausalLoss = prepare(model, settings, WORLD)
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(0, vocabulary // 2, (2, context), generator=generator)
    other_BT = ids_BT.clone()  # the first document in tokens that occur nowhere else
    other_BT[:, :first] += vocabulary // 2
    labels_BT = ids_BT.roll(-1, 1)
    labels_BT[:, :first], labels_BT[:, -1] = IGNORED, IGNORED
    row_T = np.concatenate([np.arange(first), np.arange(context - first)])
    positions_BT = np.tile(row_T, (2, 1))

    def loss(rows_BT: Tensor, positions: Any) -> Tensor:
        rows = RowBatch(rows_BT.numpy(), labels_BT.numpy(), positions)
        with computing(settings, WORLD):
            value: Tensor = module(*on_device(rows, DEVICE))
        return value

    apart = [loss(each, positions_BT).item() for each in (ids_BT, other_BT)]
    joined = [loss(each, None).item() for each in (ids_BT, other_BT)]
    assert apart[0] == pytest.approx(apart[1], rel=1e-6)
    assert joined[0] != pytest.approx(joined[1], rel=1e-4)
    model.zero_grad(set_to_none=True)
    loss(other_BT, positions_BT).backward()  # type: ignore[no-untyped-call]
    gradient_VE = model.get_input_embeddings().weight.grad
    assert gradient_VE.isfinite().all()
    assert gradient_VE[: vocabulary // 2].abs().max() > 0
    assert gradient_VE[vocabulary // 2 :].abs().max() == 0


@BOTH
def test_isolated_rows_are_those_of_masks(settings: OptimizationConfig) -> None:
    """Gradients of the variable-length kernel; the ratio of times is printed."""
    rows, context, hidden = (4, 2048, 1024) if ON_GPU else (2, 64, 64)
    settings = changed(settings, isolate_documents=True, context_tokens=context)
    generator = np.random.default_rng(0)
    ids_BT = generator.integers(0, 512, (rows, context))
    ends_BT = generator.random((rows, context)) < 6 / context
    batch = RowBatch(ids_BT, np.roll(ids_BT, -1, 1), positions_of(ends_BT))
    times, gradients = [], []
    for masked in (False, True):
        model = random_llama(512, hidden, layers=4).to(weight_dtype(settings))
        with (
            mock.patch("steep.training.prepare.drop_masks", lambda *_: False)
            if masked
            else (nullcontext())
        ):
            module = prepare(model, settings, WORLD)
        assert needs_no_masks(model) != masked
        for _ in range(8):
            model.zero_grad(set_to_none=True)
            began = time.monotonic()
            with computing(settings, WORLD):
                (module(*on_device(batch, DEVICE)) / ids_BT.size).backward()
            wait_for_device()
            took_s = time.monotonic() - began  # that of the last remains
        times.append(took_s)
        gradients.append([each.grad.float() for each in model.parameters()])
    print(f"forward and backward: {times[0]:.4f} s, with masks {times[1]:.4f} s")
    for found, expected in zip(*gradients, strict=True):
        assert found.isfinite().all()
        assert (found - expected).norm() <= 3e-2 * expected.norm()


def wait_for_device() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def test_likelihoods_are_those_of_a_processor(tiny_directory: Path) -> None:
    tokenizer = load_tokenizer(tiny_directory)
    shared = "Questions on a small town, each with one answer. " * 4
    prompts = [f"{shared}Question {number}: where is it? Answer:" for number in range(6)]
    options = [[f" by the {place}" for place in ("sea", "river", "old mill")]] * len(prompts)
    here, there = (
        score_questions(load_model(tiny_directory).to(each), tokenizer, prompts, options, 1024)
        for each in ("cpu", DEVICE)
    )
    flat = [[value for scores in each for value in scores.sum_logprob] for each in (here, there)]
    assert len(flat[0]) >= 18 and len(set(flat[0])) > 3
    assert flat[1] == pytest.approx(flat[0], abs=1e-3)


@BOTH
def test_losses_are_those_of_fp32_on_a_processor(
    settings: OptimizationConfig, tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    found = train(tiny_directory, shards, tmp_path / "gpu", settings)
    exact = changed(SETTINGS, learning_rate=settings.learning_rate)
    expected = train(tiny_directory, shards, tmp_path / "cpu", exact, world=ALONE)
    losses = losses_of(found)
    assert losses == pytest.approx(losses_of(expected), abs=0.03)
    assert losses[-1] < losses[0] - 0.2


def test_nothing_compiles_after_the_first_steps_and_nothing_waits(
    tiny_directory: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    graphs: list[int] = []
    real = vars(loop)["_step"]

    def counted(*args: Any) -> Any:
        if ON_GPU and len(graphs) > 2:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            return real(*args)
        finally:
            if ON_GPU:
                torch.cuda.set_sync_debug_mode("default")
            graphs.append(counters["stats"]["unique_graphs"])

    monkeypatch.setattr(loop, "_step", counted)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tiny_directory, shards, tmp_path, EIGHT_BIT)
    assert len(graphs) == STEPS and graphs[1] == graphs[-1] > 0
    waits = [
        each
        for each in caught
        if "synchroniz" in str(each.message) and "torch/cuda/__init__" not in each.filename
    ]
    print("waits for the device:", {f"{each.filename}:{each.lineno}" for each in waits})
    assert not waits


def test_attention_is_a_fused_kernel(tiny_directory: Path, shards: Path, tmp_path: Path) -> None:
    if not ON_GPU:
        pytest.skip("a processor has no such kernels")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        train(tiny_directory, shards, tmp_path, EIGHT_BIT)
    names = [each.key for each in profiler.key_averages()]
    fused = [each for each in names if any(part in each.lower() for part in FUSED)]
    print("attention:", fused)
    assert fused, names[:40]


@BOTH
def test_a_stopped_run_resumes(
    settings: OptimizationConfig, tiny_directory: Path, shards: Path, tmp_path: Path
) -> None:
    whole = train(tiny_directory, shards, tmp_path / "whole", settings)

    def stop(metrics: StepMetrics) -> None:
        if metrics.step == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(tiny_directory, shards, tmp_path / "parts", settings, on_step=stop)
    rest = train(tiny_directory, shards, tmp_path / "parts", settings)
    pairs = zip(losses_of(whole)[-len(rest) :], losses_of(rest), strict=True)
    gap = max(abs(first - second) for first, second in pairs)
    print("largest difference after resuming:", gap)
    assert 1 < rest[0].step <= 6 and gap < 5e-3
