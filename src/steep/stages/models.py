"""Hugging Face models for training and scoring: which one is meant, and loading it quietly."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path
from typing import Any

from steep.core.errors import UserError
from steep.project import Project
from steep.stages.harness import log
from steep.training.loading import EXPECTED, load_model, not_loaded

BASE = "base"  # what the results call the model that training starts from
EMBEDDED = "embedded"
LIBRARIES = ("torch", "transformers", "safetensors")
SCORING_DTYPE = "float32"
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def check_libraries() -> None:
    """Refuse to go on without the packages that models need; they are an extra of the package.

    Raises:
        UserError: One is not installed.
    """
    if missing := [each for each in LIBRARIES if importlib.util.find_spec(each) is None]:
        raise UserError(
            f"Models need Python packages that are not installed: {', '.join(missing)}.",
            hint="pip install 'steep[train]'",
        )


def check_model(name: str, project: Project) -> None:
    """Refuse a model that is not there, before anything is spent; a Hub name is looked up.

    Raises:
        UserError: The libraries are not installed, or the directory does not exist.
    """
    check_libraries()
    path = project.root / name
    if name == EMBEDDED or (path / "config.json").is_file():
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


def _look_up(name: str) -> None:
    from transformers import AutoConfig

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries say nothing new
    try:
        AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise not_loaded("model", name, error) from error


def model_directory(name: str, project: Project) -> Path | str:
    """The directory or Hub name that `train.model` means; 'embedded' is converted when needed.

    A relative path starts at the project, as every path of the configuration does.
    """
    if name == EMBEDDED:
        return embedded_directory()
    path = project.root / name
    return path if path.is_dir() else name


def embedded_directory() -> Path:
    """The directory of the embedded model, which is converted when it is first needed."""
    from transformers.utils import logging as transformers_logging

    from steep.llm.weights import DIRECTORY, cache_directory, embedded_model

    transformers_logging.disable_progress_bar()
    if not (cache_directory() / DIRECTORY).is_dir():
        log.info("the embedded model is converted, once, to %s", cache_directory())
    return embedded_model()


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


def context_tokens(name: str, project: Project) -> int | None:
    """The positions of the model that `train.model` means; None where it does not tell."""
    from transformers import AutoConfig

    where = model_directory(name, project)
    try:
        config = AutoConfig.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise not_loaded("model", name, error) from error
    limit: int | None = getattr(config, "max_position_embeddings", None)
    return limit


def hub_revision(name: str) -> str:
    """The commit of a model of the Hub that is loaded under its name."""
    from transformers import AutoConfig

    try:
        return str(AutoConfig.from_pretrained(name)._commit_hash)
    except (OSError, ValueError) as error:
        raise not_loaded("model", name, error) from error


def scoring_device() -> str:
    """The kind of device that models are scored on: a GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_for_scoring(name: Path | str) -> Any:
    """Load a causal LM in fp32, onto a GPU if there is one."""
    return load_model(name, SCORING_DTYPE).to(scoring_device())
