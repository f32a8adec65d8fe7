"""Model names in the configuration: the embedded model, a directory, or a name on the Hub."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.llm.weights import DIRECTORY, cache_directory, embedded_model

log = logging.getLogger("steep")

EMBEDDED = "embedded"
EXPECTED = "'embedded', a Hugging Face directory, or a name on the Hub like owner/name"
LIBRARIES = ("torch", "transformers", "safetensors")
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def missing_libraries() -> list[str]:
    """Return which of the packages that models need are not installed."""
    return [each for each in LIBRARIES if importlib.util.find_spec(each) is None]


def check_libraries() -> None:
    """Refuse to continue without the packages that models need.

    Raises:
        UserError: One of them is not installed.
    """
    if missing := missing_libraries():
        raise UserError(
            f"Models need Python packages that are not installed: {', '.join(missing)}.",
            hint="pip install 'steep[train]'",
        )


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


def embedded_directory() -> Path:
    """Return the directory of the embedded model, and convert the model on first use."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    if not (cache_directory() / DIRECTORY).is_dir():
        log.info("converting the embedded model, once, to %s", cache_directory())
    return embedded_model()
