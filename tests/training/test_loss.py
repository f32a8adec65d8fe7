from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from steep.tokens.mixture import IGNORED
from steep.training import loss
from steep.training.loss import CausalLoss, has_plain_head

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


def llama(tied: bool) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=tied))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(5)  # fresh weights predict nothing in particular
    return model


def ids(rows: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 61, (rows, length), generator=generator)


def gradients(model: Any, value: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def next_tokens(ids_BT: Tensor, ignored: int = 0) -> Tensor:
    """Labels of the next token, `ignored` of them masked."""
    labels_BT = torch.full_like(ids_BT, IGNORED)
    labels_BT[:, :-1] = ids_BT[:, 1:]
    generator = torch.Generator().manual_seed(2)
    labels_BT.view(-1)[torch.randperm(labels_BT.numel(), generator=generator)[:ignored]] = IGNORED
    return labels_BT


def plain_loss(model: Any, ids_BT: Tensor, labels_BT: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(
        model(input_ids=ids_BT).logits.flatten(0, 1),
        labels_BT.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("chunk", [1, 7, 33, 256])
@pytest.mark.parametrize("ignored", [0, 9, 33])
def test_loss_and_gradients_are_those_of_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, tied: bool, chunk: int, ignored: int
) -> None:
    monkeypatch.setattr(loss, "EAGER_POSITIONS", chunk)
    model, ids_BT = llama(tied), ids(3, 11)
    labels_BT = next_tokens(ids_BT, ignored)
    module = CausalLoss(model)
    assert module.plain_head
    ours = module(ids_BT, labels_BT, None) / 45
    plain = plain_loss(model, ids_BT, labels_BT) / 45
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    ours_by_name, plain_by_name = gradients(model, ours), gradients(model, plain)
    assert ("lm_head.weight" in ours_by_name) is not tied
    for name, gradient in plain_by_name.items():
        tolerance = 1e-5 * gradient.abs().max().item()
        assert torch.allclose(ours_by_name[name], gradient, rtol=1e-5, atol=tolerance), name
    with torch.no_grad():
        assert module(ids_BT, labels_BT, None).item() == pytest.approx(45 * ours.item(), rel=1e-5)


def test_bf16_weights_sum_the_gradient_of_the_head_in_fp32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In bf16 a sum over many chunks would lose most of what later chunks add."""
    monkeypatch.setattr(loss, "EAGER_POSITIONS", 2)
    exact, ids_BT = llama(False), ids(16, 32)
    labels_BT = next_tokens(ids_BT)
    expected = gradients(exact, CausalLoss(exact)(ids_BT, labels_BT, None))["lm_head.weight"]
    rounded = llama(False).to(torch.bfloat16)
    module = CausalLoss(rounded, torch.bfloat16)
    found = gradients(rounded, module(ids_BT, labels_BT, None))["lm_head.weight"]
    assert found.dtype == torch.bfloat16
    error = (found.float() - expected).norm() / expected.norm()
    assert error < 0.02, "the rounding of its inputs, not of a sum of 256 parts"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_added_in_fp32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.randn(8, 32, generator=generator).to(dtype) for _ in range(2))
    total = torch.full((32, 32), 1000.0)
    loss.add_product(total, left.T, right)
    exact = 1000 + left.double().T @ right.double()
    assert (total - exact).abs().max() < (1e-4 if dtype == torch.float32 else 0.1)


@pytest.mark.parametrize(
    ("vocabulary", "element_bytes", "positions"),
    [(128_256, 2, 4096), (49_152, 2, 8192), (128_256, 4, 2048), (2**31, 2, 1)],
)
def test_compiled_chunks_hold_at_most_a_gibibyte(
    vocabulary: int, element_bytes: int, positions: int
) -> None:
    assert loss.chunk_positions(vocabulary, element_bytes, compiled=True) == positions
    assert loss.chunk_positions(vocabulary, element_bytes, compiled=False) == 1024


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on CPU needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_the_compiled_chunk_is_the_eager_one() -> None:
    generator = torch.Generator().manual_seed(4)
    logits_NV = torch.randn(9, 61, generator=generator).bfloat16()
    targets_N = torch.tensor([3, 1, IGNORED, 60, 0, 5, IGNORED, 7, 8])
    eager = loss.chunk_loss(logits_NV, targets_N)
    compiled = torch.compile(loss.chunk_loss, dynamic=False)(logits_NV, targets_N)
    exact_NV = logits_NV.double().requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        exact_NV, targets_N, ignore_index=IGNORED, reduction="sum"
    )
    expected.backward()  # type: ignore[no-untyped-call]
    for value, gradient_NV in (eager, compiled):
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
        assert gradient_NV.dtype == torch.bfloat16
        assert exact_NV.grad is not None
        assert torch.allclose(gradient_NV.double(), exact_NV.grad, rtol=2**-8, atol=1e-6)
        assert not gradient_NV[targets_N == IGNORED].any()


def test_positions_that_start_anew_keep_documents_apart() -> None:
    model, ids_BT = llama(True), ids(1, 12)
    labels_BT = torch.full_like(ids_BT, IGNORED)
    labels_BT[:, 6:-1] = ids_BT[:, 7:]  # only the second document is predicted
    positions_BT = torch.cat([torch.arange(6), torch.arange(6)])[None]
    module = CausalLoss(model)
    changed = ids_BT.clone()
    changed[:, :6] = (changed[:, :6] + 7) % 61
    apart = [module(each, labels_BT, positions_BT).item() for each in (ids_BT, changed)]
    joined = [module(each, labels_BT, None).item() for each in (ids_BT, changed)]
    assert apart[0] == pytest.approx(apart[1], rel=1e-6)
    assert joined[0] != pytest.approx(joined[1], rel=1e-3)


def test_dropout_does_not_hide_a_plain_head() -> None:
    with torch.random.fork_rng(devices=[]):
        model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=16, n_layer=1, n_head=2))
    assert has_plain_head(model.train())
    assert model.training, "it is left as it was"


def test_a_head_that_caps_its_logits_gets_its_own_loss() -> None:
    config = Gemma2Config(**SIZES, head_dim=8, num_key_value_heads=1, final_logit_softcapping=0.1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = Gemma2ForCausalLM(config).eval()
    ids_BT = ids(2, 8)
    labels_BT = next_tokens(ids_BT, 3)
    module = CausalLoss(model)
    assert not module.plain_head
    ours, plain = module(ids_BT, labels_BT, None), plain_loss(model, ids_BT, labels_BT)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-6)
    for name, gradient in gradients(model, plain).items():
        assert torch.allclose(gradients(model, module(ids_BT, labels_BT, None))[name], gradient)
