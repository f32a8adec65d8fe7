"""`steep scale`: how accuracy grows with tokens.

steep scale --plan           # models, hours, money and disk, before anything is trained
steep scale                  # every point that is left, then the fits
steep scale --point 3        # one point, e.g. as a job of its own; 0 is the base
steep scale --fit            # the fits alone, through the points that are finished
steep scale --submit slurm   # a Slurm array with one job per point, and the fits after it
steep scale --engine ray     # points in parallel on a Ray cluster
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    Opened,
    SetOption,
    YesOption,
    check_spending,
    load_project,
    open_project,
)
from steep.cli.plan import GpusOption

if TYPE_CHECKING:
    from steep.stages.scale import Study


def scale(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show models, hours, cost and disk; make nothing.")
    ] = False,
    point: Annotated[
        int | None,
        typer.Option("--point", min=0, help="Make this point alone, from 1; 0 asks the base."),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Fit the finished points; train and ask nothing.")
    ] = False,
    submit: Annotated[
        Literal["slurm"] | None,
        typer.Option(help="Submit one job per point, and the fits after them."),
    ] = None,
    engine: Annotated[
        Literal["here", "ray"],
        typer.Option(help="Where points run: one after the other here, or as Ray tasks."),
    ] = "here",
    gpus: GpusOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Train and evaluate models on nested subsets of the texts, and fit how accuracy grows."""
    from steep.stages import scale as stage
    from steep.stages.scale_jobs import run_on_ray

    opened = load_project(config, set) if plan else open_project(config, set)
    if plan or not (json or fit or point is not None):
        _print_plan(opened, gpus, json)
    if plan:
        return
    if fit:
        _print_result(opened, stage.finished_study(*opened), json)
        return
    check_spending(opened, yes)
    study = stage.open_study(*opened)
    if submit is not None:
        _submit(study, config, set)
        return
    if point is not None:
        stage.run_numbered(study, point)
        return
    run_on_ray(study) if engine == "ray" else stage.run_all(study)
    _print_result(opened, study, json)


def _print_plan(opened: Opened, gpus: str | None, as_json: bool) -> None:
    from steep.cli.scale_lines import of_study
    from steep.stages.scale_plan import forecast_study

    forecast = forecast_study(opened.config, opened.project, gpus)
    if as_json:
        from json import dumps

        typer.echo(dumps(forecast.as_json(), indent=2))
    else:
        typer.echo("\n".join(of_study(forecast)))


def _submit(study: Study, config: Path, overrides: list[str] | None) -> None:
    from steep.core.formatting import plural
    from steep.stages.scale_jobs import submit_to_slurm

    more = [word for override in overrides or () for word in ("--set", override)]
    submitted = submit_to_slurm(study, ["scale", "--config", str(config.resolve()), *more])
    if submitted is None:
        typer.echo("every point is finished: steep scale --fit shows the result")
        return
    jobs = plural(len(submitted.numbers), "point")
    typer.echo(f"submitted {jobs} as job {submitted.array}, and the fits as job {submitted.fit}")
    typer.echo(f"script: {submitted.script}")


def _print_result(opened: Opened, study: Study, as_json: bool) -> None:
    from steep.cli.score_lines import print_section
    from steep.evaluation.results import as_json as plain
    from steep.report.sections.scaling import scaling
    from steep.stages.scale_result import PAGE_NAME, fit_study

    result = fit_study(study)
    if as_json:
        from json import dumps

        typer.echo(dumps(plain(result), indent=2))
        return
    print_section(scaling(result))
    page = opened.project.run_directory(opened.config.name) / PAGE_NAME
    typer.echo(f"\npage: {page}")
