"""The entity graph: what was written about together."""

from __future__ import annotations

from steep.core.formatting import count, plural
from steep.report.components import (
    Column,
    PageSection,
    absent,
    figure,
    fold,
    section,
    table,
    text_column,
)
from steep.report.entity_graph import (
    MOST_NODES_NARROW,
    MOST_NODES_WIDE,
    Graph,
    build_graph,
    draw,
    select,
)
from steep.report.html import Child, Html, el, join
from steep.report.svg import responsive, series_class
from steep.report.view_models import ReportData

MOST_LISTED = 100  # entities in the table


def entity_graph(run: ReportData) -> PageSection:
    """The picture of what was written about together."""
    title = "What was written about"
    graph = build_graph(run)
    used = [entity for entity in graph.entities if entity.passages]
    if not used:
        why = (
            "No passage of this run is about a choice of entities, so there is no graph to draw."
            if graph.entities
            else "This run has no entities, so there is no graph to draw."
        )
        return section("graph", title, None, absent(why))
    opening = (
        "Each dot is an entity that the generator found in a document. Two are joined when a "
        "passage is about both; a larger dot is in more passages. Entities with a ring were found "
        "in several documents."
    )
    return section(
        "graph",
        title,
        opening,
        figure(_picture(run, graph), _caption(graph)),
        _entity_table(run, graph),
    )


def _picture(run: ReportData, graph: Graph) -> Html:
    """The graph, its colors, and the line where `graph.js` says what is pointed at."""
    documents = select(graph, MOST_NODES_WIDE).document_ids
    legend = [
        el(
            "span",
            el("i", class_=f"swatch {series_class(i + 1)}"),
            run.title_of(document),
            class_="key",
        )
        for i, document in enumerate(documents)
    ]
    hint = "Point at a dot, or tap it, to see its name and what it is joined to."
    return join(
        [
            responsive(lambda width: draw(graph, width)),
            el("p", *legend, class_="legend"),
            el("p", hint, id="graph-says", class_="says", aria_live="polite"),
        ]
    )


def _caption(graph: Graph) -> Html:
    return join(
        [
            "Entities in the color of the document in which they have most passages. ",
            el("span", _hidden(graph, MOST_NODES_WIDE), class_="wide-text"),
            el("span", _hidden(graph, MOST_NODES_NARROW), class_="narrow-text"),
        ]
    )


def _hidden(graph: Graph, most_nodes: int) -> str:
    """How much of the graph is not in the picture."""
    drawn = select(graph, most_nodes)
    used = [entity for entity in graph.entities if entity.passages]
    homes = {entity.document_ids[0] for entity in used}
    sentences = [
        f"Drawn: {count(len(drawn.entities))} of {plural(len(used), 'entity', 'entities')}."
    ]
    if len(homes) > len(drawn.document_ids):
        sentences.append(f"Of {len(homes)} documents, those with the most passages are shown.")
    unused = len(graph.entities) - len(used)
    if unused:
        sentences.append(
            f"{plural(unused, 'more entity is', 'more entities are')} in no passage that was kept."
        )
    return " ".join(sentences)


def _entity_table(run: ReportData, graph: Graph) -> Html:
    """The graph in words: for readers who do not see it, and for print."""
    degree = graph.degree()
    rows: list[list[Child]] = [
        [
            entity.name,
            "; ".join(run.title_of(document) for document in entity.document_ids),
            count(entity.passages),
            count(degree[entity.name]),
        ]
        for entity in graph.entities[:MOST_LISTED]
    ]
    columns = [
        text_column("entity"),
        text_column("documents"),
        Column("passages"),
        Column("joined to"),
    ]
    more = len(graph.entities) - len(rows)
    note = f"{plural(more, 'entity', 'entities')} with fewer passages not listed." if more else None
    return fold("The entities as a table", table(columns, rows, note))
