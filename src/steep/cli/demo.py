"""`steep demo`: the whole pipeline with the embedded models, offline, on two CPU cores."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, JsonOption, open_project
from steep.cli.run import run_all
from steep.core.errors import UserError
from steep.core.files import atomic_directory
from steep.core.formatting import plural
from steep.core.tables import wrap_text

QUICK_NOTE = (
    "This is the quick form of the demo. It shows that every stage works, but not the effect of "
    "synthetic texts, as 8,192 training tokens per model are too few. `steep demo` without --quick "
    "trains each model on 49,152."
)
GENERATIONS_NAME = "generations.jsonl"  # recorded texts of a large model, to be imported
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

    opened = open_project(write_sample_project(directory), [*QUICK] if quick else None)
    counts = importing.run(*opened, opened.project.root / GENERATIONS_NAME)
    if counts.imported:
        texts = plural(counts.imported, "recorded text")
        log.info("import: %s of a large model, at no cost", texts)
    run_all(opened, json)
    if quick:
        typer.echo(wrap_text(QUICK_NOTE, hang=0), err=json)


def write_sample_project(directory: Path) -> Path:
    """Write the demo as a project that can be changed and rerun, unless it is there.

    Returns:
        The path of its configuration.

    Raises:
        UserError: Something else is there.
    """
    directory = directory.resolve()
    config = directory / DEFAULT_CONFIG.name
    if config.is_file():
        return config
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise UserError(
            "The demo does not write into what is there already.",
            where=directory,
            expected="a new or empty folder, or one with a demo in it",
            hint="name another one: steep demo --directory DIR",
        )
    with (
        resources.as_file(resources.files("steep") / "demo") as source,
        atomic_directory(directory) as temporary,
    ):
        shutil.copytree(source / "documents", temporary / "documents")
        for name in ("questions.jsonl", GENERATIONS_NAME, DEFAULT_CONFIG.name):
            shutil.copy(source / name, temporary / name)
    return config
