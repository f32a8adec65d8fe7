"""`steep questions`: a model writes questions about the documents, and gates reject bad ones.

steep questions --plan                # calls, tokens and dollars, before anything is spent
steep questions                       # write and check; the same command continues
steep questions --review review.md    # a file in which a person accepts, edits or rejects
steep questions --apply review.md     # the reviewed question set
steep questions --power 5             # how many questions detect a difference of 5 points
"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SetOption,
    YesOption,
    command,
    load_project,
    open_project,
)
from steep.core.errors import UserError

if TYPE_CHECKING:
    from steep.cli.options import Opened
    from steep.core.artifacts import Artifact
    from steep.evaluation.writing.results import WritingResult

PlanOption = Annotated[
    bool, typer.Option("--plan", help="Only show calls, tokens and dollars; spends nothing.")
]
ReviewOption = Annotated[
    Path | None,
    typer.Option(
        "--review",
        metavar="FILE",
        help="Write the questions to a .md or .csv file, to accept, edit or reject each.",
    ),
]
ApplyOption = Annotated[
    Path | None,
    typer.Option("--apply", metavar="FILE", help="Apply such a file: the reviewed question set."),
]
PowerOption = Annotated[
    float | None,
    typer.Option(
        "--power",
        metavar="POINTS",
        help="Show how many questions and documents detect this difference in percentage "
        "points; spends nothing.",
    ),
]


def questions(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    plan: PlanOption = False,
    review: ReviewOption = None,
    apply: ApplyOption = None,
    power: PowerOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Write questions about the documents with a model, and check them."""
    if sum((plan, *(each is not None for each in (review, apply, power)))) > 1:
        raise UserError(
            "--plan, --review, --apply and --power cannot be combined.", hint="use one of them"
        )
    if power is not None:
        _power(open_project(config, set), power, json)
        return
    if plan:
        _plan(load_project(config, set), json)
        return
    from steep.stages import questions as stage

    opened = open_project(config, set)
    if review is not None:
        number = stage.review(opened.config, opened.project, review)
        typer.echo(f"{number} questions to review: {review}")
        typer.echo(f"next: {command('questions', config, set)} --apply {review}")
        return
    if apply is not None:
        made = stage.apply(opened.config, opened.project, apply)
    else:
        _check_spending(opened, yes)
        made = stage.run(opened.config, opened.project)
    _print(opened, made, json, config, set)


def _plan(opened: Opened, json: bool) -> None:
    from steep.cli.question_lines import of_writing_plan
    from steep.core.tables import wrap_text
    from steep.stages import questions as stage

    found = stage.plan(opened.config, opened.project)
    if json:
        typer.echo(dumps(found.as_json(), indent=2))
        return
    lines = of_writing_plan(found, opened.config.generate.model)
    typer.echo("\n".join(map(wrap_text, lines)))


def _power(opened: Opened, points: float, json: bool) -> None:
    from dataclasses import asdict

    from steep.cli.power_lines import of_power
    from steep.stages.power import plan_power

    found = plan_power(opened.config, opened.project, points)
    typer.echo(dumps(asdict(found), indent=2) if json else "\n".join(of_power(found)))


def _check_spending(opened: Opened, yes: bool) -> None:
    """Refuse unlimited spending in an interactive session."""
    from steep.cli.options import is_interactive
    from steep.stages import questions as stage
    from steep.stages.spending import refuse_unlimited_questions

    if yes or not is_interactive():
        return
    refuse_unlimited_questions(opened.config, stage.plan(opened.config, opened.project))


def _print(
    opened: Opened, made: Artifact, json: bool, config: Path, overrides: list[str] | None
) -> None:
    from dataclasses import asdict

    from steep.cli.question_lines import of_none, of_separation, of_writing
    from steep.core.tables import wrap_text
    from steep.evaluation.writing.results import QUESTIONS_NAME, REJECTED_NAME, read_result
    from steep.stages import questions as stage

    result = read_result(made.path)
    separation = stage.separation(opened.project, made)
    path = made.path / QUESTIONS_NAME
    if json:
        more = {"separation": asdict(separation)}
        typer.echo(dumps({"path": str(path), **asdict(result), **more}, indent=2))
    else:
        lines = [*of_writing(result, opened.config.generate.model), *of_separation(separation)]
        typer.echo("\n".join(map(wrap_text, lines)))
        typer.echo(f"questions: {path}")
        typer.echo(f"rejected, with reasons: {path.with_name(REJECTED_NAME)}")
        if result.accepted:
            _print_next(opened, result, path, config, overrides)
        else:
            typer.echo(wrap_text(of_none(result)))
    if not result.accepted:
        raise typer.Exit(1)


def _print_next(
    opened: Opened, result: WritingResult, path: Path, config: Path, overrides: list[str] | None
) -> None:
    """Print the commands that follow: the review first, if there was none."""
    from steep.cli.question_lines import SHORT_METHOD, of_short_answers
    from steep.core.tables import wrap_text

    methods, more = opened.config.evaluate.methods, [f"evaluate.questions={path}"]
    for note in of_short_answers(result, methods):
        more.append(f"evaluate.methods=[{','.join((*methods, SHORT_METHOD))}]")
        typer.echo(wrap_text(note))
    head = "next"
    if not result.is_reviewed:
        typer.echo(f"next: {command('questions', config, overrides)} --review review.md")
        head = "then"
    typer.echo(f"{head}: {command('evaluate', config, [*(overrides or ()), *more])}")
    typer.echo(
        wrap_text(
            "steep evaluate needs trained models: it runs the missing stages before it "
            "(generation, training); see steep plan"
        )
    )
