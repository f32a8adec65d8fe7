"""`steep theory`: the paper's theory of how accuracy grows with synthetic tokens.

steep theory                               # 100 entities of 3 links, as in the paper's figure
steep theory --entities 100000             # large worlds: a sample of sources, with its error
steep theory --fit steep-project           # through the points of the latest scaling study
steep theory --fit points.json             # [{"tokens": 1000, "accuracy": 0.41}, ...]
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steep.cli.options import JsonOption

if TYPE_CHECKING:
    from steep.scaling.results import TheoryFit
    from steep.scaling.theory_points import MeasuredCurve

EntitiesOption = Annotated[
    int, typer.Option("--entities", "-n", min=2, metavar="V", help="Number of entities.")
]
DegreeOption = Annotated[
    float, typer.Option("--degree", metavar="LAMBDA", help="Expected links per entity.")
]
SourcesOption = Annotated[
    int | None,
    typer.Option(
        "--sources", min=2, help="Entities whose paths are counted; default: all, or 200 of many."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the random world.")]
FitOption = Annotated[
    Path | None,
    typer.Option("--fit", help="Fit the curve to a project's scaling study, or a JSON file."),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", help="Directory of the figure and the JSON.")
]


def theory(
    entities: EntitiesOption = 100,
    degree: DegreeOption = 3.0,
    sources: SourcesOption = None,
    seed: SeedOption = 0,
    fit: FitOption = None,
    out: OutOption = Path("theory"),
    json: JsonOption = False,
) -> None:
    """Draw the paper's theory of accuracy over synthetic tokens, or fit it to measured points."""
    if fit is None:
        lines, figure, data = _of_world(entities, degree, sources, seed)
        name = "theory"
    else:
        lines, figure, data = _of_points(fit)
        name = "theory-fit"
    from steep.core.files import write_json, write_text

    write_json(out / f"{name}.json", data)
    write_text(out / f"{name}.svg", figure)
    if json:
        from json import dumps

        typer.echo(dumps(data, indent=2))
        return
    from steep.core.tables import wrap_text

    typer.echo("\n".join([*lines, "", wrap_text(f"Written: {out / name}.svg, {name}.json")]))


def _of_world(
    entities: int, degree: float, sources: int | None, seed: int
) -> tuple[list[str], str, dict[str, Any]]:
    from steep.cli.theory_lines import world_figure, world_lines
    from steep.scaling.theory_result import compute_theory

    result = compute_theory(entities, degree, sources=sources, seed=seed)
    return world_lines(result), world_figure(result), asdict(result)


def _of_points(path: Path) -> tuple[list[str], str, dict[str, Any]]:
    """Fit each curve; curves that cannot be fitted are named with the reason.

    Raises:
        UserError: None can be fitted.
    """
    from steep.cli.theory_lines import fit_figure, fit_lines
    from steep.core.errors import UserError
    from steep.scaling.theory_fit import fit_theory
    from steep.scaling.theory_points import read_points

    fits: list[tuple[MeasuredCurve, TheoryFit]] = []
    refused: list[tuple[str, UserError]] = []
    for curve in read_points(path):
        try:
            fits.append((curve, fit_theory(curve.tokens, curve.accuracies)))
        except UserError as error:
            refused.append((curve.name, error))
    if not fits and refused:
        name, first = refused[0]
        raise UserError(first.problem, **{**first.fields, "where": f"{path} ({name})"})
    lines = fit_lines(fits, {name: error.problem for name, error in refused})
    data = {
        "fits": [{"name": curve.name, **asdict(fit)} for curve, fit in fits],
        "refused": {name: error.problem for name, error in refused},
    }
    return lines, fit_figure(fits), data
