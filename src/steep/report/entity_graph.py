"""The entity graph: what the generator wrote about together.

Nodes are entities, two of them are joined when a passage is about both. Only some fit on a page:
the documents with the most passages are drawn, and of each the entities with the most; how many are
left out is part of the graph, so that the page can say it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from steep.core.formatting import plural, shorten
from steep.report.html import Html, el
from steep.report.layout import Box, Label, place_labels, place_nodes
from steep.report.svg import frame, series_class, text_width
from steep.report.view_models import CorpusSummary, ReportData

MOST_DOCUMENTS = 7
MOST_NODES_WIDE, MOST_NODES_NARROW = 56, 21
LABEL_CHARACTERS_WIDE, LABEL_CHARACTERS_NARROW = 26, 20


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity, the documents that it was found in (the one with most passages first)."""

    name: str
    document_ids: Sequence[str]
    passages: int


@dataclass(frozen=True, slots=True)
class Graph:
    """All entities by falling number of passages, and the passages that each two share."""

    entities: Sequence[Entity]
    shared: Mapping[tuple[str, str], int]

    def degree(self) -> Counter[str]:
        """With how many others each entity shares a passage."""
        return Counter(name for pair in self.shared for name in pair)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The part of a graph that fits: its documents in order of color, and its entities."""

    document_ids: Sequence[str]
    entities: Sequence[Entity]


def build_graph(run: ReportData) -> Graph:
    """Count entities and their pairs over all passages of the run."""
    names, homes = _listed(run)
    passages: Counter[str] = Counter()
    shared: Counter[tuple[str, str]] = Counter()
    for document_id, subset in _subsets(run.corpus):
        keys = sorted({_key(name) for name in subset})
        for name in subset:
            names.setdefault(_key(name), name)
        passages.update(keys)
        shared.update(combinations(keys, 2))
        for key in keys:
            homes[key][document_id] += 1
    entities = [
        Entity(name, [home for home, _ in homes[key].most_common()], passages[key])
        for key, name in names.items()
    ]
    entities.sort(key=lambda entity: (-entity.passages, entity.name))
    return Graph(entities, {(names[a], names[b]): n for (a, b), n in sorted(shared.items())})


def _key(name: str) -> str:
    """Spellings that differ in case or spaces only are one entity."""
    return " ".join(name.split()).casefold()


def _listed(run: ReportData) -> tuple[dict[str, str], defaultdict[str, Counter[str]]]:
    """Names and documents as the entity lists have them, parts counted to their whole."""
    names: dict[str, str] = {}
    homes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    whole_of = run.documents.whole_of if run.documents else {}
    for document_id, entities in (run.generation.entities if run.generation else {}).items():
        for name in entities:
            names.setdefault(_key(name), name)
            homes[_key(name)][whole_of.get(document_id, document_id)] += 0
    return names, homes


def _subsets(corpus: CorpusSummary | None) -> Iterable[tuple[str, Sequence[str]]]:
    for passage in corpus.passages if corpus else ():
        if len(passage.subset) > 1:
            yield passage.document_id, passage.subset


def select(graph: Graph, most_nodes: int) -> Drawn:
    """The documents with most entities in passages, and a fair share of entities from each."""
    used = [entity for entity in graph.entities if entity.passages]
    weight: Counter[str] = Counter()
    for entity in used:
        weight[entity.document_ids[0]] += entity.passages
    documents = sorted(weight, key=lambda document: (-weight[document], document))[:MOST_DOCUMENTS]
    share: Counter[str] = Counter()
    ranked = []
    for entity in used:
        home = entity.document_ids[0]
        if home in documents:
            ranked.append((share[home], -entity.passages, entity.name, entity))
            share[home] += 1
    chosen = {entity.name for *_, entity in sorted(ranked, key=lambda row: row[:3])[:most_nodes]}
    return Drawn(documents, [entity for entity in used if entity.name in chosen])


def draw(graph: Graph, width: int) -> Html:
    """The picture; `graph.js` adds the highlight, and without it every node has a tooltip."""
    narrow = width < 500
    drawn = select(graph, MOST_NODES_NARROW if narrow else MOST_NODES_WIDE)
    box = Box(width, 540 if narrow else 640, 34 if narrow else 46)
    radii = [_radius(entity, graph, narrow) for entity in drawn.entities]
    groups = [drawn.document_ids.index(entity.document_ids[0]) for entity in drawn.entities]
    edges = _edges(graph, drawn.entities)
    heaviest = max((n for _, _, n in edges), default=1)
    positions = place_nodes(groups, [(a, b, n / heaviest) for a, b, n in edges], radii, box)
    names = [
        shorten(entity.name, LABEL_CHARACTERS_NARROW if narrow else LABEL_CHARACTERS_WIDE)
        for entity in drawn.entities
    ]
    widths = [text_width(name, 12.5) for name in names]
    labels = place_labels(positions, radii, widths, 15, box)
    degree = graph.degree()
    lines = [_edge(a, b, n / heaviest, positions) for a, b, n in edges]
    nodes = [
        _node(index, entity, groups[index], positions[index], radii[index], degree[entity.name])
        for index, entity in enumerate(drawn.entities)
    ]
    texts = [
        _label(index, name, positions[index], radii[index], labels[index], width)
        for index, name in enumerate(names)
    ]
    title = f"Entity graph: {plural(len(nodes), 'entity', 'entities')}, joined by shared passages"
    return frame(
        width,
        box.height,
        title,
        el("g", *lines, class_="edges"),
        el("g", *nodes),
        el("g", *texts),
        class_="graph",
    )


def _radius(entity: Entity, graph: Graph, narrow: bool) -> float:
    """The area of a node says its number of passages."""
    share = math.sqrt(entity.passages / graph.entities[0].passages)
    return 3 + share * (7 if narrow else 10)


def _edges(graph: Graph, entities: Sequence[Entity]) -> list[tuple[int, int, int]]:
    index = {entity.name: i for i, entity in enumerate(entities)}
    return [
        (index[a], index[b], n) for (a, b), n in graph.shared.items() if a in index and b in index
    ]


def _edge(a: int, b: int, share: float, positions: Sequence[tuple[float, float]]) -> Html:
    (x1, y1), (x2, y2) = positions[a], positions[b]
    return el(
        "line",
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        stroke_width=0.6 + 1.8 * share,
        data_a=str(a),
        data_b=str(b),
    )


def _node(
    index: int, entity: Entity, group: int, at: tuple[float, float], radius: float, degree: int
) -> Html:
    facts = f"{plural(entity.passages, 'passage')}, together with {plural(degree, 'other')}"
    if len(entity.document_ids) > 1:
        facts += f", in {plural(len(entity.document_ids), 'document')}"
    several = " several" if len(entity.document_ids) > 1 else ""
    return el(
        "circle",
        el("title", f"{entity.name}: {facts}"),
        cx=at[0],
        cy=at[1],
        r=radius,
        class_=f"node {series_class(group + 1)}{several}",
        data_node=str(index),
    )


def _label(
    index: int,
    name: str,
    at: tuple[float, float],
    radius: float,
    label: Label | None,
    width: int,
) -> Html:
    """A name; one that found no free place is only shown when its node is looked at."""
    kind = "name"
    if label is None:
        kind = "name hidden"
        anchor = "end" if at[0] > width / 2 else "start"
        shift = -radius - 4 if anchor == "end" else radius + 4
        label = Label(at[0] + shift, at[1] + 4.5, anchor)
    return el(
        "text",
        name,
        x=label.x,
        y=label.y,
        text_anchor=label.anchor,
        class_=kind,
        data_name=str(index),
    )
