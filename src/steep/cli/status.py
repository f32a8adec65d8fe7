"""`steep status`: what is done, what is to do, what it has cost; and questions to the ledger.

    steep status                      # the plan's sum, the spending, what waits at a provider
    steep status --documents          # what each document cost, the most expensive first
    steep status --document ID        # one of them, with its calls
    steep status --entity "Joren Pell"  # texts about somebody, with their prompts
    steep status --failed             # what gave no whole answer, and why
    steep status --call ID            # all about one call
    steep status --question ID        # what every model made of one question

Nothing is written, and a running generation is not disturbed. `--json` prints the same in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, load_project

if TYPE_CHECKING:
    from steep.cli.options import Opened

LISTED = 20
LISTED_TEXTS = 5  # they come with their prompts

DocumentsOption = Annotated[
    bool, typer.Option("--documents", help="What each document cost, the most expensive first.")
]
DocumentOption = Annotated[
    str | None, typer.Option("--document", metavar="ID", help="One document: its cost and calls.")
]
EntityOption = Annotated[
    str | None, typer.Option("--entity", metavar="NAME", help="Texts about it, and their prompts.")
]
FailedOption = Annotated[
    bool, typer.Option("--failed", help="What failed, was refused, cut off or empty, and why.")
]
CallOption = Annotated[
    str | None, typer.Option("--call", metavar="ID", help="All about one call; digits may lack.")
]
QuestionOption = Annotated[
    str | None,
    typer.Option("--question", metavar="ID", help="One question: what each model chose or wrote."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Rows at most; 20, or 5 texts.")
]


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    documents: DocumentsOption = False,
    document: DocumentOption = None,
    entity: EntityOption = None,
    failed: FailedOption = False,
    call: CallOption = None,
    question: QuestionOption = None,
    limit: LimitOption = None,
    json: JsonOption = False,
) -> None:
    """Show the plan's totals and the spending, or look into the ledger; writes nothing."""
    from steep.cli import status_lines as lines
    from steep.ledger import lookups
    from steep.ledger.ledger import open_ledger
    from steep.stages import status as stage

    _check_one_question(documents, document, entity, failed, call, question)
    opened: Opened = load_project(config, set)
    project = opened.project
    if question is not None:
        from steep.stages.evaluate import results_of

        _show(results_of(opened.config, project, question), lines.of_question, json)
    elif document is not None:
        found = stage.document_of(opened.config, project, document, limit or LISTED)
        _show(found, lines.of_document, json)
    elif documents or entity is not None or failed or call is not None:
        with open_ledger(project) as ledger:
            if documents:
                _show(lookups.documents_of(ledger, limit or LISTED), lines.of_documents, json)
            elif entity is not None:
                found = lookups.entity_of(ledger, entity, limit or LISTED_TEXTS)
                _show(found, lines.of_entity, json)
            elif failed:
                _show(lookups.failed_of(ledger, limit or LISTED), lines.of_failures, json)
            elif call is not None:
                _show(lookups.call_of(ledger, call), lines.of_call, json)
    else:
        _show(stage.status_of(opened.config, project), lines.of_status, json)


def _check_one_question(*options: bool | str | None) -> None:
    from steep.core.errors import UserError

    if sum(option is not None and option is not False for option in options) > 1:
        raise UserError(
            "One question at a time.",
            expected="one of --documents, --document, --entity, --failed, --call, --question",
        )


def _show(found: dict[str, Any], to_lines: Any, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    for line in to_lines(found):
        typer.echo(line)
