"""`steep import`: texts that somebody else generated enter the ledger, at no cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption, open_project
from steep.core.errors import UserError


def import_texts(
    generations: Annotated[
        Path,
        typer.Option(help="JSON Lines (.gz too): document_id, recipe, model, sample, text."),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
) -> None:
    """Take generated texts from a file into the ledger."""
    from steep.generation.importing import import_generations
    from steep.generation.ledger import Ledger
    from steep.stages import documents as documents_stage

    opened = open_project(config, set)
    documents = documents_stage.load(documents_stage.run(opened.config, opened.project))
    known = {document.whole_id for document in documents}
    with Ledger(opened.project.ledger_path) as ledger:
        counts = import_generations(generations, known, ledger)
    typer.echo(
        f"{counts.rows} rows = {counts.imported} imported + {counts.already_there} already there"
        f" + {counts.unknown_document} about other documents + {counts.malformed} malformed"
    )
    for problem in counts.problems:
        typer.echo(f"  {problem}", err=True)
    if counts.rows and counts.rows == counts.malformed + counts.unknown_document:
        raise UserError(
            "Not one row could be used.",
            where=generations,
            expected="document_id of a document in this project: "
            + ", ".join(sorted(known)[:5])
            + (", ..." if len(known) > 5 else ""),
        )
