from __future__ import annotations

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

from steep.core.errors import UserError
from steep.training import loss
from steep.training.loss import check_plain_head, summed_loss

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


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("chunk", [1, 7, 30, 256])
@pytest.mark.parametrize("scale", [1.0, 1 / 45])
def test_loss_and_gradients_are_those_of_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, tied: bool, chunk: int, scale: float
) -> None:
    monkeypatch.setattr(loss, "CHUNK_POSITIONS", chunk)
    model, ids_BT = llama(tied), ids(3, 11)
    ours = summed_loss(model, ids_BT) * scale
    logits_BTV = model(input_ids=ids_BT).logits[:, :-1]
    plain = scale * torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten(), reduction="sum"
    )
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    ours_by_name, plain_by_name = gradients(model, ours), gradients(model, plain)
    assert ("lm_head.weight" in ours_by_name) is not tied
    for name, gradient in plain_by_name.items():
        tolerance = 1e-5 * gradient.abs().max().item()
        assert torch.allclose(ours_by_name[name], gradient, rtol=1e-5, atol=tolerance), name


def test_a_plain_head_passes() -> None:
    check_plain_head(llama(True), ids(1, 8))
    with torch.random.fork_rng(devices=[]):
        model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=16, n_layer=1, n_head=2))
        check_plain_head(model.train(), ids(1, 8))  # its dropout is no reason to refuse it


def test_a_head_that_caps_its_logits_is_refused() -> None:
    config = Gemma2Config(**SIZES, head_dim=8, num_key_value_heads=1, final_logit_softcapping=0.1)
    with torch.random.fork_rng(devices=[]):
        model: Any = Gemma2ForCausalLM(config)
    with pytest.raises(UserError, match="Gemma2ForCausalLM"):
        check_plain_head(model, ids(1, 8))
