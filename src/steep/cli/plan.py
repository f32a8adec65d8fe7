"""`steep plan`: what is to be bought, by whom, at what cost; before anything is spent.

steep plan                          # the plan of steep.yaml
steep plan --set generate.pairs=50  # and if it were another?
steep plan --probe 5                # buys a little of five documents first, for better figures
steep plan --json                   # everything, for a script
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    load_project,
    open_project,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steep.stages.evaluation_plan import EvaluationCalls
    from steep.stages.plan import Plan

ProbeOption = Annotated[
    int,
    typer.Option(
        "--probe",
        metavar="N",
        min=0,
        help="First buy the openings and a few texts of N documents; they are kept.",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="TOKENS_PER_S",
        min=0.001,
        help="Tokens of text a second, where the ledger has not measured it.",
    ),
]


def plan(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    probe: ProbeOption = 0,
    rate: RateOption = None,
    json: JsonOption = False,
) -> None:
    """Show calls, tokens, dollars and hours, and who will see what; spends nothing by itself."""
    from steep.stages import plan as stage
    from steep.stages.evaluation_plan import plan_evaluation

    if probe:
        from steep.stages.probe import probe as buy

        opened = open_project(config, set)
        buy(opened.config, opened.project, probe)
    else:
        opened = load_project(config, set)
    made = stage.make_plan(opened.config, opened.project, rate)
    asked = plan_evaluation(opened.config, opened.project)
    typer.echo(_json(made, asked) if json else "\n".join(_lines(made, asked)))


def _json(made: Plan, asked: Sequence[EvaluationCalls]) -> str:
    import json

    return json.dumps(made.as_json() | {"evaluation": [each.as_json() for each in asked]}, indent=2)


def _lines(made: Plan, asked: Sequence[EvaluationCalls]) -> list[str]:
    from steep.cli.evaluation_lines import of_evaluation
    from steep.cli.plan_lines import of_plan

    return [*of_plan(made), *(["", *of_evaluation(asked)] if asked else [])]
