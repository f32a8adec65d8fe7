from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from training_setup import load_model, load_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from steep.core.errors import UserError
from steep.training.loading import INDEX, WEIGHTS
from steep.training.task_vector import _sum, add_task_vector

SHARD_BYTES = "60KB"


def save(
    directory: Path, tiny: Path, seed: int, dtype: torch.dtype = torch.float32, **saving: Any
) -> Path:
    """A model of the tiny one's shape with weights of its own."""
    model = load_model(tiny)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    model.to(dtype).save_pretrained(directory, **saving)
    tokenizer = load_tokenizer(tiny)
    tokenizer.chat_template = f"template of {seed}"
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def models(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("models")
    return [
        save(root / "trained", tiny_directory, 1, max_shard_size=SHARD_BYTES),
        save(root / "base", tiny_directory, 2),
        save(root / "instruct", tiny_directory, 3, torch.bfloat16),
    ]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    model: Any = AutoModelForCausalLM.from_pretrained(directory)
    return dict(model.named_parameters())


def test_the_difference_is_added(models: list[Path], tmp_path: Path) -> None:
    trained, base, instruct = models
    add_task_vector(trained, base, instruct, tmp_path / "sum")
    one, two, three = map(weights, models)
    for name, found in weights(tmp_path / "sum").items():
        expected = one[name] + (three[name].float() - two[name])
        assert torch.allclose(found, expected, atol=1e-7), name
        assert found.dtype == torch.float32
    index = json.loads((tmp_path / "sum" / INDEX).read_text())
    assert index["weight_map"] == json.loads((models[0] / INDEX).read_text())["weight_map"]
    assert len(set(index["weight_map"].values())) > 2, "cut as the trained model is"
    assert AutoTokenizer.from_pretrained(tmp_path / "sum").chat_template == "template of 3"


def test_a_model_that_learned_nothing_becomes_the_instruct_model(
    models: list[Path], tmp_path: Path
) -> None:
    _, base, instruct = models
    add_task_vector(instruct, instruct, base, tmp_path / "there")
    assert load_file(tmp_path / "there" / WEIGHTS)["model.norm.weight"].dtype == torch.bfloat16
    add_task_vector(base, base, models[0], tmp_path / "sum")
    expected = weights(models[0])
    for name, found in weights(tmp_path / "sum").items():
        assert torch.equal(found, expected[name]), name
    assert (tmp_path / "sum" / WEIGHTS).is_file(), "one file, as the trained model is"


numbers = st.floats(-1e4, 1e4, width=32)


@given(st.lists(st.tuples(numbers, numbers), min_size=1), st.sampled_from([16, 32]))
def test_sums_lose_nothing_where_nothing_was_learned(
    rows: list[tuple[float, float]], bits: int
) -> None:
    dtype = torch.bfloat16 if bits == 16 else torch.float32
    base, instruct = torch.tensor(rows).to(dtype).T
    assert torch.equal(_sum("w", [base, base, instruct]), instruct)


def refused(trained: Path, base: Path, instruct: Path, directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        add_task_vector(trained, base, instruct, directory)
    assert not directory.exists()
    return str(caught.value)


def test_models_of_other_parts_are_refused(
    models: list[Path], tiny_directory: Path, tmp_path: Path
) -> None:
    trained, base, instruct = models
    other = load_model(tiny_directory)
    other.resize_token_embeddings(400)
    other.save_pretrained(tmp_path / "wider")
    said = refused(trained, base, tmp_path / "wider", tmp_path / "sum")
    assert "model.embed_tokens.weight is [400, 64] instead of [384, 64]" in said
    assert str(tmp_path / "wider") in said
    del other.model.layers[1]
    other.config.num_hidden_layers = 1
    other.save_pretrained(tmp_path / "shorter")
    said = refused(trained, tmp_path / "shorter", instruct, tmp_path / "sum")
    assert "model.layers.1.input_layernorm.weight is only in trained" in said
    assert "and 5 more" in said


def test_the_same_weights_for_another_computation_are_refused(
    models: list[Path], tiny_directory: Path, tmp_path: Path
) -> None:
    other = load_model(tiny_directory)
    other.config.rope_parameters = {"rope_type": "default", "rope_theta": 5e5}
    other.save_pretrained(tmp_path / "other")
    said = refused(models[0], models[1], tmp_path / "other", tmp_path / "sum")
    assert "config.json:rope_parameters" in said and "500000" in said


def test_a_folder_without_weights_is_refused(models: list[Path], tmp_path: Path) -> None:
    assert "There are no weights" in refused(models[0], models[1], tmp_path, tmp_path / "sum")


def test_quantized_weights_are_refused() -> None:
    whole = torch.ones(2)
    with pytest.raises(UserError, match="quantized"):
        _sum("w", [whole, whole, whole.to(torch.int8)])
