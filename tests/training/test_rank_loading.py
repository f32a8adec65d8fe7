"""Several ranks have the same model as one, though none of them loads it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import loading_ranks
import pytest
import torch
import transformers
from loading_ranks import RANKS, open_one
from training_setup import ALONE

pytestmark = pytest.mark.slow

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "bos_token_id": 7,
}
SHORT = {"vocab_size": 61, "hidden_size": 16, "n_layer": 2, "n_head": 2}
CONFIGS: dict[str, Any] = {
    "tied": transformers.LlamaConfig(**SIZES, tie_word_embeddings=True),
    "bf16": transformers.Qwen3Config(**SIZES, head_dim=8),
    "files": transformers.LlamaConfig(**SIZES, rope_parameters={
        "rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0,
    }),
    "scaled": transformers.CohereConfig(**SIZES, logit_scale=0.1),
    "gpt2": transformers.GPT2Config(
        **SHORT, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    ),
    "experts": transformers.MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2),
    "pickled": transformers.LlamaConfig(**SIZES),
    "adapted": transformers.LlamaConfig(**SIZES),
    "documents": transformers.LlamaConfig(**SIZES),
    "leaking": transformers.BloomConfig(**SHORT),
}  # fmt: skip
SENT = {"experts", "pickled", "adapted"}  # from the main rank, which loads them


def write_model(name: str, directory: Path) -> None:
    torch.manual_seed(len(name))
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name])
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(directory, max_shard_size="5KB" if name == "files" else "1GB")
    if name == "pickled":
        (directory / "model.safetensors").unlink()
        torch.save(model.state_dict(), directory / "pytorch_model.bin")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    names = set(CONFIGS) - (set() if importlib.util.find_spec("peft") else {"adapted"})
    for name in names:
        write_model(name, directory / name)
    command = [sys.executable, loading_ranks.__file__, str(directory)]
    subprocess.run(command, check=True, timeout=300)
    return directory


@pytest.fixture(scope="module")
def seen(directory: Path) -> list[dict[str, Any]]:
    return [torch.load(directory / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"leaking"}))
def test_ranks_have_the_model_of_one(
    name: str, directory: Path, seen: list[dict[str, Any]]
) -> None:
    if name not in seen[0]:
        pytest.skip("peft is not installed")
    alone = open_one(directory, name, ALONE)
    for rank in seen:
        mine = rank[name]
        assert mine["weights"].keys() == alone["weights"].keys()
        for part in ("weights", "buffers"):
            for key, tensor in alone[part].items():
                assert torch.equal(mine[part][key], tensor), key
        for fact in ("plain", "masks", "tied", "bos"):
            assert mine[fact] == alone[fact], fact
        rough = name == "bf16"
        assert mine["loss"] == pytest.approx(alone["loss"], rel=1e-3 if rough else 1e-5)
        for key, gradient in alone["gradients"].items():
            error = (mine["gradients"][key].float() - gradient.float()).norm()
            assert error <= (0.02 if rough else 1e-4) * gradient.float().norm() + 1e-6, key
    assert [rank[name]["loads"] for rank in seen] == [int(name in SENT), 0, 0]
    assert alone["plain"] == (name != "scaled")
    assert not alone["masks"]


def test_a_model_that_leaks_is_refused_on_all_ranks(seen: list[dict[str, Any]]) -> None:
    for rank in seen:
        assert "cannot isolate the documents" in rank["leaking"]["problem"]
