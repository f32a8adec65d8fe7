"""The entities of the corpus: how many passages are about each, and which occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

from steep.core.formatting import plural, reasons
from steep.report.blocks import Column, Fold, PageSection, Table, absent, table
from steep.report.run_data import ReportData

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
    extracted = extracted_names(run)
    for passage in run.corpus.passages if run.corpus else ():
        if len(passage.subset) < 2 or not names_any(passage.subset, extracted):
            continue
        for name in passage.subset:
            found.setdefault(_key(name), Entity(name))
        keys = sorted({_key(name) for name in passage.subset})
        for key in keys:
            found[key].documents[passage.document_id] += 1
        for one, other in permutations(keys, 2):
            found[one].cooccurring[found[other].name] += 1
    return sorted(found.values(), key=lambda entity: (-entity.passages, entity.name))


def extracted_names(run: ReportData) -> frozenset[str]:
    """Return the entities that the generator extracted, folded."""
    return frozenset(_key(name) for _, name in _extracted(run))


def names_any(subset: Sequence[str], extracted: frozenset[str]) -> bool:
    """Return whether a passage is about entities, rather than a style, a question or a strategy."""
    return any(_key(name) in extracted for name in subset)


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def _extracted(run: ReportData) -> Iterator[tuple[str, str]]:
    """Yield the entities that the generator extracted, with the whole document of each part."""
    whole_of = run.documents.whole_of if run.documents else {}
    for document_id, names in (run.generation.entities if run.generation else {}).items():
        yield from ((whole_of.get(document_id, document_id), name) for name in names)


def entities(run: ReportData) -> PageSection:
    """Return the section with the table of entities."""
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
    return PageSection("graph", title, opening, [_table(run, shown), rest])


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
    ranked = sorted(entity.cooccurring.items(), key=lambda item: (-item[1], item[0]))
    return reasons(dict(ranked[:MOST_COOCCURRING]))
