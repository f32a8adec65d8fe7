"""The entities of the corpus: how many passages are about each, and which occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from steep.core.formatting import count, plural, reasons
from steep.report.blocks import Block, Column, Fold, PageSection, Table, absent, table
from steep.report.entity_counts import Entity, count_entities
from steep.report.entity_data import explorer_data
from steep.report.html import Html, data_block, el, join
from steep.report.run_data import ReportData

SHOWN, LISTED = 20, 100  # entities in the table, and in the table with the folded one
MOST_COOCCURRING = 4  # named per entity


def entities(run: ReportData) -> PageSection:
    """Return the section: an explorer by script, and the table of entities."""
    title, found = "Entities", count_entities(run)
    if not any(entity.passages for entity in found):
        why = "no passage of this run is about several entities" if found else "there are none"
        return PageSection("graph", title, None, [absent(f"No entities to list: {why}.")])
    opening = (
        "The entities that the generator extracted from the documents, with the number of passages "
        "about each of them. Two entities co-occur when one passage is about both."
    )
    more, note = len(found) - LISTED, None
    if more > 0:
        note = f"{plural(more, 'entity', 'entities')} with fewer passages not listed."
    shown, folded = found[:SHOWN], found[SHOWN:LISTED]
    heading = plural(len(folded), "more entity", "more entities")
    rest = Fold(heading, [_table(run, folded, note)]) if folded else None
    blocks: list[Block] = [_explorer(run, found), _table(run, shown), rest]
    return PageSection("graph", title, opening, blocks)


def _explorer(run: ReportData, found: Sequence[Entity]) -> Html:
    """Return the empty explorer with its data; `scripts/entities.js` fills it."""
    data = explorer_data(run, found)
    about = sum(each.passages > 0 for each in found)
    note = (
        f"In this page: {count(data.entities)} of {plural(about, 'entity', 'entities')}, and "
        f"{count(data.passages)} of the {plural(data.all_passages, 'passage')} about them."
    )
    return join(
        [
            el("div", el("p", note, class_="note"), id="explorer", hidden=True),
            data_block("entity-data", data.value),
        ]
    )


def _table(run: ReportData, found: Sequence[Entity], note: str | None = None) -> Table:
    columns: tuple[Column[Entity], ...] = (
        ("entity", lambda entity: entity.name),
        ("documents", lambda entity: "; ".join(map(run.title_of, _ranked(entity.documents)))),
        ("most frequent co-occurrences", _most_frequent),
        ("passages", lambda entity: entity.passages),
        ("co-occurring entities", lambda entity: len(entity.cooccurring)),
    )
    return table(found, columns, note, texts=range(3))


def _ranked(counts: Counter[str]) -> list[str]:
    return [name for name, _ in counts.most_common()]


def _most_frequent(entity: Entity) -> str:
    return reasons(dict(entity.most_frequent(MOST_COOCCURRING)))
