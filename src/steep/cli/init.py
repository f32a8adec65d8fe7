"""`steep init`: a commented steep.yaml for a folder of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, command
from steep.core.formatting import plural
from steep.core.words import count_words

SHOWN_SKIPPED = 10


def init(
    documents: Annotated[Path, typer.Option(help="A file or folder of documents.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The file to write.")] = (
        DEFAULT_CONFIG
    ),
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Questions to evaluate with (JSON Lines); a QuALITY file brings its own."
        ),
    ] = None,
) -> None:
    """Write a commented configuration; nothing is sent or spent, only the documents are read."""
    from steep.cli.first_config import write_first_config

    found = write_first_config(config, documents, questions)
    reading, asked = found.documents, found.questions
    words = sum(count_words(document.text) for document in reading.documents)
    read = plural(len(reading.documents), "document")
    typer.echo(f"{read}, {plural(words, 'word')}, {len(reading.skipped)} skipped")
    for skipped in reading.skipped[:SHOWN_SKIPPED]:
        typer.echo(f"  skipped {skipped.source}: {skipped.reason}", err=True)
    if asked:
        fine, odd = len(asked.questions), len(asked.skipped)
        which = f"{fine} can be asked as a choice, {odd} cannot"
        typer.echo(f"{plural(fine + odd, 'question')} in {found.questions_path}: {which}")
        for question in asked.skipped[:SHOWN_SKIPPED]:
            typer.echo(f"  not asked {question.question_id}: {question.reason}", err=True)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"wrote {config}"
        + (f" and {found.ignored_path}" if found.ignored_path else "")
        + "; the six settings that matter stand at its top"
    )
    typer.echo(f"next: {command('plan', config)}")
