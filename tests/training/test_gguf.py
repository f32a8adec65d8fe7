"""GGUF files: every tensor against the model, and llama.cpp against transformers."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gguf
import gguf_models
import numpy as np
import pytest
import torch
from benchmarks.generation.llama_server import Setup, running
from benchmarks.gguf import TEXTS, agreement, other_tokens
from gguf_models import LLAMA_3, MODELS, ROWS, TOKENIZERS, write_model
from transformers import AutoModelForCausalLM, LlamaConfig

from steep.core.errors import UserError
from steep.llm.embedded_weights import installed_weights
from steep.llm.model_names import embedded_directory
from steep.testing.tiny_corpus import DOCUMENTS
from steep.training.gguf.architecture import architecture_of, context_tokens, rope_divisors
from steep.training.gguf.llama_cpp import SCRIPT, convert, find_converter
from steep.training.gguf.tokenizer import vocabulary_of
from steep.training.gguf.write import (
    FILE_TYPES,
    GgufMetadata,
    GgufType,
    plan_tensors,
    tensor_data,
    write_gguf,
)
from steep.training.loading import SafetensorsFiles, load_model_config, load_tokenizer

NAMES = {  # of parts of a layer, in transformers and in llama.cpp
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
needs_llama_cpp = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None,
    reason="llama.cpp is not installed: pip install --no-deps xllamacpp",
)


def name_in_file(key: str) -> str:
    part, _, kind = key.rpartition(".")
    if part in OUTER:
        return f"{OUTER[part]}.{kind}"
    _, _, layer, inner = part.split(".", 3)
    return f"blk.{layer}.{NAMES[inner]}.{kind}"


def expected(key: str, weight: torch.Tensor, model: Any) -> np.ndarray[Any, Any]:
    """A tensor of the file as it should be: rotated pairs are neighbors for `llama`."""
    values = weight.detach().to(torch.float32).numpy()
    heads = {"q": "num_attention_heads", "k": "num_key_value_heads"}.get(key.split(".")[-2][0])
    if model.config.model_type not in ("llama", "mistral") or "_proj" not in key or heads is None:
        return values
    rows = len(values)
    size = rows // getattr(model.config, heads)
    order = [
        head + offset + half
        for head in range(0, rows, size)
        for offset in range(size // 2)
        for half in (0, size // 2)
    ]
    return values[order]


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The metadata and the tensors of a file."""
    found = gguf.GGUFReader(path)
    tensors = {
        each.name: gguf.quants.dequantize(each.data, each.tensor_type) for each in found.tensors
    }
    return {name: field.contents() for name, field in found.fields.items()}, tensors


def quantized(values: np.ndarray[Any, Any], kind: GgufType) -> np.ndarray[Any, Any]:
    if values.ndim == 1 or kind == "f32":
        return values
    tensor = torch.from_numpy(values)
    return tensor.to({"f16": torch.float16, "bf16": torch.bfloat16}[kind]).float().numpy()


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_in_the_file(name: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", name, TOKENIZERS["gpt-2"]())
    weights = dict(model.named_parameters())  # a tied one once
    for kind in FILE_TYPES:
        path = write_gguf(tmp_path / "model", tmp_path / f"{kind}.gguf", kind, GgufMetadata("x"))
        fields, tensors = read(path)
        factors = tensors.pop("rope_freqs.weight", None)
        assert (factors is not None) == (model.config.rope_parameters["rope_type"] == "llama3")
        assert len(tensors) == len(weights)
        for key, weight in weights.items():
            found, values = tensors[name_in_file(key)], expected(key, weight, model)
            if kind != "q8_0" or values.ndim == 1:
                assert np.array_equal(found, quantized(values, kind)), key
            else:  # half a step of a block's scale
                blocks = np.abs(values).reshape(-1, 32).max(axis=1) / 127
                error = np.abs(found - values).reshape(-1, 32).max(axis=1)
                assert (error <= 0.51 * blocks + 1e-3 * 127 * blocks).all(), key
        assert fields["general.file_type"] == gguf.LlamaFileType[FILE_TYPES[kind]]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        ["model", *(f"{kind}.gguf" for kind in FILE_TYPES)]
    ), "no temporary file is left"


def test_metadata_and_tokens(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["llama-bpe"]()
    tokenizer.chat_template = gguf_models.__doc__
    model = write_model(tmp_path / "model", "mistral", tokenizer, "bfloat16")
    metadata = GgufMetadata("run-arm", "apache-2.0", "owner/base")
    fields, _ = read(write_gguf(tmp_path / "model", tmp_path / "new/x.gguf", "bf16", metadata))
    assert fields["general.architecture"] == "llama" and fields["general.name"] == "run-arm"
    assert fields["general.license"] == "apache-2.0"
    assert fields["general.base_model.0.repo_url"] == "https://huggingface.co/owner/base"
    sizes = {
        "vocab_size": ROWS, "context_length": 512, "embedding_length": 64, "block_count": 2,
        "feed_forward_length": 160, "attention.head_count": 4, "attention.head_count_kv": 2,
        "attention.key_length": 32, "attention.value_length": 32, "rope.dimension_count": 32,
        "rope.freq_base": model.config.rope_parameters["rope_theta"],
    }  # fmt: skip
    assert {key: fields[f"llama.{key}"] for key in sizes} == sizes
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == ROWS
    vocabulary = tokenizer.get_vocab()
    assert all(tokens[index] == token for token, index in vocabulary.items())
    assert types[:3] == [gguf.TokenType.CONTROL] * 3 and types[3] == gguf.TokenType.NORMAL
    assert set(types[len(vocabulary) :]) == {gguf.TokenType.UNUSED}
    assert fields["tokenizer.ggml.eos_token_id"] == tokenizer.eos_token_id == 2
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"] == gguf_models.__doc__


@pytest.mark.parametrize("pre", TOKENIZERS)
def test_the_splitting_into_words_has_the_name_that_llama_cpp_knows(pre: str) -> None:
    found = vocabulary_of(TOKENIZERS[pre](), ROWS)
    assert found.pre == pre
    assert bool(found.merges) != bool(found.scores)


def test_another_splitting_into_words_is_refused(tmp_path: Path) -> None:
    tokenizer = gguf_models.byte_level(gguf_models.split(r"\p{L}+|\p{N}"))
    write_model(tmp_path / "model", "llama", tokenizer)
    with pytest.raises(UserError, match="cannot convert this tokenizer") as refused:
        write_gguf(tmp_path / "model", tmp_path / "x.gguf", "f16", GgufMetadata("x"))
    assert "convert_hf_to_gguf.py" in str(refused.value)
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused() -> None:
    with pytest.raises(UserError, match="more tokens than the model has rows"):
        vocabulary_of(TOKENIZERS["gpt-2"](), 100)


def test_a_weight_too_large_for_float16_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama", TOKENIZERS["gpt-2"](), "bfloat16")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 70_000
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="too large for float16") as refused:
        write_gguf(tmp_path / "model", tmp_path / "x.gguf", "f16", GgufMetadata("x"))
    assert "bf16" in str(refused.value) and not list(tmp_path.glob(".*"))
    write_gguf(tmp_path / "model", tmp_path / "x.gguf", "bf16", GgufMetadata("x"))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "GemmaForCausalLM"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}, "yarn"),
    ],
)
def test_what_cannot_be_converted_names_the_converter(settings: Any, found: str) -> None:
    config = LlamaConfig(architectures=["LlamaForCausalLM"])
    for name, value in settings.items():
        setattr(config, name, value)
    with pytest.raises(UserError, match="cannot convert") as refused:
        architecture_of(config)
    assert found in str(refused.value) and "--llama-cpp" in str(refused.value)


def test_llama_3_scales_low_frequencies_only() -> None:
    config = LlamaConfig(rope_parameters=LLAMA_3, max_position_embeddings=512)
    found = rope_divisors(config)
    assert found is not None and found.dtype == np.float32
    assert found[0] == 1 and found[-1] == pytest.approx(8.0)
    assert (np.diff(found) > -1e-5).all()
    assert rope_divisors(LlamaConfig()) is None


def test_a_sliding_window_limits_the_context(caplog: pytest.LogCaptureFixture) -> None:
    config = LlamaConfig(max_position_embeddings=4096)
    assert context_tokens(config) == 4096
    config.sliding_window = 1024
    assert context_tokens(config) == 1024
    assert "1,024 tokens instead of 4,096" in caplog.text


# ---- llama.cpp itself ----------------------------------------------------------------------------


@pytest.fixture(params=MODELS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path, Any]]:
    """llama.cpp's server with the GGUF file of a model, each with another tokenizer."""
    pre = list(TOKENIZERS)[list(MODELS).index(request.param) + 1]
    tokenizer = TOKENIZERS[pre]()
    write_model(tmp_path / "model", request.param, tokenizer)
    path = write_gguf(tmp_path / "model", tmp_path / "x.gguf", "f32", GgufMetadata("x"))
    setup = Setup(path, slots=1, context_tokens=512, python=sys.executable)
    with running(setup) as address:
        yield address, tmp_path / "model", tokenizer


@pytest.mark.slow
@needs_llama_cpp
def test_llama_cpp_computes_and_splits_as_transformers(served: tuple[str, Path, Any]) -> None:
    address, directory, tokenizer = served
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    ids = tokenizer(DOCUMENTS[0].text)["input_ids"][:200]
    found = agreement(address, model, [(ids, len(ids) - 12)])
    assert found.positions >= 8, found
    assert found.same >= found.positions - 1 and found.largest < 0.1, found
    assert other_tokens(address, tokenizer, TEXTS) == []


@pytest.mark.model
@pytest.mark.skipif(installed_weights() is None, reason="the embedded model is not installed")
def test_the_embedded_model_is_converted_as_llama_cpp_has_converted_it() -> None:
    """The package has a file that llama.cpp's own converter made; Steep's model comes from it."""
    theirs = gguf.GGUFReader(installed_weights())
    tensors = {each.name: each for each in theirs.tensors}
    directory = embedded_directory()
    config = load_model_config(directory)
    architecture = architecture_of(config)
    with ExitStack() as stack:
        files = SafetensorsFiles(directory, stack)
        plan = plan_tensors(files, config, architecture, "f32")
        assert {each.name for each in plan} == tensors.keys()
        for each in plan:
            if each.name.startswith(("blk.0.", "output_norm")):
                found = tensors[each.name]
                values = gguf.quants.dequantize(found.data, found.tensor_type)
                assert np.array_equal(tensor_data(files, each, config, architecture), values)
    vocabulary = vocabulary_of(load_tokenizer(directory), config.vocab_size)
    for name in ("tokens", "token_type", "merges"):
        ours = {"token_type": "types"}.get(name, name)
        contents = theirs.fields[f"tokenizer.ggml.{name}"].contents()
        assert contents == getattr(vocabulary, ours), name


# ---- llama.cpp's converter -----------------------------------------------------------------------

CONVERTER = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--outfile")
parser.add_argument("--outtype")
options = parser.parse_args()
print("converting as", options.outtype)
if "broken" in options.model:
    raise SystemExit("Model GemmaForCausalLM is not supported")
pathlib.Path(options.outfile).write_text(options.model)
"""


def test_the_converter_of_llama_cpp_is_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / SCRIPT).write_text(CONVERTER)
    script = find_converter(tmp_path)
    assert script == tmp_path / SCRIPT
    written = convert(script, tmp_path / "model", tmp_path / "out/x.gguf", "q8_0")
    assert written.read_text() == str(tmp_path / "model")
    assert "converting as q8_0" in caplog.text
    with pytest.raises(UserError, match="exit code 1") as failed:
        convert(script, tmp_path / "broken", tmp_path / "y.gguf", "f16")
    assert "GemmaForCausalLM is not supported" in str(failed.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == [SCRIPT, "out"]


def test_a_directory_without_converter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no converter"):
        find_converter(tmp_path)


def test_the_converter_is_found_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_converter(None) is None
    (tmp_path / SCRIPT).write_text(CONVERTER)
    (tmp_path / SCRIPT).chmod(0o755)
    assert find_converter(None) == tmp_path / SCRIPT
