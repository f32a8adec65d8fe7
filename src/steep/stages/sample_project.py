"""The demo as a project of its own, so that its reader can look at, change and rerun it."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from steep.core.files import disk_errors

CONFIG_NAME = "steep.yaml"


def write_sample_project(directory: Path) -> Path:
    """Copy documents, questions and configuration to `directory`, unless they are there.

    Returns:
        The path of its configuration.
    """
    target = directory / CONFIG_NAME
    if target.exists():
        return target
    with disk_errors(directory), resources.as_file(resources.files("steep") / "demo") as source:
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source / "documents", directory / "documents", dirs_exist_ok=True)
        shutil.copy(source / "questions.jsonl", directory / "questions.jsonl")
        shutil.copy(source / CONFIG_NAME, target)  # last: it is what says that all is there
    return target
