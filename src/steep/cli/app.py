"""The table of verbs."""

from __future__ import annotations

import typer

from steep.cli import chat, demo, export, importing, init, plan, run, stages, status

app = typer.Typer(
    name="steep",
    help="Teach a language model a small private corpus: synthetic continued pretraining.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("import")(importing.import_texts)
app.command("plan")(plan.plan)
app.command("generate")(stages.generate)
app.command("corpus")(stages.corpus)
app.command("tokenize")(stages.tokenize)
app.command("train")(stages.train)
app.command("evaluate")(stages.evaluate)
app.command("report")(run.report)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("chat")(chat.chat)
app.command("export")(export.export)
app.command("demo")(demo.demo)
