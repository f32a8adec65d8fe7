"""`steep compare`: recipes at the same training tokens, or at the same cost of generation.

steep compare --recipes entigraph,qa --tokens 1000000          # per model
steep compare --recipes entigraph,qa --cost 5                  # dollars per recipe
steep compare --recipes entigraph,qa --tokens 1000000 --plan   # calls, cost and hours first
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
    from steep.stages.compare import ComparisonStudy
    from steep.stages.compare_texts import ComparisonRequest


def compare(
    recipes: Annotated[
        str,
        typer.Option(help="Names, separated by commas: of steep.yaml, built in, or imported."),
    ],
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Training tokens per model, without replay."),
    ] = None,
    cost: Annotated[
        float | None,
        typer.Option(metavar="USD", min=1e-9, help="Dollars per recipe for generation."),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(min=1e-3, help="Passes over the texts; by default train.epochs, or 2."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Models per recipe; by default scale.seeds.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show calls, cost and hours; make nothing.")
    ] = False,
    point: Annotated[
        int | None,
        typer.Option("--point", min=0, help="Make this point alone, from 1; 0 asks the base."),
    ] = None,
    result: Annotated[
        bool, typer.Option("--result", help="Show what is finished; train and ask nothing.")
    ] = False,
    submit: Annotated[
        Literal["slurm"] | None,
        typer.Option(help="Submit one job per point, and the result after them."),
    ] = None,
    engine: Annotated[
        Literal["here", "ray"],
        typer.Option(help="Where points run: one after the other here, or as Ray tasks."),
    ] = "here",
    gpus: GpusOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Train and evaluate a model on each recipe's texts, equally long, and compare them."""
    from steep.stages import compare as stage
    from steep.stages.compare_result import finished_comparison
    from steep.stages.compare_texts import request_of
    from steep.stages.scale import run_all, run_numbered

    opened = load_project(config, set) if plan else open_project(config, set)
    request = request_of(opened.config, recipes, tokens, cost, epochs, seeds)
    if plan or not (json or result or point is not None):
        _print_plan(opened, request, gpus, json)
    if plan:
        return
    if result:
        _print_result(opened, finished_comparison(*opened, request), json)
        return
    _check_spending(opened, request, yes)
    study = stage.open_comparison(*opened, request)
    if submit is not None:
        _submit(study, config, set)
    elif point is not None:
        run_numbered(study, point)
    else:
        if engine == "ray":
            _run_on_ray(study, opened)
        else:
            run_all(study)
        _print_result(opened, study, json)


def _print_plan(
    opened: Opened, request: ComparisonRequest, gpus: str | None, as_json: bool
) -> None:
    from steep.cli.compare_lines import of_comparison
    from steep.stages.compare_plan import forecast_comparison

    forecast = forecast_comparison(*opened, request, gpus)
    if as_json:
        from json import dumps

        typer.echo(dumps(forecast.as_json(), indent=2))
    else:
        typer.echo("\n".join(of_comparison(forecast)))


def _check_spending(opened: Opened, request: ComparisonRequest, yes: bool) -> None:
    from steep.stages.compare_texts import limited, options_of, settings_for

    for name, options in options_of(*opened, request).items():
        settings = settings_for(opened.config, request, {name: options})
        check_spending(Opened(limited(settings, opened.project, request), opened.project), yes)


def _run_on_ray(study: ComparisonStudy, opened: Opened) -> None:
    from functools import partial

    from steep.core.artifacts import Project
    from steep.stages.compare import open_comparison
    from steep.stages.scale_jobs import run_on_ray

    project = Project(opened.project.root)
    run_on_ray(study, partial(open_comparison, opened.config, project, study.request))


def _submit(study: ComparisonStudy, config: Path, overrides: list[str] | None) -> None:
    from steep.core.formatting import plural
    from steep.stages.scale_jobs import submit_to_slurm

    request = study.request
    equal = ["--tokens", str(request.tokens)]
    if request.tokens is None:
        equal = ["--cost", repr(request.cost_usd)]
    words = ["compare", "--recipes", ",".join(request.recipes), *equal]
    words += ["--epochs", repr(request.epochs), "--seeds", str(request.seeds)]
    words += ["--config", str(config.resolve())]
    words += [word for override in overrides or () for word in ("--set", override)]
    submitted = submit_to_slurm(study, words, "--result")
    if submitted is None:
        typer.echo("every point is finished: --result shows the comparison")
        return
    jobs = plural(len(submitted.numbers), "point")
    typer.echo(f"submitted {jobs} as job {submitted.array}, and the result as job {submitted.fit}")
    typer.echo(f"script: {submitted.script}")


def _print_result(opened: Opened, study: ComparisonStudy, as_json: bool) -> None:
    from steep.cli.score_lines import print_section
    from steep.evaluation.results import as_json as plain
    from steep.report.sections.comparison import comparison
    from steep.stages.compare_result import PAGE_NAME, compare_points

    found = compare_points(study)
    if as_json:
        from json import dumps

        typer.echo(dumps(plain(found), indent=2))
        return
    print_section(comparison(found))
    page = opened.project.run_directory(opened.config.name) / PAGE_NAME
    typer.echo(f"\npage: {page}")
