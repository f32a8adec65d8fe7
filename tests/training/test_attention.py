"""Attention without masks gives the results of attention with masks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_isolation import GATED, SIZES, model_of
from torch import Tensor
from torch._dynamo.utils import counters
from training_setup import ALONE, SETTINGS, changed

from steep.tokens.mixture import IGNORED, RowBatch, positions_of
from steep.training import attention
from steep.training.attention import document_boundaries, drop_masks, needs_no_masks
from steep.training.loss import CausalLoss
from steep.training.prepare import compile_layers, leaks_across_documents, on_device, prepare

CPU = torch.device("cpu")
ISOLATED = changed(SETTINGS, isolate_documents=True)
GROUPED = {**GATED, "num_attention_heads": 4, "num_key_value_heads": 2}
GPT2: dict[str, Any] = {
    **{"vocab_size": 61, "n_embd": 16, "n_layer": 2, "n_head": 2},
    **{"bos_token_id": None, "eos_token_id": None},
}
WINDOWS = {**GROUPED, "head_dim": 8, "sliding_window": 16, "_sliding_window_pattern": 2}
KINDS: dict[str, dict[str, Any]] = {
    "Llama": GROUPED,
    "Qwen3": {**GROUPED, "head_dim": 8},
    "Olmo2": GROUPED,
    "Mistral": {**GROUPED, "sliding_window": 64},
    "Gemma3Text": {**WINDOWS, "sliding_window": 64},
    "GPTNeoX": GATED,
    "GPT2": {**GPT2, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
}
MASKED: dict[str, dict[str, Any]] = {
    "Mistral": {**GROUPED, "sliding_window": 16},
    "Gemma3Text": WINDOWS,
    "Qwen3": {**GROUPED, "attention_dropout": 0.1},
    "GPT2": GPT2,
    "OPT": {**SIZES, "ffn_dim": 32, "word_embed_proj_dim": 16},
}
# The ends of documents in two rows of 32 tokens; documents of 1 and of 32 tokens are among them.
LAYOUTS = ([[8, 9, 24], [20]], [[31], []], [[], [3, 11, 12, 30]])


def rows_of(ends: list[list[int]], seed: int = 0) -> RowBatch:
    last_BT = np.zeros((2, 32), np.bool_)
    for row, places in enumerate(ends):
        last_BT[row, places] = True
    ids_BT = np.random.default_rng(seed).integers(0, 61, (2, 32))
    labels_BT = np.where(last_BT, IGNORED, np.roll(ids_BT, -1, 1))
    labels_BT[:, -1] = IGNORED
    return RowBatch(ids_BT, labels_BT, positions_of(last_BT))


def gradients(module: CausalLoss, rows: RowBatch) -> tuple[float, dict[str, Tensor]]:
    module.zero_grad(set_to_none=True)
    loss = module(*on_device(rows, CPU))
    loss.backward()
    named = module.model.named_parameters()
    return loss.item(), {name: each.grad.clone() for name, each in named if each.grad is not None}


def assert_same(
    found: tuple[float, dict[str, Tensor]], expected: tuple[float, dict[str, Tensor]]
) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        size = gradient.abs().max().item()
        assert torch.allclose(found[1][name], gradient, rtol=1e-3, atol=1e-4 * size), name


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_masks(kind: str) -> None:
    masked, own = (CausalLoss(model_of(kind, KINDS[kind])) for _ in range(2))
    assert drop_masks(own.model, ISOLATED, CPU)
    assert not needs_no_masks(masked.model)
    for seed, ends in enumerate(LAYOUTS):
        rows = rows_of(ends, seed)
        assert_same(gradients(own, rows), gradients(masked, rows))
    joined = rows_of(LAYOUTS[0])._replace(positions_BT=None)
    assert gradients(own, joined)[0] != pytest.approx(gradients(own, rows_of(LAYOUTS[0]))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_joined_rows_are_equal_in_every_bit(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(kind, KINDS[kind]).eval()
    ids_BT = torch.from_numpy(rows_of(LAYOUTS[0]).ids_BT)
    expected = model(ids_BT, use_cache=False).logits
    assert drop_masks(model, SETTINGS, CPU)

    def search(*_: Any) -> None:
        raise AssertionError("positions are searched for documents, for which a GPU waits")

    monkeypatch.setattr("transformers.masking_utils.find_packed_sequence_indices", search)
    assert torch.equal(model(ids_BT, use_cache=False).logits, expected)


@pytest.mark.parametrize("kind", MASKED)
def test_models_that_need_masks_keep_them(kind: str) -> None:
    model = model_of(kind, MASKED[kind])
    assert not drop_masks(model, ISOLATED, CPU)
    assert model.config._attn_implementation == "sdpa"


def test_short_windows_do_not_matter_in_short_rows() -> None:
    model = model_of("Mistral", MASKED["Mistral"])
    assert drop_masks(model, changed(ISOLATED, context_tokens=8), CPU)


def test_an_attention_that_isolates_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("Llama", GROUPED)
    assert drop_masks(model, ISOLATED, CPU)
    assert not leaks_across_documents(model)
    module = CausalLoss(model)
    ids_BT, labels_BT, positions_BT, _ = on_device(rows_of(LAYOUTS[0]), CPU)
    with pytest.raises(AssertionError, match="would isolate nothing"):
        module(ids_BT, labels_BT, positions_BT)
    monkeypatch.setattr(attention, "document_boundaries", one_document)
    monkeypatch.setattr("steep.training.prepare.document_boundaries", one_document)
    assert leaks_across_documents(model)
    masked = model_of("Llama", GROUPED)
    prepare(masked, ISOLATED, ALONE)
    assert not needs_no_masks(masked), "other results: masks are kept"


def one_document(positions_BT: NDArray[np.int64]) -> NDArray[np.int32]:
    rows, tokens = positions_BT.shape
    return np.arange(0, rows * tokens + 1, tokens, dtype=np.int32)


def test_boundaries_have_one_number() -> None:
    positions_BT = np.tile(np.arange(512), (2, 1))
    assert document_boundaries(positions_BT).tolist() == [0, 512, 1024, 1024, 1024]
    positions_BT[0, 100:] -= 100
    assert document_boundaries(positions_BT).tolist() == [0, 100, 512, 1024, 1024]
    short_BT = np.tile(np.arange(4), (2, 128))
    assert document_boundaries(short_BT).tolist() == [*range(0, 1025, 4)]
    assert len(document_boundaries(short_BT[:, :500])) == 257


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


COMPILES = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="this needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]


@pytest.fixture
def one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MEAN_TOKENS", 4)


@pytest.mark.usefixtures("fresh_compiler", "one_number")
@pytest.mark.parametrize("emulated", [False, True], ids=["masks", "kernel"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=COMPILES)])
def test_the_kernel_gets_one_shape(
    compiled: bool, emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor, with a kernel of its own for the operation that GPUs have a kernel for."""
    masked, own = (CausalLoss(model_of("Qwen3", KINDS["Qwen3"])) for _ in range(2))
    calls = emulate_kernel(monkeypatch) if emulated else []
    assert drop_masks(own.model, ISOLATED, CPU)
    calls.clear()
    if compiled:
        compile_layers(list(own.model.model.layers))
    graphs = set()
    for seed, ends in enumerate(LAYOUTS):
        rows = rows_of(ends, seed)
        assert_same(gradients(own, rows), gradients(masked, rows))
        graphs.add(counters["stats"]["unique_graphs"])
    assert len(graphs) == 1 and bool(graphs.pop()) == compiled
    if emulated:  # in two layers; the backward pass recomputes no attention
        assert calls == ["forward", "forward", "backward", "backward"] * len(LAYOUTS)


def emulate_kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the operation of `varlen_attn` a kernel for processors; it adds its calls to a list."""
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    calls: list[str] = []

    def forward(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Any:
        calls.append("forward")
        bounds_S, _, most, _, causal, scale = rest[:6]
        out = torch.zeros_like(query)
        for first, end in documents(bounds_S, most):
            probabilities, values = attended(query, key, value, first, end, causal, scale)
            out[first:end] = (probabilities @ values).transpose(0, 1)
        log_sums = torch.zeros(query.shape[1], query.shape[0])
        return out, log_sums, torch.zeros(2, dtype=torch.uint64)

    def backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Any:
        calls.append("backward")
        out, _, bounds_S, _, most, _, causal, _, scale = rest[:9]
        grads = [torch.zeros_like(each) for each in (query, key, value)]
        for first, end in documents(bounds_S, most):
            chosen = slice(first, end)
            weights, values = attended(query, key, value, first, end, causal, scale)
            grad_out, own_out = (each[chosen].transpose(0, 1) for each in (grad, out))
            by_score = weights * (grad_out @ values.mT - (grad_out * own_out).sum(-1, keepdim=True))
            by_query = by_score @ grouped(key[chosen], query) * scale
            by_key = by_score.mT @ query[chosen].transpose(0, 1) * scale
            by_value = weights.mT @ grad_out
            grads[0][chosen] = by_query.transpose(0, 1)
            for total, part in ((grads[1], by_key), (grads[2], by_value)):
                heads = part.unflatten(0, (key.shape[1], -1)).sum(1)
                total[chosen] = heads.transpose(0, 1)
        return tuple(grads)

    varlen._varlen_attn.register_kernel("cpu", forward)
    varlen._varlen_attn_backward.register_kernel("cpu", backward)
    monkeypatch.setattr(attention, "_is_on_gpu", lambda tensor: True)
    return calls


def documents(bounds_S: Tensor, most_tokens: int) -> Iterator[tuple[int, int]]:
    bounds = bounds_S.tolist()
    assert bounds[0] == 0 and len(bounds) in (9, 17), "the probe, or one number"
    for first, end in pairwise(bounds):
        assert 0 <= end - first <= most_tokens
        if end > first:
            yield first, end


def grouped(keys_LKD: Tensor, queries: Tensor) -> Tensor:
    """Return keys for each head of queries, (H, L, D)."""
    return keys_LKD.transpose(0, 1).repeat_interleave(queries.shape[1] // keys_LKD.shape[1], 0)


def attended(
    query: Tensor, key: Tensor, value: Tensor, first: int, end: int, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Return the probabilities (H, L, L) and values (H, L, D) of one document."""
    assert causal
    scores = query[first:end].transpose(0, 1) @ grouped(key[first:end], query).mT * scale
    hidden = torch.ones(end - first, end - first, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return weights, grouped(value[first:end], query)
