"""`steep scale`: how accuracy grows with tokens.

steep scale --plan           # models, hours, money and disk, before anything is trained
steep scale                  # every point that is left, then the fits
steep scale --point 3        # one point, e.g. as a job of its own; 0 is the base
steep scale --fit            # the fits alone, through the points that are finished
steep scale --submit slurm   # a Slurm array with one job per point, and the fits after it
steep scale --engine ray     # points in parallel on a Ray cluster
"""

from __future__ import annotations

from typing import Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    YesOption,
    check_spending,
    open_project,
)


def scale(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    point: Annotated[
        int | None,
        typer.Option("--point", min=0, help="Make this point alone, from 1; 0 asks the base."),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the finished points; train and ask nothing.")
    ] = False,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Train and evaluate models on nested subsets of the texts, and fit how accuracy grows."""
    from steep.cli.score_lines import print_section
    from steep.report.sections.scaling import scaling
    from steep.stages import scale as stage
    from steep.stages.scale_result import PAGE_NAME, fit_study

    opened = open_project(config, set)
    check_spending(opened, yes)
    study = stage.open_study(*opened)
    if point is not None:
        stage.run_numbered(study, point)
        return
    if not fit:
        stage.run_all(study)
    result = fit_study(study)
    if json:
        from json import dumps

        from steep.evaluation.results import as_json

        typer.echo(dumps(as_json(result), indent=2))
        return
    print_section(scaling(result))
    page = opened.project.run_directory(opened.config.name) / PAGE_NAME
    typer.echo(f"\npage: {page}")
