"""Model names in the configuration: the embedded model, a directory, or a name on the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.llm.local.weights import check_libraries as check_libraries
from steep.llm.local.weights import embedded_directory as embedded_directory
from steep.llm.local.weights import missing_libraries as missing_libraries

EMBEDDED = "embedded"
EXPECTED = "'embedded', a Hugging Face directory, or a name on the Hub like owner/name"
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


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
