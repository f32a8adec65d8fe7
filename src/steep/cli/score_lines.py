"""The results of an evaluation for a terminal: the sections of the page without charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import typer

from steep.core.formatting import plural
from steep.core.tables import table, wrap_text
from steep.evaluation.results import Scores
from steep.report.blocks import Block, Bullets, Fold, PageSection, Part, Table
from steep.report.conclusions import headline
from steep.report.plain import cell_text, heading_text
from steep.report.render import result_sections
from steep.report.results import ResultTables


def print_scores(scores: Scores) -> None:
    """Print the tables and sentences of each result."""
    for section in result_sections(ResultTables.of(scores)):
        print_section(section)
    typer.echo()
    for reason, number in Counter(each.reason for each in scores.skipped).items():
        typer.echo(wrap_text(f"not scored: {plural(number, 'question')}, {reason}"))


def print_headline(scores: Scores) -> None:
    """Print the first sentence of the report, where there are closed-book questions."""
    for found, how in ResultTables.of(scores).closed_book()[:1]:
        typer.echo(wrap_text(headline(found, how), hang=0))


def print_section(section: PageSection) -> None:
    """Print the text and tables of a section."""
    typer.echo(f"\n{section.title.upper()}")
    typer.echo(wrap_text(section.opening or "", hang=0))
    print_blocks(section.blocks)


def print_blocks(blocks: Iterable[Block]) -> None:
    """Print text and tables."""
    for line in _lines(blocks):
        typer.echo(wrap_text(line, hang=0))


def _lines(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        match block:
            case str():
                yield from ("", block)
            case Bullets():
                yield from ("", *(f"- {each}" for each in block.items))
            case Part() if not block.is_detail:
                yield from ("", f"{block.heading}:", *_lines(block.blocks))
            case Fold() if block.is_printed:
                yield from _lines(block.blocks)
            case Table():
                yield from ("", *_table(block))


def _table(found: Table) -> list[str]:
    rows = [[heading_text(each) for each in found.headings]]
    rows += [[cell_text(cell) for cell in row] for row in found.rows]
    return [*table(rows, rule=True, texts=found.texts), *([found.caption] if found.caption else [])]
