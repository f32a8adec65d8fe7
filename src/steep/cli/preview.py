"""`steep generate --preview N`: a few texts of every step, beside their documents and prompts.

steep generate --preview 3                     # three texts of every step of every recipe
steep generate --preview 3 --recipe entigraph  # of one recipe
steep generate --preview 3 --json              # for a script
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import open_project
from steep.core.formatting import cost_of, dollars, plural, reasoned
from steep.core.tables import terminal_columns

if TYPE_CHECKING:
    from steep.core.calls import Usage
    from steep.generation.preview import Preview, PreviewCost, PreviewedCall

TAIL_CHARACTERS = 600  # of the prompt
MOST_ROWS = 60  # of one text on a terminal; steep status --call shows all of it
WIDE = 140  # columns from which document, prompt and text have a column each
GAP = "  "
OUTCOMES = {
    "done": "text",
    "truncated": "truncated at the limit of tokens",
    "reasoning": "nothing but reasoning; raise generate.reasoning_tokens",
    "to do": "not written: the run ended before",
}

PreviewOption = Annotated[
    int | None,
    typer.Option(
        "--preview",
        metavar="N",
        min=1,
        help="Only write N texts of every step, and show them. Texts are kept.",
    ),
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help="Preview this recipe alone.")
]


def show_preview(
    config: Path, overrides: list[str] | None, number: int, recipe: str | None, json: bool
) -> None:
    """Write the texts of a preview and print them."""
    from steep.stages.generate import preview

    opened = open_project(config, overrides)
    found = preview(opened.config, opened.project, number, recipe)
    if json:
        from json import dumps

        typer.echo(dumps(found.as_json(), indent=2, ensure_ascii=False))
        return
    columns = terminal_columns() if sys.stdout.isatty() else None
    typer.echo("\n".join(lines_of(found, columns)))


def lines_of(found: Preview, columns: int | None) -> Iterator[str]:
    """Yield the lines of a preview.

    Args:
        found: The preview.
        columns: The width of the terminal; None for a file, in which nothing is wrapped.
    """
    for number, each in enumerate(found.calls, start=1):
        about = f" ({', '.join(each.subset)})" if each.subset else ""
        head = (
            f"{number} of {len(found.calls)}: {each.recipe}, {each.step}{about}: {_outcome(each)}"
        )
        yield from wrap(head, columns)
        price = "cost unknown" if each.cost_usd is None else dollars(each.cost_usd)
        when = ", paid before" if each.before else ""
        yield from wrap(f"{_tokens(each.usage)}, {price}{when}; call {each.call_id[:12]}", columns)
        yield from _plain(each) if columns is None else _beside(each, columns)
        yield ""
    yield from wrap(f"paid now: {_sum(found.paid)}", columns)
    if found.paid_before.calls:
        yield from wrap(f"paid before for these texts: {_sum(found.paid_before)}", columns)
    yield from wrap("the whole run uses these answers and does not pay for them again", columns)
    if found.linking:
        names = " and ".join(found.linking)
        yield from wrap(
            f"except texts of {names}: only the documents of the preview were linked", columns
        )


def wrap(line: str, columns: int | None) -> list[str]:
    """Return a line in pieces of a width, or whole."""
    return [line] if columns is None else textwrap.wrap(line, columns, subsequent_indent="  ")


def _outcome(each: PreviewedCall) -> str:
    if each.error is not None:
        return f"{each.status}: {each.error}"
    return OUTCOMES.get(each.status, each.status)


def _tokens(usage: Usage) -> str:
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    answered = f"{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"
    return answered + reasoned(usage.reasoning_tokens)


def _sum(cost: PreviewCost) -> str:
    calls = plural(cost.calls, "call")
    return f"{calls}, {_tokens(cost.usage)}, {cost_of(cost.known_usd, cost.unpriced)}"


def _sources(each: PreviewedCall) -> tuple[str, str]:
    """Return the beginning of the document under its title, and the end of the prompt."""
    before = "... " if len(each.tail) > TAIL_CHARACTERS else ""
    start = f"{each.title} [{each.document_id}]\n{each.document}"
    return start, before + each.tail[-TAIL_CHARACTERS:]


def _plain(each: PreviewedCall) -> Iterator[str]:
    document, tail = _sources(each)
    for name, text in (("document", document), ("prompt", tail), ("text", each.text or "(none)")):
        yield f"--- {name}"
        yield from text.split("\n")


def _beside(each: PreviewedCall, columns: int) -> Iterator[str]:
    """Yield the sources in one column, or two on a wide terminal, and the text beside them."""
    document, tail = _sources(each)
    wide = columns >= WIDE
    left = columns // 4 if wide else columns // 3
    widths = [left, left] if wide else [left]
    widths.append(columns - sum(widths) - len(GAP) * len(widths))
    stacked = [f"DOCUMENT\n{document}", f"PROMPT\n{tail}"]
    sources = stacked if wide else ["\n\n".join(stacked)]
    cells = [
        _cell(text, width)
        for text, width in zip([*sources, f"TEXT\n{each.text or '(none)'}"], widths, strict=True)
    ]
    if len(cells[-1]) > MOST_ROWS:
        cells[-1] = [*cells[-1][:MOST_ROWS], f"... steep status --call {each.call_id[:12]}"]
    for row in zip_longest(*cells, fillvalue=""):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield GAP.join(padded).rstrip()


def _cell(text: str, width: int) -> list[str]:
    """Return the lines of a text in a column; long words are broken."""
    return [piece for line in text.split("\n") for piece in textwrap.wrap(line, width) or [""]]
