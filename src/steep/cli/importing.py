"""`steep import`: add texts that were generated elsewhere to the ledger, at no cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption, open_project
from steep.core.formatting import plural


def import_texts(
    generations: Annotated[
        Path,
        typer.Option(
            help="JSON Lines with document_id, recipe, model, sample and text (.gz is allowed)."
        ),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
) -> None:
    """Import texts that were generated elsewhere into the ledger."""
    from steep.stages import importing

    counts = importing.run(*open_project(config, set), generations)
    typer.echo(
        f"{plural(counts.rows, 'row')} = {counts.imported} imported"
        f" + {counts.already_there} already there + {counts.unknown_document} about other documents"
        f" + {counts.malformed} malformed"
    )
    for problem in counts.problems:
        typer.echo(f"  {problem}", err=True)
