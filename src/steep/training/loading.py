"""Load Hugging Face models and tokenizers, with errors that suggest a fix.

`check_model_directory` checks, before anything is spent, that transformers knows the decoder, that
all parameters have weights, and that all weights are finite. Parameters stay on PyTorch's `meta`
device; the weights are read once, one tensor at a time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.core.formatting import some_of

log = logging.getLogger("steep")

EXPECTED = "'embedded', a Hugging Face directory, or a name on the Hub like owner/name"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
NAMES_SHOWN = 3
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LARGEST_POINTER = 1024  # bytes; the format allows no larger ones


def load_model(name: Path | str, dtype: Any = "float32") -> Any:
    """Load a causal LM into the memory of the host; `dtype` is a torch type or its name.

    Raises:
        UserError: It cannot be loaded.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    with _loading("model", name):
        return AutoModelForCausalLM.from_pretrained(name, dtype=dtype, trust_remote_code=False)


def load_tokenizer(name: Path | str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        UserError: It cannot be loaded.
    """
    from transformers import AutoTokenizer

    with _loading("tokenizer of the model", name):
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)


def load_model_config(name: Path | str, *, local_only: bool = False) -> Any:
    """Read the configuration of a model that can be trained as a causal LM.

    Raises:
        UserError: It cannot be read, needs its own code, or is not a decoder.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    with _loading("configuration of the model", name):
        config = AutoConfig.from_pretrained(
            name, trust_remote_code=False, local_files_only=local_only
        )
    kind = config.model_type
    head = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    declared = config.architectures or []
    encoder = (
        kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and not getattr(config, "is_decoder", False)
        and head not in declared
    )
    if head is None or encoder or config.is_encoder_decoder:
        raise UserError(
            f"The model '{name}' is not a causal language model (a decoder).",
            where="train.model",
            expected="a model that predicts the next token, such as Llama, Qwen, Gemma or GPT-2",
            found=f"{', '.join(declared) or kind} (model type '{kind}')",
            hint="name a decoder; encoders such as BERT and encoder-decoders such as T5 cannot be "
            "trained by continued pretraining",
        )
    return config


def weight_files(directory: Path) -> list[Path]:
    """Return the files that hold the weights of a model: safetensors, or else pickles."""
    found = sorted(directory.glob("*.safetensors"))
    return found or sorted(directory.glob("pytorch_model*.bin"))


class SafetensorsFiles:
    """The safetensors of a model, in one or several files, read tensor by tensor.

    Raises:
        UserError: The directory has none.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        from safetensors import safe_open

        self.path = path
        self.files: dict[str, Any] = {}
        for name in _safetensors_names(path):
            opened: Any = safe_open(path / name, framework="pt")
            self.files[name] = stack.enter_context(opened)
        self.names = {name: sorted(file.keys()) for name, file in self.files.items()}
        self._file_of = {key: self.files[name] for name, keys in self.names.items() for key in keys}

    @property
    def keys(self) -> set[str]:
        """Return the names of all tensors."""
        return set(self._file_of)

    def shape(self, key: str) -> list[int]:
        """Return the shape of a tensor."""
        shape: list[int] = self._file_of[key].get_slice(key).get_shape()
        return shape

    def tensor(self, key: str) -> Any:
        """Read a tensor."""
        return self._file_of[key].get_tensor(key)

    def rows(self, key: str, first: int, end: int) -> Any:
        """Read a part of a tensor along its first dimension, and nothing else of it."""
        return self._file_of[key].get_slice(key)[first:end]


def _safetensors_names(path: Path) -> Sequence[str]:
    if (path / INDEX).is_file():
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        return sorted(set(index["weight_map"].values()))
    if (path / WEIGHTS).is_file():
        return [WEIGHTS]
    raise UserError(
        "There are no weights in this directory.",
        where=path,
        expected=f"{WEIGHTS} or {INDEX}",
        hint="save the model with transformers' save_pretrained",
    )


def check_model_directory(directory: Path) -> None:
    """Refuse a model with missing, NaN or infinite weights.

    Raises:
        UserError: A file or a parameter is missing, a weight is NaN or infinite, or the model is
            not a decoder that transformers knows.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    load_model_config(directory)
    files = weight_files(directory)
    if files and files[0].suffix == ".bin":
        log.warning(
            "train.model: %s has pickled weights; they are read as tensors only (no code runs). To "
            "convert them once: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR)",
            files[0],
        )
    transformers_logging.disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # missing keys are reported below
    try:
        with _loading("model", directory):
            _, report = AutoModelForCausalLM.from_pretrained(
                directory, device_map="meta", output_loading_info=True, trust_remote_code=False
            )
    finally:
        transformers_logging.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"The model has no weights for {len(missing):,} of its parameters.",
            where=directory,
            found=f"nothing for {some_of(missing, NAMES_SHOWN)}",
            hint="copy or download the model again; a model saved without its output head, or one "
            "for another task (such as classification), cannot be continued",
        )
    if unused := set(report["unexpected_keys"]):
        log.warning(
            "train.model: %s has no place for %d of the tensors in its files: %s",
            directory / "config.json",
            len(unused),
            some_of(sorted(unused), NAMES_SHOWN),
        )
    for path in files:
        check_numbers(path, (each for each in _tensors(path) if each[0] not in unused))


def not_loaded(what: str, name: Path | str, error: Exception) -> UserError:
    """Return the error for something that cannot be loaded."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    found = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    hint = None
    if pointers := _lfs_pointers(Path(name)):
        found = f"pointers of Git LFS instead of the files: {some_of(pointers, NAMES_SHOWN)}"
        hint = "fetch the files themselves: git lfs pull"
    if "ignore_mismatched_sizes" in str(error):
        found = "the weights have other sizes than its config.json says"
        hint = "copy or download both again, from one model"
    if "trust_remote_code" in str(error):
        found = "it comes with Python code of its own (auto_map in its config.json)"
        hint = (
            "Steep runs no code from a model's directory: name a model whose type transformers "
            "knows, or convert this one"
        )
    return UserError(
        f"Cannot load the {what} '{name}'.",
        where="train.model",
        expected=EXPECTED if hint is None else "a model that transformers can load by itself",
        found=found,
        hint=hint,
    )


def _lfs_pointers(directory: Path) -> list[str]:
    """Return the names of files that a clone without Git LFS has left as pointers."""
    files = sorted(directory.iterdir()) if directory.is_dir() else []
    small = (path for path in files if path.is_file() and path.stat().st_size < LARGEST_POINTER)
    return [path.name for path in small if path.read_bytes().startswith(LFS_POINTER)]


@contextmanager
def _loading(what: str, name: Path | str) -> Iterator[None]:
    """Turn what transformers raises for a model that it cannot read into a UserError."""
    try:
        yield
    except Exception as error:  # a broken file can raise anything
        raise not_loaded(what, name, error) from error


def check_numbers(where: Path | str, tensors: Iterable[tuple[str, Any]]) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        UserError: Some are; `where` and the first of the tensors are named.
    """
    import torch

    # Types of 8 bits or fewer have no `isfinite`; they belong to quantized models.
    bad = [
        name
        for name, tensor in tensors
        if tensor.is_floating_point()
        and tensor.element_size() > 1
        and not torch.isfinite(tensor).all()
    ]
    if bad:
        raise UserError(
            f"The model has weights that are NaN or infinite, in {len(bad):,} of its tensors.",
            where=where,
            found=some_of(bad, NAMES_SHOWN),
            hint="copy, download or merge the model again; no learning rate can repair this",
        )


def _tensors(path: Path) -> Iterator[tuple[str, Any]]:
    import torch
    from safetensors import safe_open

    with _loading("weights", path):
        if path.suffix == ".bin":
            state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
            yield from state.items()
            return
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (not a dictionary)
                yield name, file.get_tensor(name)
