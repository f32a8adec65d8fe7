"""`steep documents`: the documents that are read, their lengths, parts and duplicates.

    steep documents                       # titles, tokens, languages, parts, duplicates, skipped
    steep documents --all                 # every document, not only the first ones
    steep documents --skipped             # everything that was skipped, with the reason
    steep documents --show ID             # the cleaned text of a document, or of a part
    steep documents --show ID --sections  # its headings

Nothing is written, and nothing is sent. `--json` prints everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, SetOption, load_project

ShowOption = Annotated[
    str | None,
    typer.Option("--show", metavar="ID", help="Print the text of a document, or of a part."),
]
SectionsOption = Annotated[
    bool, typer.Option("--sections", help="Print the headings, with the tokens below each.")
]
SkippedOption = Annotated[
    bool, typer.Option("--skipped", help="Print everything that was skipped, with the reason.")
]
AllOption = Annotated[
    bool, typer.Option("--all", help="Print every document, not only the first ones.")
]


def documents(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    show: ShowOption = None,
    sections: SectionsOption = False,
    skipped: SkippedOption = False,
    every: AllOption = False,
    json: JsonOption = False,
) -> None:
    """List the documents with their tokens, languages, parts and duplicates. Sends nothing."""
    from steep.cli import document_lines as lines
    from steep.core.tables import wrap_text
    from steep.documents.overview import find_document, outline_of, summary_of
    from steep.stages.documents import read

    _check(show, sections, skipped)
    found = read(*load_project(config, set))
    wanted = found.reading.documents
    if show is not None:
        wanted = (find_document(show, wanted, found.parts),)
    printed: Iterator[str] | list[str]
    if sections:
        outlines = {each.id: list(outline_of(each, found.counter)) for each in wanted}
        printed = [_json(outlines)] if json else lines.of_outlines(wanted, outlines, every)
    elif show is not None:
        printed = [_json(asdict(wanted[0])) if json else wanted[0].text]
    elif skipped:
        rows = found.reading.skipped
        printed = [_json(rows)] if json else map(wrap_text, lines.of_skipped(rows))
    else:
        summary = summary_of(*found)
        printed = [_json(asdict(summary))] if json else lines.of_summary(summary, every)
    for line in printed:
        typer.echo(line)


def _check(show: str | None, sections: bool, skipped: bool) -> None:
    from steep.core.errors import UserError

    if skipped and (sections or show is not None):
        raise UserError(
            "Only one list is possible at a time.",
            expected="--skipped alone, or --show ID with or without --sections",
        )


def _json(found: Any) -> str:
    import json

    return json.dumps(found, indent=2, ensure_ascii=False, default=asdict)
