"""The project of the demo: documents, questions, and recorded texts of a large model."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from steep.core.errors import UserError
from steep.core.files import atomic_directory

CONFIG_NAME = "steep.yaml"
GENERATIONS_NAME = "generations.jsonl"  # recorded texts of a large model, to be imported


def write_sample_project(directory: Path) -> Path:
    """Write the demo as a project that can be changed and rerun, unless it is there.

    Returns:
        The path of its configuration.

    Raises:
        UserError: Something else is there.
    """
    directory = directory.resolve()
    config = directory / CONFIG_NAME
    if config.is_file():
        return config
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise UserError(
            "The demo does not write into what is there already.",
            where=directory,
            expected="a new or empty folder, or one with a demo in it",
            hint="name another one: steep demo --directory DIR",
        )
    with (
        resources.as_file(resources.files("steep") / "demo") as source,
        atomic_directory(directory) as temporary,
    ):
        shutil.copytree(source / "documents", temporary / "documents")
        for name in ("questions.jsonl", GENERATIONS_NAME, CONFIG_NAME):
            shutil.copy(source / name, temporary / name)
    return config
