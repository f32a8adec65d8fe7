"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from steep import __version__
from steep.cli import (
    chat,
    clean,
    compare,
    demo,
    documents,
    export,
    importing,
    init,
    plan,
    questions,
    run,
    scale,
    stages,
    status,
    theory,
    trace,
    view,
)

app = typer.Typer(
    name="steep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steep {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Teach a language model a small private corpus: synthetic continued pretraining."""


app.command("init")(init.init)
app.command("documents")(documents.documents)
app.command("import")(importing.import_texts)
app.command("plan")(plan.plan)
app.command("generate")(stages.generate)
app.command("questions")(questions.questions)
app.command("corpus")(stages.corpus)
app.command("tokenize")(stages.tokenize)
app.command("train")(stages.train)
app.command("evaluate")(stages.evaluate)
app.command("report")(run.report)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("scale")(scale.scale)
app.command("status")(status.status)
app.command("view")(view.view)
app.command("trace")(trace.trace)
app.command("chat")(chat.chat)
app.add_typer(export.app, name="export")
app.command("clean")(clean.clean)
app.command("theory")(theory.theory)
app.command("demo")(demo.demo)
