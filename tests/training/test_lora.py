from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training_setup import load_model

from steep.core.errors import UserError
from steep.training.lora import add_lora, has_lora, merge_lora
from steep.training.loss import CausalLoss

IDS_BT = torch.arange(24).reshape(2, 12)


def trained(directory: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A model whose adapters have learned something, through the loss of the loop."""
    model = add_lora(load_model(directory).to(dtype), 4, 8.0, seed=1)
    loss = CausalLoss(model, dtype)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):
        loss(IDS_BT, IDS_BT.roll(-1, 1), None).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS_BT).logits
    return found


def test_fresh_adapters_change_nothing(tiny_directory: Path) -> None:
    plain = load_model(tiny_directory)
    before = torch.get_rng_state()
    adapted = add_lora(load_model(tiny_directory), 4, 8.0, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert has_lora(adapted) and not has_lora(plain)
    assert torch.equal(logits(adapted), logits(plain))
    again = add_lora(load_model(tiny_directory), 4, 8.0, seed=1)
    for (name, one), other in zip(adapted.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_only_adapters_of_all_matrices_are_trained(tiny_directory: Path) -> None:
    before = {name: p.clone() for name, p in load_model(tiny_directory).named_parameters()}
    model = trained(tiny_directory)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(names) == 2 * 7 * 2, "two halves, seven matrices, two layers"
    assert all("lora_A" in name or "lora_B" in name for name in names)
    for name, parameter in model.named_parameters():
        if name not in names:
            assert torch.equal(parameter, before[name.replace(".base_layer", "")]), name


def test_trunk_and_head_are_where_they_were(tiny_directory: Path) -> None:
    model = trained(tiny_directory)
    assert CausalLoss(model).plain_head
    hidden_BTE = model.base_model(input_ids=IDS_BT).last_hidden_state
    found = hidden_BTE @ model.get_output_embeddings().weight.T
    assert torch.allclose(found, logits(model), atol=1e-5)


def test_a_merged_model_is_plain_and_says_the_same(tiny_directory: Path) -> None:
    model, plain = trained(tiny_directory), load_model(tiny_directory)
    adapted = logits(model)
    assert (adapted - logits(plain)).abs().max() > 0.1, "it has learned something"
    merged = merge_lora(model)
    assert merged is model and not has_lora(model)
    assert torch.allclose(logits(model), adapted, atol=1e-4)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [type(each) for each in model.modules()] == [type(each) for each in plain.modules()]


def test_adapters_have_the_precision_of_the_weights(tiny_directory: Path) -> None:
    model = trained(tiny_directory, torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    layer = model.model.layers[0].mlp.down_proj
    first, second = (part.default.weight.float() for part in (layer.lora_A, layer.lora_B))
    exact = layer.base_layer.weight.float() + 2.0 * second @ first
    merge_lora(model)
    assert torch.equal(model.model.layers[0].mlp.down_proj.weight, exact.bfloat16())


def test_without_peft_it_says_what_to_install(
    tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'steep\[lora\]'"):
        add_lora(load_model(tiny_directory), 4, 8.0, seed=1)
