"""What several commands share: the configuration file, overrides, and where the log goes."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from steep.core.files import disk_errors
from steep.core.progress import above_panel, write_progress_to
from steep.core.run_progress import PROGRESS_NAME
from steep.core.tables import wrap_text

if TYPE_CHECKING:
    from steep.config import Config
    from steep.core.artifacts import Project

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file of the project.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting: --set train.tokens=100000. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[
    bool,
    typer.Option("--yes", help="Spend without a limit (generate.max_cost_usd); see steep plan."),
]
DEFAULT_CONFIG = Path("steep.yaml")
SHOWN = 10  # lines of a list


class Opened(NamedTuple):
    """A project, and its configuration after overrides."""

    config: Config
    project: Project


def load_project(path: Path, overrides: list[str] | None) -> Opened:
    """Load the configuration; nothing is written."""
    from steep.config_loading import load_config
    from steep.core.artifacts import Project

    return Opened(load_config(path, tuple(overrides or ())), Project(path.resolve().parent))


def open_project(path: Path, overrides: list[str] | None) -> Opened:
    """Load the configuration, and start the log and `progress.json` of its run."""
    opened = load_project(path, overrides)
    directory = opened.project.run_directory(opened.config.name)
    start_log(directory / "log.jsonl")
    write_progress_to(directory / PROGRESS_NAME, _command_name())
    return opened


def _command_name() -> str:
    """Return the name of the command that runs."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "run")


def command(verb: str, path: Path, overrides: Sequence[str] | None = None) -> str:
    """Return the command line of another command for the same configuration."""
    words = ["steep", verb, *([] if path == DEFAULT_CONFIG else ["-c", str(path)])]
    for override in overrides or ():
        words += ["--set", override]
    return shlex.join(words)


def print_first(lines: Iterable[str]) -> None:
    """Print the first lines to standard error, and how many more there are."""
    from steep.core.tables import wrap_text

    every = list(lines)
    for line in every[:SHOWN]:
        typer.echo(wrap_text(f"  {line}"), err=True)
    if len(every) > SHOWN:
        typer.echo(f"  and {len(every) - SHOWN:,} more", err=True)


def check_spending(opened: Opened, yes: bool, evaluates: bool = False) -> None:
    """Refuse unlimited spending in an interactive session; a script is not stopped.

    Args:
        opened: The project.
        yes: Whether the user has agreed.
        evaluates: Whether the command continues to the evaluation.

    Raises:
        UserError: Priced calls would begin, nothing limits them, and --yes was not given.
    """
    if yes or not is_interactive():
        return
    from steep.stages.spending import refuse_unlimited_spending

    refuse_unlimited_spending(opened.config, opened.project, evaluates)


def is_interactive() -> bool:
    """Return whether a person sits at the terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def start_log(path: Path) -> None:
    """Send the log to standard error as text, and to the run's directory as JSON Lines."""
    from steep.core.ranks import is_main_rank

    log = logging.getLogger("steep")
    log.setLevel(logging.INFO if is_main_rank() else logging.WARNING)  # one rank logs for all
    log.handlers.clear()
    terminal = _Terminal(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _LogFile(path, encoding="utf-8")
    file.setFormatter(_JsonFormatter())
    log.addHandler(terminal)
    log.addHandler(file)


class _Terminal(logging.StreamHandler):  # type: ignore[type-arg]  # generic for mypy alone
    def format(self, record: logging.LogRecord) -> str:
        """Wrap long lines on a terminal; a pipe gets each message as one line."""
        text = super().format(record)
        return wrap_text(text) if self.stream.isatty() else text

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message above the panel."""
        with above_panel():
            super().emit(record)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Raise a full disk as a user error; `logging` would print a traceback and continue."""
        with disk_errors(Path(self.baseFilename)):
            raise


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object per line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        row = {"time": stamp, "level": record.levelname, "message": record.getMessage()}
        return json.dumps(row, ensure_ascii=False)
