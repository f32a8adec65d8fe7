"""`steep export`: write the questions as tasks of other packages, whose scores agree with Steep's.

    steep export lm-eval --out tasks      # for lm-evaluation-harness
    steep export inspect --out tasks      # for inspect-ai

The directory is self-contained: it can be moved, and running it does not require Steep.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption, load_project, print_first
from steep.core.formatting import plural


def export(
    what: Annotated[str, typer.Argument(help="The package: lm-eval or inspect.")],
    out: Annotated[Path, typer.Option(help="The output directory: new, or of an earlier export.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the task; default: steep_<run>.")
    ] = None,
) -> None:
    """Export the questions with their prompts to lm-evaluation-harness or inspect-ai."""
    from steep.stages import exporting

    opened = load_project(config, set)
    exported = exporting.run(opened.config, opened.project, what, out, name)
    typer.echo(f"{plural(exported.questions, 'question')}, {len(exported.skipped)} left out")
    print_first(f"left out {each.question_id}: {each.reason}" for each in exported.skipped)
    typer.echo(f"wrote {', '.join(exported.files)} to {exported.directory}; run them with")
    for command in exported.commands:
        typer.echo(f"  {command}")
