"""Documents of a row are isolated, or the model is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from training_setup import ALONE, SETTINGS, changed

from steep.core.errors import UserError
from steep.training.prepare import attention_kernel, leaks_across_documents, prepare, weight_dtype

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
GATED = {**SIZES, "intermediate_size": 32}
FOLLOWING = {
    "Llama": GATED,
    "Qwen3": {**GATED, "head_dim": 8, "num_key_value_heads": 1},
    "Mistral": {**GATED, "num_key_value_heads": 1},
    "GPTNeoX": GATED,
}
LEAKING = {
    "OPT": {**SIZES, "ffn_dim": 32, "word_embed_proj_dim": 16},
    "Falcon": {**SIZES, "alibi": True, "new_decoder_architecture": False},
    "Bloom": {"vocab_size": 61, "hidden_size": 16, "n_layer": 2, "n_head": 2},
    "Mamba": {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
}


def model_of(kind: str, sizes: dict[str, Any]) -> Any:
    config = getattr(transformers, f"{kind}Config")(**sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(5)  # attention of fresh weights is too flat to matter
    return model


@pytest.mark.parametrize("kind", FOLLOWING)
def test_models_that_follow_positions_isolate_documents(kind: str) -> None:
    model = model_of(kind, FOLLOWING[kind]).train()
    assert not leaks_across_documents(model)
    assert model.training
    prepare(model, changed(SETTINGS, isolate_documents=True), ALONE)


@pytest.mark.parametrize("kind", LEAKING)
def test_models_that_do_not_are_refused(kind: str) -> None:
    model = model_of(kind, LEAKING[kind])
    with pytest.raises(UserError, match="cannot isolate the documents") as caught:
        prepare(model, changed(SETTINGS, isolate_documents=True), ALONE)
    assert "set train.isolate_documents to false" in str(caught.value)


def test_the_attention_kernel_is_named() -> None:
    model = model_of("Qwen3", FOLLOWING["Qwen3"])
    named = attention_kernel(model, SETTINGS, torch.device("cpu"))
    assert named in ("flash attention", "math")
    model.config._attn_implementation = "eager"
    assert attention_kernel(model, SETTINGS, torch.device("cpu")) == "eager"


@pytest.mark.parametrize(
    ("rows", "optimizer", "warned"),
    [
        (65, "adamw-8bit-stochastic", True),
        (64, "adamw-8bit-stochastic", False),
        (65, "adamw", False),
    ],
)
def test_many_roundings_of_a_gradient_are_mentioned(
    rows: int, optimizer: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = changed(
        SETTINGS, batch_sequences=rows, micro_batch_sequences=1, optimizer=optimizer,
        compute="bfloat16",
    )  # fmt: skip
    prepare(model_of("Llama", GATED).to(weight_dtype(settings)), settings, ALONE)
    assert ("65 micro-batches are summed into gradients of bf16" in caplog.text) == warned
