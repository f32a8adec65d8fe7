"""Checks of the models that are trained, and the hashes that identify their weights.

A directory can get other weights under the same names, so its files are read and hashed. That takes
seconds per gigabyte; the hash is cached in the project and computed again when the size, a time or
the inode of any file differs.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.files import disk_errors, read_json, write_json, write_text
from steep.core.ids import stable_hash
from steep.core.ranks import is_main_rank
from steep.training.config import BASE as BASE
from steep.training.loading import (
    check_model_directory,
    load_model_config,
    load_tokenizer,
    not_loaded,
    weight_files,
)

MODEL_NAME = "model"  # the directory of the trained model in its artifact
HASHES_NAME = "weights.json"  # in the project's store
IGNORED = frozenset({".md", ".lock", ".log"})  # no influence on what a model computes
DIGITS = 16
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
    # Its log lines on retries add nothing.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
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
    """Return the number of positions of a model; None if its configuration has none."""
    limit: int | None = getattr(load_model_config(where), "max_position_embeddings", None)
    return limit


def directory_hash(directory: Path, project: Project) -> str:
    """Return the hash of a model's files, or the last known one if the directory is gone."""
    kept = _kept_hash(directory)
    if not directory.is_dir() and kept.is_file():
        return kept.read_text(encoding="utf-8")
    cache = project.store / HASHES_NAME
    known: dict[str, Any] = read_json(cache) if cache.is_file() else {}
    name = _name(directory, project)
    before = known.get(name)
    if not directory.is_dir():
        return str(before["hash"]) if before else "absent"
    files, seen = _files(directory), file_stamps(directory)
    if before and before["files"] == seen:
        return str(before["hash"])
    pairs = zip(seen, files, strict=True)
    found = stable_hash([[each[0], _content(path)] for each, path in pairs], DIGITS)
    write_json(cache, known | {name: {"hash": found, "files": seen}})
    return found


def delete_weights(trained: Path, project: Project) -> None:
    """Delete the model of a finished training, and keep its hash.

    The hash identifies the answers of the model, which are kept.
    """
    directory = trained / MODEL_NAME
    write_text(_kept_hash(directory), directory_hash(directory, project))
    with disk_errors(directory):
        shutil.rmtree(directory)


def _kept_hash(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.hash")


def file_stamps(directory: Path) -> list[list[Any]]:
    """Return name, size, times and inode of each file, which stay equal while nothing changes."""
    return [[path.relative_to(directory).as_posix(), *_stamp(path)] for path in _files(directory)]


def _name(directory: Path, project: Project) -> str:
    """Return the path relative to the project if it lies inside: a project may be moved."""
    path, root = directory.resolve(), project.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and path.suffix not in IGNORED and not path.name.startswith(".")
    )


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
