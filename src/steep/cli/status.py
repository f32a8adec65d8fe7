"""`steep status`: progress and cost of the project, and queries of the ledger.

    steep status                        # totals of the plan, spending, pending provider batches
    steep status --documents            # the cost of each document, most expensive first
    steep status --document ID          # one document with its calls
    steep status --entity "Joren Pell"  # texts about an entity, with their prompts
    steep status --failed               # failed and incomplete calls by reason
    steep status --call ID              # one call in full
    steep status --question ID          # what every model answered to one question

Nothing is written, and a running generation is not disturbed. `--json` prints everything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, load_project
from steep.core.tables import wrap_text

LISTED = 20
LISTED_TEXTS = 5  # they come with their prompts

DocumentsOption = Annotated[
    bool, typer.Option("--documents", help="Show the cost of each document, highest first.")
]
DocumentOption = Annotated[
    str | None, typer.Option("--document", metavar="ID", help="Show one document and its calls.")
]
EntityOption = Annotated[
    str | None,
    typer.Option("--entity", metavar="NAME", help="Show texts about an entity, with prompts."),
]
FailedOption = Annotated[
    bool,
    typer.Option("--failed", help="Show failed, refused, truncated and empty calls by reason."),
]
CallOption = Annotated[
    str | None,
    typer.Option(
        "--call", metavar="ID", help="Show one call in full; a prefix of its id is enough."
    ),
]
QuestionOption = Annotated[
    str | None,
    typer.Option("--question", metavar="ID", help="Show what every model answered to a question."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Maximum rows; default: 20, or 5 texts.")
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
    """Show the progress and cost of the project, or query the ledger. Writes nothing."""
    from steep.cli import status_lines as lines
    from steep.ledger import queries
    from steep.ledger.ledger import open_ledger
    from steep.stages import status as stage
    from steep.stages.evaluate import results_of

    _check_one_query(documents, document, entity, failed, call, question)
    opened, project = load_project(config, set)
    rows = limit or LISTED
    if question is not None:
        _show(results_of(opened, project, question), lines.of_question, json)
    elif document is not None:
        _show(stage.document_of(opened, project, document, rows), lines.of_document, json)
    elif documents or entity is not None or failed or call is not None:
        with open_ledger(project) as ledger:
            if documents:
                _show(queries.documents_of(ledger, rows), lines.of_documents, json)
            elif entity is not None:
                found = queries.entity_of(ledger, entity, limit or LISTED_TEXTS)
                _show(found, lines.of_entity, json)
            elif failed:
                _show(queries.failed_of(ledger, rows), lines.of_failures, json)
            elif call is not None:
                _show(queries.call_of(ledger, call), lines.of_call, json)
    else:
        _show(stage.status_of(opened, project), lines.of_status, json)


def _check_one_query(*options: bool | str | None) -> None:
    from steep.core.errors import UserError

    if sum(option is not None and option is not False for option in options) > 1:
        raise UserError(
            "Only one query is possible at a time.",
            expected="one of --documents, --document, --entity, --failed, --call, --question",
        )


def _show(
    found: dict[str, Any], to_lines: Callable[[Mapping[str, Any]], Iterator[str]], as_json: bool
) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=2))
        return
    for line in to_lines(found):
        typer.echo(wrap_text(line) if sys.stdout.isatty() else line)
