"""The entities of the corpus: how many passages are about each, and which occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

from steep.core.formatting import plural, reasons
from steep.report.components import PageSection, absent, fold, section, table
from steep.report.html import Html
from steep.report.view_models import ReportData

SHOWN, LISTED = 20, 100  # entities in the table, and in the table with the folded one
MOST_COOCCURRING = 4  # named per entity


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity with its passages per document and per co-occurring entity."""

    name: str
    documents: Counter[str] = field(default_factory=Counter)
    cooccurring: Counter[str] = field(default_factory=Counter)

    @property
    def passages(self) -> int:
        """Return the number of passages about this entity and at least one other."""
        return self.documents.total()


def count_entities(run: ReportData) -> list[Entity]:
    """Count passages per entity; spellings that differ in case or spaces only are one entity."""
    found: dict[str, Entity] = {}
    for document_id, name in _extracted(run):
        entity = found.setdefault(_key(name), Entity(name))
        entity.documents[document_id] += 0
    for passage in run.corpus.passages if run.corpus else ():
        if len(passage.subset) < 2:
            continue
        for name in passage.subset:
            found.setdefault(_key(name), Entity(name))
        keys = sorted({_key(name) for name in passage.subset})
        for key in keys:
            found[key].documents[passage.document_id] += 1
        for one, other in permutations(keys, 2):
            found[one].cooccurring[found[other].name] += 1
    return sorted(found.values(), key=lambda entity: (-entity.passages, entity.name))


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def _extracted(run: ReportData) -> list[tuple[str, str]]:
    """Return the entities that the generator extracted, with the whole document of each part."""
    whole_of = run.documents.whole_of if run.documents else {}
    return [
        (whole_of.get(document_id, document_id), name)
        for document_id, names in (run.generation.entities if run.generation else {}).items()
        for name in names
    ]


def entities(run: ReportData) -> PageSection:
    """Return the section with the table of entities."""
    title = "Entities"
    found = count_entities(run)
    if not any(entity.passages for entity in found):
        why = "no passage of this run is about several entities" if found else "there are none"
        return section("graph", title, None, absent(f"No entities to list: {why}."))
    opening = (
        "The entities that the generator extracted from the documents, with the number of passages "
        "about each of them. Two entities co-occur when one passage is about both."
    )
    more = len(found) - LISTED
    note = (
        f"{plural(more, 'entity', 'entities')} with fewer passages not listed."
        if more > 0
        else None
    )
    shown, folded = found[:SHOWN], found[SHOWN:LISTED]
    rest = fold(f"{plural(len(folded), 'more entity', 'more entities')}", _table(run, folded, note))
    return section("graph", title, opening, _table(run, shown), rest if folded else None)


def _table(run: ReportData, found: Sequence[Entity], note: str | None = None) -> Html:
    rows = [
        (
            entity.name,
            _titles(run, entity),
            _most_frequent(entity),
            entity.passages,
            len(entity.cooccurring),
        )
        for entity in found
    ]
    counts = ("passages", "co-occurring entities")
    headings = ("entity", "documents", "most frequent co-occurrences", *counts)
    return table(headings, rows, note, texts=range(3))


def _titles(run: ReportData, entity: Entity) -> str:
    return "; ".join(run.title_of(document) for document, _ in entity.documents.most_common())


def _most_frequent(entity: Entity) -> str:
    ranked = sorted(entity.cooccurring.items(), key=lambda item: (-item[1], item[0]))
    return reasons(dict(ranked[:MOST_COOCCURRING]))
