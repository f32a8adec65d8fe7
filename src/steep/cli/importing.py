"""`steep import`: add texts that were generated elsewhere to the ledger, at no cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption, open_project
from steep.core.formatting import plural


def import_texts(
    generations: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines with document_id, recipe, model, sample and text (.gz is allowed)."
        ),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A directory that steep export corpus has written.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
) -> None:
    """Import texts that were generated elsewhere into the ledger."""
    from steep.core.errors import UserError
    from steep.stages import importing

    path = generations or corpus
    if path is None or (generations and corpus):
        raise UserError(
            "It is not clear what to import.", expected="--generations FILE, or --corpus DIR"
        )
    counts = importing.run(*open_project(config, set), path, is_corpus=corpus is not None)
    typer.echo(
        f"{plural(counts.rows, 'row')} = {counts.imported} imported"
        f" + {counts.already_there} already there + {counts.unknown_document} about other documents"
        f" + {counts.malformed} malformed"
    )
    for problem in counts.problems:
        typer.echo(f"  {problem}", err=True)
