from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import exporting_ranks
import pytest
import torch
from safetensors import safe_open
from training_setup import load_model, load_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from steep.training.export import export_model
from steep.training.lora import add_lora
from steep.training.parallel import World

ALONE = World(0, 1, 0, torch.device("cpu"))
IDS_BT = torch.arange(24).reshape(2, 12)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS_BT).logits
    return found


def test_an_exported_model_says_what_it_said_in_memory(
    tiny_directory: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny_directory), load_tokenizer(tiny_directory)
    with torch.no_grad():
        model.model.norm.weight.mul_(1.5)
    export_model(model, tokenizer, tmp_path / "model", ALONE)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(logits(loaded), logits(model))
    assert not torch.equal(logits(loaded), logits(load_model(tiny_directory)))
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight, "still tied"
    assert loaded.dtype == torch.float32
    again = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.chat_template == tokenizer.chat_template
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"] == [
        "LlamaForCausalLM"
    ]


def test_weights_keep_their_precision(tiny_directory: Path, tmp_path: Path) -> None:
    model = load_model(tiny_directory).to(torch.bfloat16)
    export_model(model, load_tokenizer(tiny_directory), tmp_path / "model", ALONE)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert loaded.dtype == torch.bfloat16
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter), name


def test_adapters_are_merged_first(tiny_directory: Path, tmp_path: Path) -> None:
    model = add_lora(load_model(tiny_directory), 4, 8.0, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
    adapted = logits(model)
    export_model(model, load_tokenizer(tiny_directory), tmp_path / "model", ALONE)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.allclose(logits(loaded), adapted, atol=1e-4)
    assert not torch.allclose(logits(load_model(tiny_directory)), adapted, atol=1e-2)


def test_generation_settings_that_contradict_each_other_are_kept(
    tiny_directory: Path, tmp_path: Path
) -> None:
    model = load_model(tiny_directory)
    model.generation_config = GenerationConfig(eos_token_id=[1, 2])
    model.generation_config.temperature = 0.6  # without do_sample: transformers does not save it
    with pytest.raises(ValueError, match="temperature"):
        model.save_pretrained(tmp_path / "refused")
    export_model(model, load_tokenizer(tiny_directory), tmp_path / "model", ALONE)
    kept = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    assert (kept["eos_token_id"], kept["temperature"]) == ([1, 2], 0.6)


def test_an_interrupted_export_leaves_nothing(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(tiny_directory)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(tokenizer), "save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_model(load_model(tiny_directory), tokenizer, tmp_path / "model", ALONE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_ranks_write_what_one_would(tiny_directory: Path, tmp_path: Path) -> None:
    """Sharded weights, and sharded weights with adapters, in real processes."""
    subprocess.run(
        [sys.executable, exporting_ranks.__file__, tiny_directory, tmp_path],
        check=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    plain = exporting_ranks.changed(tiny_directory, with_adapters=False)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert torch.equal(logits(loaded), logits(plain))
    with safe_open(tmp_path / "plain" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == {name for name, _ in plain.named_parameters()}, "a tied head is written once"
    adapted = exporting_ranks.changed(tiny_directory, with_adapters=True)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "adapted")
    assert torch.allclose(logits(loaded), logits(adapted), atol=1e-4)
    assert type(loaded).__name__ == "LlamaForCausalLM"
