"""What several verbs take: the configuration file, overrides, and where the log goes."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from steep.core.errors import UserError

if TYPE_CHECKING:
    from steep.config import Config
    from steep.project import Project

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file of the project.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a field, e.g. --set train.tokens=100000; repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
DEFAULT_CONFIG = Path("steep.yaml")


class Opened(NamedTuple):
    """A project, and its configuration after overrides."""

    config: Config
    project: Project


def open_project(path: Path, overrides: list[str] | None) -> Opened:
    """Load the configuration and start the log of its run."""
    from steep.config import load_config
    from steep.project import Project

    config = load_config(path, tuple(overrides or ()))
    project = Project(path.resolve().parent)
    start_log(project.run_directory(config.name) / "log.jsonl")
    return Opened(config, project)


def start_log(path: Path) -> None:
    """Send the log to standard error as text, and to the run's directory as JSON Lines."""
    log = logging.getLogger("steep")
    log.setLevel(logging.INFO)
    log.handlers.clear()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot write the log: {error.strerror}.", where=path) from error
    file.setFormatter(_JsonFormatter())
    log.addHandler(terminal)
    log.addHandler(file)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object a line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return json.dumps(
            {"time": stamp, "level": record.levelname, "message": record.getMessage()}
        )
