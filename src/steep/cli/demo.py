"""`steep demo`: the whole pipeline with the embedded models, offline, on two CPU cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import JsonOption, open_project
from steep.cli.run import run_all
from steep.core.formatting import plural
from steep.core.tables import wrap_text

QUICK_NOTE = (
    "This is the quick form of the demo. It shows that every stage works, but not the effect of "
    "synthetic texts, as 8,192 training tokens per model are too few. `steep demo` without --quick "
    "trains each model on 49,152."
)
QUICK = ("name=quick", "train.tokens=8192", "evaluate.limit=60", f"remark={QUICK_NOTE}")


def demo(
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="Directory of the demo project.")
    ] = Path("steep-demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="5 to 10 minutes: every stage, but too little training.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train and evaluate two small models on five invented articles, offline, on two CPU cores."""
    from steep.core.artifacts import log
    from steep.stages import importing
    from steep.stages.demo import GENERATIONS_NAME, write_sample_project

    opened = open_project(write_sample_project(directory), [*QUICK] if quick else None)
    counts = importing.run(*opened, opened.project.root / GENERATIONS_NAME)
    if counts.imported:
        texts = plural(counts.imported, "recorded text")
        log.info("import: %s of a large model, at no cost", texts)
    run_all(opened, json)
    if quick:
        typer.echo(wrap_text(QUICK_NOTE, hang=0), err=json)
