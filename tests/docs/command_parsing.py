"""Parse commands and names of settings without running anything."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from steep.cli.app import app
from steep.config import Config
from steep.config_loading import load_config
from steep.core.config import Section
from steep.core.errors import UserError

NUMBERS = ("N", "USD")  # what stands for a number in a sentence


def parse_command(words: Sequence[str]) -> None:
    """Check that a command exists, its options and required arguments, and its --set.

    Args:
        words: The command from `steep` on, or with a launcher before it. A command without any
            option or argument is only looked up: "`steep trace` shows ...".

    Raises:
        AssertionError: Something does not exist, or is missing.
    """
    words = ["1" if word in NUMBERS else word for word in words]
    words = list(words[words.index("steep") + 1 :])
    command: Any = typer.main.get_command(app)
    path = ["steep"]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        path.append(words.pop(0))
        assert path[-1] in command.commands, f"there is no command {' '.join(path)}"
        command = command.commands[path[-1]]
    if not words or words == ["--help"] or words == ["--version"]:
        return
    try:
        context = command.make_context(" ".join(path), words)
    except typer.exceptions.TyperException as error:
        raise AssertionError(f"{' '.join(path)}: {error}") from None
    check_overrides(context.params.get("set") or ())


def check_overrides(overrides: Sequence[str]) -> None:
    """Check that the settings of --set exist and take such values."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "steep.yaml"
        path.write_text("documents: {path: documents}\n")
        try:
            load_config(path, tuple(overrides))
        except UserError as error:
            raise AssertionError(f"--set {' --set '.join(overrides)}: {error}") from None


def check_setting(name: str) -> None:
    """Check that a setting exists, such as `generate.max_cost_usd`.

    Raises:
        AssertionError: It does not.
    """
    section: Any = Config
    for part in name.split("."):
        if not (isinstance(section, type) and issubclass(section, Section)):
            return  # inside a table whose keys the user chooses, such as recipes or arms
        fields = section.model_fields
        assert part in fields, f"there is no setting {name}: {part} is not one of {sorted(fields)}"
        section = _section_of(fields[part].annotation)


def _section_of(annotation: Any) -> Any:
    """Return the section that a field is or may be; None if it is a value or a table."""
    members = getattr(annotation, "__args__", (annotation,))
    sections = [each for each in members if isinstance(each, type) and issubclass(each, Section)]
    return sections[0] if sections and getattr(annotation, "__origin__", None) is not dict else None
