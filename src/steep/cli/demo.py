"""`steep demo`: the whole way on the embedded default, offline, on two CPU cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steep.cli.options import JsonOption, open_project
from steep.cli.run import run_all


def demo(
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="The project to make, or to continue.")
    ] = Path("steep-demo"),
    json: JsonOption = False,
) -> None:
    """Five invented articles, 60 questions: write, train twice, evaluate, report (10 minutes)."""
    from steep.stages.sample_project import write_sample_project

    config = write_sample_project(directory)
    run_all(open_project(config, None), json)
