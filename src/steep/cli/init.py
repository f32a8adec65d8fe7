"""`steep init`: write a commented steep.yaml for a directory of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, command, print_first
from steep.core.formatting import plural
from steep.core.words import count_words
from steep.documents.document import reason_lines


def init(
    documents: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="A file, directory, pattern, archive, or hf://OWNER/NAME."
        ),
    ],
    config: Annotated[Path, typer.Option("--config", "-c", help="The file to write.")] = (
        DEFAULT_CONFIG
    ),
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Questions for the evaluation (JSON Lines); QuALITY files contain their own."
        ),
    ] = None,
) -> None:
    """Write a commented configuration. Only reads the documents; sends and spends nothing."""
    from steep.stages.first_config import write_first_config

    found = write_first_config(config, documents, questions)
    reading, asked = found.documents, found.questions
    words = sum(count_words(document.text) for document in reading.documents)
    read = plural(len(reading.documents), "document")
    typer.echo(f"{read}, {plural(words, 'word')}, {reading.left_out} skipped")
    print_first(reason_lines(reading.skipped))
    if asked:
        valid, invalid = len(asked.questions), len(asked.skipped)
        which = f"{valid} valid as multiple choice, {invalid} not"
        typer.echo(f"{plural(valid + invalid, 'question')} in {found.questions_path}: {which}")
        print_first(f"not asked {each.question_id}: {each.reason}" for each in asked.skipped)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"wrote {config}"
        + (f" and {found.ignored_path}" if found.ignored_path else "")
        + "; the six most important settings are at its top"
    )
    typer.echo(f"next: {command('documents', config)}, then {command('plan', config)}")
