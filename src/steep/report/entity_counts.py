"""Count the passages about each entity, and the entities that occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import permutations

from steep.report.run_data import ReportData


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

    def most_frequent(self, number: int) -> list[tuple[str, int]]:
        """Return so many co-occurring entities with the passages about both."""
        return nsmallest(number, self.cooccurring.items(), key=lambda each: (-each[1], each[0]))


def count_entities(run: ReportData) -> list[Entity]:
    """Count passages per entity; spellings that differ in case or spaces only are one entity."""
    found: dict[str, Entity] = {}
    for document_id, name in _extracted(run):
        entity = found.setdefault(entity_key(name), Entity(name))
        entity.documents[document_id] += 0
    extracted = extracted_names(run)
    for passage in run.corpus.passages if run.corpus else ():
        if len(passage.subset) < 2 or not names_any(passage.subset, extracted):
            continue
        for name in passage.subset:
            found.setdefault(entity_key(name), Entity(name))
        keys = sorted({entity_key(name) for name in passage.subset})
        for key in keys:
            found[key].documents[passage.document_id] += 1
        for one, other in permutations(keys, 2):
            found[one].cooccurring[found[other].name] += 1
    return sorted(found.values(), key=lambda entity: (-entity.passages, entity.name))


def extracted_names(run: ReportData) -> frozenset[str]:
    """Return the entities that the generator extracted, folded."""
    return frozenset(entity_key(name) for _, name in _extracted(run))


def names_any(subset: Sequence[str], extracted: frozenset[str]) -> bool:
    """Return whether a passage is about entities, rather than a style, a question or a strategy."""
    return any(entity_key(name) in extracted for name in subset)


def entity_key(name: str) -> str:
    """Return the form in which names of entities are compared: without case and extra spaces."""
    return " ".join(name.split()).casefold()


def _extracted(run: ReportData) -> Iterator[tuple[str, str]]:
    """Yield the entities that the generator extracted, with the whole document of each part."""
    whole_of = run.documents.whole_of if run.documents else {}
    for document_id, names in (run.generation.entities if run.generation else {}).items():
        yield from ((whole_of.get(document_id, document_id), name) for name in names)
