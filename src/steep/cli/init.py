"""`steep init`: a commented steep.yaml for a folder of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG
from steep.core.errors import UserError


def init(
    documents: Annotated[Path, typer.Option(help="A file or folder of documents.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The file to write.")] = (
        DEFAULT_CONFIG
    ),
    questions: Annotated[
        Path | None, typer.Option(help="Questions to evaluate with (JSON Lines).")
    ] = None,
) -> None:
    """Write a commented configuration; nothing is read, sent or spent yet but the documents."""
    from steep.config import load_config
    from steep.core.files import write_text
    from steep.documents.reading import read_documents
    from steep.stages.template import template

    if config.exists():
        raise UserError("There is a configuration already.", where=config, hint="edit it, or -c")
    reading = read_documents(documents)
    folder = config.resolve().parent
    write_text(config, template(_relative(documents, folder), _relative(questions, folder)))
    load_config(config)  # what we write must load
    words = sum(len(document.text.split()) for document in reading.documents)
    typer.echo(
        f"{len(reading.documents)} documents, {words:,} words, {len(reading.skipped)} skipped"
    )
    for skipped in reading.skipped[:10]:
        typer.echo(f"  skipped {skipped.source}: {skipped.reason}", err=True)
    typer.echo(f"wrote {config}; look through it, then: steep run")


def _relative(path: Path | None, folder: Path) -> str | None:
    if path is None:
        return None
    absolute = path.resolve()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)
