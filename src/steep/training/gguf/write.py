"""Write a Hugging Face model as a GGUF file, one tensor in memory at a time.

Matrices have the type that was asked for; norms and biases are float32, as llama.cpp wants them.
`q8_0` keeps 8 bits per weight and one float16 scale per 32 of them; a matrix whose rows do not
divide into 32 stays float16.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steep.core.errors import UserError
from steep.core.files import check_free_disk, disk_errors
from steep.core.formatting import some_of
from steep.training.gguf.architecture import (
    Architecture,
    add_dimensions,
    architecture_of,
    cannot_convert,
    rope_divisors,
    with_neighbors,
)
from steep.training.gguf.tokenizer import add_tokenizer
from steep.training.loading import SafetensorsFiles, load_model_config, load_tokenizer

log = logging.getLogger("steep")

GgufType = Literal["f16", "bf16", "f32", "q8_0"]
FILE_TYPES: Mapping[GgufType, str] = {  # names in `gguf.LlamaFileType`
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "f32": "ALL_F32",
    "q8_0": "MOSTLY_Q8_0",
}
Q8_BLOCK = 32  # weights with one scale
Q8_BYTES = 34  # of such a block
HEADER_BYTES = 1 << 24  # more than a vocabulary takes
_QUERY_OR_KEY = re.compile(r"\.self_attn\.([qk])_proj\.(weight|bias)$")


@dataclass(frozen=True, slots=True)
class GgufMetadata:
    """What a file says of its model beside dimensions and vocabulary.

    Attributes:
        name: Of the model.
        license: An identifier of the Hub, such as `apache-2.0`; None where it is unknown.
        base_model: The name on the Hub of the model that was trained; None for another one.
    """

    name: str
    license: str | None = None
    base_model: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor of the file: its name there and in the model, its shape and its type."""

    name: str
    key: str
    shape: tuple[int, ...]
    kind: GgufType

    @property
    def nbytes(self) -> int:
        """The size of its data in the file."""
        numbers = math.prod(self.shape)
        if self.kind == "q8_0":
            return numbers // Q8_BLOCK * Q8_BYTES
        return numbers * (4 if self.kind == "f32" else 2)


def write_gguf(directory: Path, target: Path, kind: GgufType, metadata: GgufMetadata) -> Path:
    """Convert the model in a directory, and return the written file, which replaces an older one.

    Raises:
        UserError: The architecture, the tokenizer or a tensor is unknown, a weight is too large
            for the type, or the disk is full.
    """
    config = load_model_config(directory)
    architecture = architecture_of(config)
    tokenizer = load_tokenizer(directory)
    with ExitStack() as stack:
        files = SafetensorsFiles(directory, stack)
        plan = plan_tensors(files, config, architecture, kind)
        divisors = rope_divisors(config)
        check_free_disk(target, sum(each.nbytes for each in plan) + HEADER_BYTES)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                opened = _open(temporary, config, architecture, kind, metadata)
                with closing(opened) as writer:
                    add_tokenizer(writer, tokenizer, config.vocab_size)
                    _write_tensors(writer, plan, files, config, architecture, divisors)
                _sync(temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    return target


def plan_tensors(
    files: SafetensorsFiles, config: Any, architecture: Architecture, kind: GgufType
) -> list[PlannedTensor]:
    """Return the tensors of the file, in the order in which they are written.

    Raises:
        UserError: The architecture has no place for a tensor.
    """
    import gguf

    known = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture.name]
    names = gguf.get_tensor_name_map(known, config.num_hidden_layers)
    plan, unknown = [], []
    for key in sorted(files.keys):
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp takes the embedding where there is no output matrix
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            unknown.append(key)
            continue
        shape = tuple(files.shape(key))
        plan.append(PlannedTensor(name, key, shape, _kind(shape, kind)))
    if unknown:
        raise cannot_convert("these tensors", "those of a plain decoder", some_of(unknown, 3))
    return plan


def _kind(shape: tuple[int, ...], kind: GgufType) -> GgufType:
    if len(shape) < 2:
        return "f32"
    return "f16" if kind == "q8_0" and shape[-1] % Q8_BLOCK else kind


def _open(
    path: Path, config: Any, architecture: Architecture, kind: GgufType, metadata: GgufMetadata
) -> Any:
    """Return a writer of a file, with everything but tokenizer and tensors."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture.name)
    writer.add_type("model")
    writer.add_name(metadata.name)
    if metadata.license is not None:
        writer.add_license(metadata.license)
    if metadata.base_model is not None:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, metadata.base_model.rpartition("/")[2])
        writer.add_base_model_repo_url(0, f"https://huggingface.co/{metadata.base_model}")
    writer.add_file_type(gguf.LlamaFileType[FILE_TYPES[kind]])
    if kind == "q8_0":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_dimensions(writer, config)
    return writer


def _write_tensors(
    writer: Any,
    plan: list[PlannedTensor],
    files: SafetensorsFiles,
    config: Any,
    architecture: Architecture,
    divisors: Any | None,
) -> None:
    if divisors is not None:
        writer.add_tensor_info("rope_freqs.weight", divisors.shape, divisors.dtype, divisors.nbytes)
    for each in plan:
        _add_info(writer, each)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if divisors is not None:
        writer.write_tensor_data(divisors)
    for each in plan:
        writer.write_tensor_data(tensor_data(files, each, config, architecture))


def tensor_data(
    files: SafetensorsFiles, planned: PlannedTensor, config: Any, architecture: Architecture
) -> Any:
    """Read a tensor of the model, and return it as an array for the file.

    Raises:
        UserError: A weight is too large for float16.
    """
    weight = files.tensor(planned.key)
    if architecture.rotates_neighbors and (found := _QUERY_OR_KEY.search(planned.key)):
        is_query = found[1] == "q"
        heads = config.num_attention_heads if is_query else config.num_key_value_heads
        weight = with_neighbors(weight, heads)
    return _converted(weight, planned)


def _add_info(writer: Any, each: PlannedTensor) -> None:
    import gguf
    import numpy as np

    raw = gguf.GGMLQuantizationType[each.kind.upper()]
    shape: tuple[int, ...] = each.shape
    kind: Any = np.dtype(np.uint16)
    if each.kind == "q8_0":  # of bytes
        shape, kind = gguf.quant_shape_to_byte_shape(each.shape, raw), np.dtype(np.uint8)
    writer.add_tensor_info(each.name, shape, kind, each.nbytes, raw_dtype=raw)


def _converted(weight: Any, planned: PlannedTensor) -> Any:
    import gguf
    import torch

    weight = weight.contiguous()
    match planned.kind:
        case "f32":
            return weight.to(torch.float32).numpy()
        case "bf16":
            return weight.to(torch.bfloat16).view(torch.int16).numpy()
        case "q8_0":
            values = weight.to(torch.float32).numpy()
            return gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    small = weight.to(torch.float16)
    if not torch.isfinite(small).all():
        raise UserError(
            "A weight of the model is too large for float16.",
            where=planned.key,
            expected=f"at most {torch.finfo(torch.float16).max:,.0f}",
            found=f"{weight.abs().max().item():,.0f}",
            hint="--type bf16",
        )
    return small.numpy()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
