"""Task vectors: instruction following without instruction tuning, trained + (instruct - base).

The trained model has learned facts on top of `base`, and `instruct` is an assistant tuned from the
same `base`. Adding the difference (instruct - base) to the trained model keeps most of both, for a
minute of copying instead of a day of training. The sum has the precision of the trained model.
Configuration, generation settings and the tokenizer with its chat template are those of `instruct`,
since the result is prompted, and ends its answers, as `instruct` does.

One tensor of each model is in memory at a time, and one file of the result (as large as the trained
model's files, usually 5 GB). Sums are in fp32, as (trained - base) + instruct, which is exact where
trained and base agree.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from steep.core.errors import UserError
from steep.core.files import atomic_directory, write_json
from steep.training.loading import INDEX, SafetensorsFiles

SHOWN_NAMES = 5
# Models that differ in these compute different functions of the same weights.
ARCHITECTURE = (
    "model_type", "hidden_act", "rope_parameters", "rms_norm_eps", "tie_word_embeddings",
    "num_attention_heads", "num_key_value_heads", "head_dim",
)  # fmt: skip


def add_task_vector(trained: Path, base: Path, instruct: Path, directory: Path) -> None:
    """Write trained + (instruct - base) as a Hugging Face directory, replacing `directory`.

    Raises:
        UserError: A directory has no safetensors, the models have different tensors, or the disk
            is full.
    """
    with ExitStack() as stack:
        models = [SafetensorsFiles(path, stack) for path in (trained, base, instruct)]
        _check_same_parts(models)
        _check_architecture(models)
        with atomic_directory(directory) as temporary:
            _write(models, temporary)
            _copy_rest(instruct, models[0], temporary)


def _check_same_parts(models: Sequence[SafetensorsFiles]) -> None:
    trained, *others = models
    for other in others:
        if unlike := sorted(_unlike(trained, other)):
            more = f" and {len(unlike) - SHOWN_NAMES} more" if len(unlike) > SHOWN_NAMES else ""
            raise UserError(
                "These models have different tensors, so they cannot be added.",
                where=other.path,
                expected=f"the names and shapes of {trained.path}",
                found="; ".join(unlike[:SHOWN_NAMES]) + more,
                hint="use a base and an instruct model of the same family, size and vocabulary",
            )


def _unlike(trained: SafetensorsFiles, other: SafetensorsFiles) -> Iterator[str]:
    for key in trained.keys ^ other.keys:
        yield f"{key} is only in {(trained if key in trained.keys else other).path.name}"
    for key in trained.keys & other.keys:
        one, two = trained.shape(key), other.shape(key)
        if one != two:
            yield f"{key} is {two} instead of {one}"


def _check_architecture(models: Sequence[SafetensorsFiles]) -> None:
    from transformers import AutoConfig

    configs = [AutoConfig.from_pretrained(model.path).get_text_config() for model in models]
    for model, config in zip(models[1:], configs[1:], strict=True):
        for field in ARCHITECTURE:
            values = [getattr(each, field, None) for each in (configs[0], config)]
            if values[0] != values[1]:
                raise UserError(
                    "These models compute different functions of the same weights.",
                    where=f"{model.path / 'config.json'}:{field}",
                    expected=f"{values[0]}, as in {models[0].path}",
                    found=values[1],
                )


def _write(models: Sequence[SafetensorsFiles], directory: Path) -> None:
    from safetensors.torch import save_file

    trained = models[0]
    weight_map: dict[str, str] = {}
    total_bytes = 0
    for name, keys in trained.names.items():
        sums = {key: _sum(key, [model.tensor(key) for model in models]) for key in keys}
        save_file(sums, directory / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(keys, name)
        total_bytes += sum(each.nbytes for each in sums.values())
    if len(trained.names) > 1:
        index = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
        write_json(directory / INDEX, index)


def _sum(key: str, tensors: Sequence[Tensor]) -> Tensor:
    trained, base, instruct = tensors
    if not all(each.is_floating_point() for each in tensors):
        raise UserError(
            "Only weights in floating point can be added; this model is quantized.",
            where=key,
            found=", ".join(str(each.dtype) for each in tensors),
        )
    return (trained.float() - base.float() + instruct.float()).to(trained.dtype)


def _copy_rest(instruct: Path, trained: SafetensorsFiles, directory: Path) -> None:
    """Copy all other files from `instruct`; the configuration gets the new precision."""
    for path in sorted(instruct.iterdir()):
        small = path.suffix in {".json", ".jinja", ".txt", ".model"}
        if path.is_file() and small and not path.name.endswith(".index.json"):
            shutil.copy(path, directory / path.name)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)  # its name until 2025
    first = trained.tensor(min(trained.keys))
    write_json(directory / "config.json", config | {"dtype": str(first.dtype).split(".")[-1]})
