"""`steep plan`: what generation, training and evaluation will take, before they start.

steep plan                          # the plan of steep.yaml
steep plan --set generate.recipes.entigraph.pairs=50  # what if?
steep plan --probe 5                # make a few calls first, for better figures
steep plan --gpus 8xH100            # what would training take there?
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
    from steep.evaluation.plan import EvaluationPlan
    from steep.generation.planning import Plan
    from steep.training.forecast import TrainingForecast

ProbeOption = Annotated[
    int,
    typer.Option(
        "--probe",
        metavar="N",
        min=0,
        help="First make a few calls of every step about N documents; their texts are kept.",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="TOKENS_PER_S",
        min=0.001,
        help="Tokens of text per second, where the ledger has not measured it.",
    ),
]

GpusOption = Annotated[
    str | None,
    typer.Option(
        "--gpus",
        metavar="NxNAME",
        help="Plan training for these, e.g. 8xH100, and not for what this machine has.",
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
    """Show calls, tokens, dollars and hours, and who will see what; spends nothing by itself."""
    from steep.core.ranks import is_main_rank
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
    if is_main_rank():  # one rank speaks for all
        show = _json if json else _text
        typer.echo(show(made, training, asked))


def _json(made: Plan | None, training: TrainingForecast | None, asked: EvaluationPlan) -> str:
    import json

    more = {
        "training": training and training.as_json(),
        "evaluation": asked.as_json(),
    }
    return json.dumps((made.as_json() if made else {}) | more, indent=2)


def _text(made: Plan | None, training: TrainingForecast | None, asked: EvaluationPlan) -> str:
    from steep.cli.evaluation_lines import of_evaluation
    from steep.cli.plan_lines import of_plan
    from steep.cli.training_lines import of_training
    from steep.core.tables import wrapped

    lines = of_plan(made) if made else ["nothing is generated: generate.recipes is empty"]
    lines += ["", *of_training(training)] if training else []
    lines += of_evaluation(asked)
    return "\n".join(piece for line in lines for piece in wrapped(line))
