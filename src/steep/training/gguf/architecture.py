"""The dimensions of a model, its rotary positions and the names of its tensors in a GGUF file.

Llama, Mistral, Qwen2 and Qwen3 are converted here: decoders with RMS norms, gated feed-forward
layers and rotary positions. llama.cpp rotates neighboring elements of a head for the architecture
`llama`, where transformers rotates elements half a head apart, so the rows of its query and key
projections change places; for the others both rotate alike.

Formats: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from steep.core.errors import UserError

log = logging.getLogger("steep")


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture of llama.cpp, and whether it rotates neighboring elements of a head."""

    name: str
    rotates_neighbors: bool


ARCHITECTURES = {
    "LlamaForCausalLM": Architecture("llama", rotates_neighbors=True),
    "MistralForCausalLM": Architecture("llama", rotates_neighbors=True),
    "Qwen2ForCausalLM": Architecture("qwen2", rotates_neighbors=False),
    "Qwen3ForCausalLM": Architecture("qwen3", rotates_neighbors=False),
}
ROPE_SCALINGS = ("default", "linear", "llama3")
CONVERTER_HINT = (
    "name a directory with llama.cpp's convert_hf_to_gguf.py, which knows more models: "
    "--llama-cpp DIR (git clone https://github.com/ggml-org/llama.cpp)"
)


def cannot_convert(what: str, expected: object, found: object) -> UserError:
    """Return the error for a model that only the converter of llama.cpp may convert."""
    return UserError(
        f"Steep cannot convert {what} to GGUF.",
        expected=expected,
        found=found,
        hint=CONVERTER_HINT,
    )


def architecture_of(config: Any) -> Architecture:
    """Return the architecture of a model.

    Raises:
        UserError: It is not one of `ARCHITECTURES`, or has a part that is not converted here.
    """
    name = (config.architectures or [type(config).__name__])[0]
    found = ARCHITECTURES.get(name)
    if found is None:
        raise cannot_convert("this architecture", ", ".join(ARCHITECTURES), name)
    if config.hidden_act != "silu":
        raise cannot_convert("this activation function", "silu", config.hidden_act)
    rope = config.rope_parameters
    if rope["rope_type"] not in ROPE_SCALINGS:
        expected = ", ".join(ROPE_SCALINGS)
        raise cannot_convert("this scaling of rotary positions", expected, rope["rope_type"])
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        factor = rope["partial_rotary_factor"]
        raise cannot_convert("partly rotated heads", "partial_rotary_factor 1", factor)
    return found


def context_tokens(config: Any) -> int:
    """Return the longest context of the model in llama.cpp, which has no sliding window for it."""
    longest: int = config.max_position_embeddings
    window: int | None = getattr(config, "sliding_window", None)
    if window is None or window >= longest:
        return longest
    log.warning(
        "the model attends to a sliding window of %s tokens, which llama.cpp does not do for it; "
        "the context in the file is %s tokens instead of %s",
        f"{window:,}",
        f"{window:,}",
        f"{longest:,}",
    )
    return window


def head_size(config: Any) -> int:
    """Return the number of elements of an attention head."""
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def add_dimensions(writer: Any, config: Any) -> None:
    """Write the dimensions and the rotary positions of a model."""
    from gguf import RopeScalingType

    head, rope = head_size(config), config.rope_parameters
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(context_tokens(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def rope_divisors(config: Any) -> Any | None:
    """Return what llama.cpp divides the rotary frequencies by, float32 of half a head.

    None where the model does not scale them by frequency. The frequencies are those of
    transformers, so that both agree.
    """
    if config.rope_parameters["rope_type"] != "llama3":
        return None
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    head = head_size(config)
    powers = torch.arange(0, head, 2, dtype=torch.float32) / head
    return ((1.0 / config.rope_parameters["rope_theta"] ** powers) / scaled).numpy()


def with_neighbors(weight: Any, heads: int) -> Any:
    """Return a query or key projection whose rotated pairs are neighbors.

    Row i of the first half of a head becomes its row 2i, and row i of the second half 2i + 1.

    Args:
        weight: Matrix or bias, with the rows of one head after the other.
        heads: Number of heads.
    """
    half = weight.shape[0] // heads // 2
    halves = weight.reshape(heads, 2, half, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)
