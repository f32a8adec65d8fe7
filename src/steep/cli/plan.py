"""`steep plan`: the calls, tokens, cost and time of a project, before anything is spent.

steep plan                                            # the plan of steep.yaml
steep plan --set generate.recipes.entigraph.pairs=50  # with other settings
steep plan --probe 5                                  # make a few calls first, to measure
steep plan --gpus 8xH100                              # training on other hardware
steep plan --json                                     # everything, for a script
"""

from __future__ import annotations

from typing import Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    load_project,
    open_project,
)

ProbeOption = Annotated[
    int,
    typer.Option(
        "--probe",
        metavar="N",
        min=0,
        help="First make a few calls of every step for N documents, to measure. Texts are kept.",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="TOKENS_PER_S",
        min=0.001,
        help="Generated tokens per second, if the ledger has not measured them.",
    ),
]
GpusOption = Annotated[
    str | None,
    typer.Option(
        "--gpus",
        metavar="NxNAME",
        help="Plan training for these GPUs, e.g. 8xH100, instead of this machine.",
    ),
]


def plan(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    probe: ProbeOption = 0,
    rate: RateOption = None,
    gpus: GpusOption = None,
    json: JsonOption = False,
) -> None:
    """Show calls, tokens, cost and time, and which host will see which documents."""
    from steep.cli.plan_lines import of_evaluation, of_plan
    from steep.cli.training_lines import of_training
    from steep.core.ranks import is_main_rank
    from steep.core.tables import wrap_text
    from steep.stages import plan as stage
    from steep.stages.evaluate import plan_evaluation
    from steep.stages.training_plan import forecast

    if probe:
        opened = open_project(config, set)
        stage.probe(opened.config, opened.project, probe)
    else:
        opened = load_project(config, set)
    asked = plan_evaluation(opened.config, opened.project)
    others = opened.config.train.arms or asked.calls or asked.warnings
    made = None
    if opened.config.generate.recipes or not others:
        made = stage.make_plan(opened.config, opened.project, rate)
    training = forecast(opened.config, opened.project, made, gpus)
    if not is_main_rank():  # one rank prints for all
        return
    if json:
        from json import dumps

        more = {"training": training and training.as_json(), "evaluation": asked.as_json()}
        typer.echo(dumps((made.as_json() if made else {}) | more, indent=2))
        return
    lines = of_plan(made) if made else ["nothing is generated: generate.recipes is empty"]
    lines += ["", *of_training(training)] if training else []
    typer.echo("\n".join(map(wrap_text, [*lines, *of_evaluation(asked)])))
