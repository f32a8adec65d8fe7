from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, MixtralConfig

from steep.training.model_dims import (
    empty_model,
    flops_per_token,
    mfu,
    peak_flops,
    peak_of,
    shape_of,
)

LLAMA_3_8B = LlamaConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
)
SMOLLM2_135M = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
)


@pytest.mark.parametrize(
    ("config", "context", "expected"),
    [(LLAMA_3_8B, 2048, 48.25e9), (LLAMA_3_8B, 8192, 57.91e9), (SMOLLM2_135M, 2048, 1.23e9)],
)
def test_published_figures_are_met(config: Any, context: int, expected: float) -> None:
    assert flops_per_token(config, context) == pytest.approx(expected, rel=2e-3)


def tiny(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 100, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    return LlamaConfig(**{**sizes, "num_attention_heads": 4, "head_dim": 8, **changes})


def test_every_product_is_counted_once() -> None:
    q = o = 16 * 32
    k = v = 16 * 32
    layer = q + k + v + o + 3 * 16 * 24 + 2 * 16
    head, last_norm = 100 * 16, 16
    attention = 12 * 2 * (4 * 8) * 10
    products = 6 * (2 * layer + head + last_norm)
    assert flops_per_token(tiny(), 10) == products + attention
    assert flops_per_token(tiny(tie_word_embeddings=True), 10) == products + attention
    assert flops_per_token(LlamaForCausalLM(tiny()), 10) == products + attention


def test_what_is_not_trained_needs_no_gradient_of_its_own() -> None:
    model = LlamaForCausalLM(tiny())
    whole = flops_per_token(model, 10)
    model.lm_head.requires_grad_(False)
    assert whole - flops_per_token(model, 10) == 2 * 100 * 16


def test_experts_count_as_far_as_a_token_visits_them() -> None:
    sizes: dict[str, Any] = {
        "vocab_size": 100,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "num_local_experts": 8,
    }
    one, two = (
        flops_per_token(MixtralConfig(**sizes, num_experts_per_tok=chosen), 10) for chosen in (1, 2)
    )
    assert two - one == 6 * 3 * 16 * 24


def test_positions_that_are_looked_up_multiply_nothing() -> None:
    short, long = (
        flops_per_token(
            GPT2Config(vocab_size=100, n_embd=16, n_layer=1, n_head=2, n_positions=n), 8
        )
        for n in (8, 4096)
    )
    assert short == long


def test_an_empty_model_has_the_shape_of_a_real_one() -> None:
    empty = empty_model(tiny())
    assert all(parameter.is_meta for parameter in empty.parameters())
    assert shape_of(empty) == shape_of(LlamaForCausalLM(tiny()))


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Some other device", None),
    ],
)
def test_peaks_are_found_by_name(name: str, peak: float | None) -> None:
    assert peak_of(name) == peak


def test_mfu_is_a_share_of_all_devices() -> None:
    # the paper's eight H100s, and the goal for one
    assert mfu(6090, 48.25e9, 989e12, 8) == pytest.approx(0.037, abs=5e-4)
    assert mfu(10250, 48.25e9, 989e12, 1) == pytest.approx(0.50, abs=1e-3)
    assert mfu(6090, 48.25e9, peak_flops(torch.device("cpu")), 8) is None
