"""Checks of the models that are trained, and models that are loaded to be scored."""

from __future__ import annotations

import logging
from pathlib import Path

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.files import read_json, write_json
from steep.core.ranks import is_main_rank
from steep.training.config import BASE as BASE
from steep.training.loading import (
    check_model_directory,
    load_model_config,
    load_tokenizer,
    not_loaded,
    weight_files,
)
from steep.training.weights import file_stamps

MODEL_NAME = "model"  # the directory of the trained model in its artifact
CHECKED_NAME = "checked-models.json"  # in the project's store: models whose weights are sound


def check_model(where: Path | str, project: Project) -> None:
    """Refuse a model that cannot be trained, before anything is spent; a Hub name is looked up.

    Raises:
        UserError: It has no tokenizer, is no decoder, needs code of its own, or has broken weights.
    """
    if isinstance(where, Path):
        _check_directory(where, project)
    else:
        _look_up(where)


def check_safetensors(where: Path | str, key: str) -> None:
    """Refuse a model directory without safetensors, which are read tensor by tensor.

    Raises:
        UserError: Its weights are in another format.
    """
    if isinstance(where, Path) and not list(where.glob("*.safetensors")):
        raise UserError(
            f"{key} reads models in safetensors only.",
            where=where,
            expected="model.safetensors",
            found=", ".join(each.name for each in weight_files(where)) or "no weights",
            hint="convert it: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR)",
        )


def _check_directory(path: Path, project: Project) -> None:
    """Read all weights of a model once; later commands compare the stamps of its files."""
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


def local_directory(where: Path | str) -> Path:
    """Return the directory of a model on this machine; one of the Hub is downloaded if needed."""
    if isinstance(where, Path):
        return where
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(where))
    except (OSError, ValueError) as error:
        raise not_loaded("model", where, error) from error


def context_tokens(where: Path | str) -> int | None:
    """Return the number of positions of a model; None if its configuration does not say."""
    limit: int | None = getattr(load_model_config(where), "max_position_embeddings", None)
    return limit
