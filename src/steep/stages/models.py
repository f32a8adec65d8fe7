"""Hugging Face models for training and scoring: which one is meant, and loading it quietly."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.files import read_json, write_json
from steep.core.ranks import is_main_rank
from steep.llm.local.weights import check_libraries as check_libraries
from steep.llm.local.weights import embedded_directory as embedded_directory
from steep.llm.local.weights import missing_libraries as missing_libraries
from steep.training.loading import (
    EXPECTED,
    check_model_directory,
    load_model_config,
    load_tokenizer,
    not_loaded,
    weight_files,
)
from steep.training.weights import file_stamps

log = logging.getLogger("steep")

EMBEDDED = "embedded"
CHECKED_NAME = "checked-models.json"  # in the store: models whose weights were read and are sound
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def check_model(name: str, project: Project) -> None:
    """Refuse a model that cannot be trained, before anything is spent; a Hub name is looked up.

    Raises:
        UserError: The libraries are not installed, the directory does not exist, or the model has
            no tokenizer, is no decoder, needs code of its own, or has broken weights.
    """
    check_libraries()
    path = project.root / name
    if name == EMBEDDED:
        return
    if (path / "config.json").is_file():
        _check_directory(path, project)
        return
    if _HUB_NAME.fullmatch(name) and not path.is_dir():
        _look_up(name)
        return
    raise UserError(
        "There is no model in this directory." if path.is_dir() else "There is no such model.",
        where="train.model",
        expected=EXPECTED,
        found=path,
    )


def check_safetensors(name: str, project: Project) -> None:
    """Refuse a model directory without safetensors, which `train.add_difference` reads.

    Raises:
        UserError: Its weights are in another format.
    """
    path = project.root / name
    if path.is_dir() and not list(path.glob("*.safetensors")):
        raise UserError(
            "train.add_difference reads models in safetensors only.",
            where=path,
            expected="model.safetensors",
            found=", ".join(each.name for each in weight_files(path)) or "no weights",
            hint="convert it: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR)",
        )


def _check_directory(path: Path, project: Project) -> None:
    """Read all weights of a model once; the next command sees that nothing has changed since."""
    directory = path.resolve()
    state = file_stamps(directory)
    record = project.store / CHECKED_NAME
    checked = read_json(record) if record.is_file() else {}
    if checked.get(str(directory)) == state or not is_main_rank():
        return
    check_model_directory(directory)
    load_tokenizer(directory)
    write_json(record, checked | {str(directory): state})


def _look_up(name: str) -> None:
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries say nothing new
    load_model_config(name)
    load_tokenizer(name)


def model_directory(name: str, project: Project) -> Path | str:
    """The directory or Hub name that `train.model` means; 'embedded' is converted when needed.

    A relative path starts at the project, as every path of the configuration does.
    """
    if name == EMBEDDED:
        return embedded_directory()
    path = project.root / name
    return path if path.is_dir() else name


def local_directory(name: str, project: Project) -> Path:
    """The directory of a model on this machine; one of the Hub is fetched when needed."""
    found = model_directory(name, project)
    if isinstance(found, Path):
        return found
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(found))
    except (OSError, ValueError) as error:
        raise not_loaded("model", name, error) from error
