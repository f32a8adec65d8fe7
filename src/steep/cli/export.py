"""`steep export`: the project's questions as tasks of other packages, which then agree with ours.

    steep export lm-eval --out tasks      # for lm-evaluation-harness
    steep export inspect --out tasks      # for inspect-ai

The folder stands alone: it may be moved, and needs no Steep where it is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption, load_project
from steep.core.formatting import plural

SHOWN_SKIPPED = 10


def export(
    what: Annotated[str, typer.Argument(help="lm-eval or inspect.")],
    out: Annotated[Path, typer.Option(help="The folder to write: new, or of an earlier export.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    name: Annotated[str | None, typer.Option(help="Of the task; default: steep_<run>.")] = None,
) -> None:
    """Write the questions with their prompts for lm-evaluation-harness or inspect-ai."""
    from steep.stages import exporting

    opened = load_project(config, set)
    exported = exporting.run(opened.config, opened.project, what, out, name)
    typer.echo(f"{plural(exported.questions, 'question')}, {len(exported.skipped)} left out")
    for skipped in exported.skipped[:SHOWN_SKIPPED]:
        typer.echo(f"  left out {skipped.question_id}: {skipped.reason}", err=True)
    if (more := len(exported.skipped) - SHOWN_SKIPPED) > 0:
        typer.echo(f"  and {more} more", err=True)
    typer.echo(f"wrote {', '.join(exported.files)} to {exported.directory}; run them with")
    for command in exported.commands:
        typer.echo(f"  {command}")
