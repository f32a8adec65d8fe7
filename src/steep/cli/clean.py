"""`steep clean`: list unused artifacts and checkpoints; delete them with --yes."""

from __future__ import annotations

from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption, command, load_project
from steep.core.formatting import file_size, plural


def clean(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
) -> None:
    """List artifacts and checkpoints that no run uses, with their sizes; never the ledger."""
    from steep.core.tables import wrap_text
    from steep.stages.clean import find_leftovers, remove

    opened = load_project(config, set)
    leftovers = find_leftovers(opened.config, opened.project)
    for each in leftovers.found:
        path = each.path.relative_to(opened.project.root)
        typer.echo(f"{file_size(each.bytes):>10}  {path}  ({each.reason})")
    if leftovers.kept_stages:
        stages = ", ".join(leftovers.kept_stages)
        kept = f"all of {stages} is kept: this configuration has not finished a run"
        typer.echo(wrap_text(kept))
    total = file_size(sum(each.bytes for each in leftovers.found))
    found = f"{plural(len(leftovers.found), 'directory', 'directories')}, {total}"
    if yes:
        remove(leftovers)
        typer.echo(f"deleted {found}")
    else:
        typer.echo(f"{found} can be deleted")
        if leftovers.found:
            typer.echo(f"next: {command('clean', config, set)} --yes")
