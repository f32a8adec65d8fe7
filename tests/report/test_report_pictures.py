"""Graph, layout, curves and ticks: the arithmetic behind the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixture_run import ENTITIES, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.core.formatting import duration, points
from steep.report.components import cost
from steep.report.entity_graph import MOST_DOCUMENTS, build_graph, select
from steep.report.html import el, number
from steep.report.layout import Box, place_labels, place_nodes
from steep.report.loader import load_run
from steep.report.sampling import sample_passages
from steep.report.sections.training import MOST_POINTS, running_mean, thin
from steep.report.svg import ticks
from steep.report.view_models import CorpusSummary, Documents, Generation, ReportData, SamplePassage


def passage(number: int, document: str, *subset: str) -> SamplePassage:
    return SamplePassage(f"p{number}", document, f"c{number}", number, "entigraph", subset, 50)


def small_run(passages: list[SamplePassage], entities: dict[str, list[str]]) -> ReportData:
    wholes = {"a#1": "a", "a#2": "a", "b": "b"}
    generation = Generation("m", "e", {}, {}, None, [], entities, None, None)
    return ReportData(
        name="r",
        created="",
        hardware="",
        wall_s={},
        config_text="",
        config={},
        artifacts=[],
        documents=Documents({}, {"a": "A", "b": "B"}, wholes, []),
        generation=generation,
        corpus=CorpusSummary(Path(), {}, {}, passages, []),
        arms=[],
        scores=None,
        measured={},
    )


def test_entities_are_merged_over_spellings_and_parts() -> None:
    entities = {"a#1": ["Moon  Valve", "Brask"], "a#2": ["moon valve"], "b": ["Brask", "Lund"]}
    run = small_run(
        [passage(1, "a", "Brask", "Moon Valve"), passage(2, "b", "Brask", "LUND")], entities
    )

    graph = build_graph(run)

    found = {entity.name: entity for entity in graph.entities}
    assert set(found) == {"Moon  Valve", "Brask", "Lund"}
    assert found["Brask"].passages == 2
    assert set(found["Brask"].document_ids) == {"a", "b"}
    assert found["Moon  Valve"].document_ids == ["a"]
    assert sum(graph.shared.values()) == 2


def test_a_triplet_joins_three_pairs_and_a_single_entity_none() -> None:
    graph = build_graph(small_run([passage(1, "a", "x", "y", "z"), passage(2, "a", "x")], {}))

    assert len(graph.shared) == 3
    assert {entity.passages for entity in graph.entities} == {1}


def test_only_so_much_is_drawn_and_every_drawn_document_has_its_share() -> None:
    passages = [
        passage(document * 100 + entity, f"d{document}", f"{document}-{entity}", f"{document}-0")
        for document in range(MOST_DOCUMENTS + 3)
        for entity in range(1, 12)
    ]
    drawn = select(build_graph(small_run(passages, {})), 21)

    assert len(drawn.document_ids) == MOST_DOCUMENTS
    assert len(drawn.entities) == 21
    homes = [entity.document_ids[0] for entity in drawn.entities]
    assert {homes.count(document) for document in drawn.document_ids} == {3}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 1000))
def test_nodes_stay_in_the_box_and_names_never_cover_one_another(
    groups: list[int], seed: int
) -> None:
    box = Box(700, 500, 40)
    size = len(groups)
    edges = [(i, (i * 7 + seed) % size, 0.5) for i in range(size) if i != (i * 7 + seed) % size]
    radii, widths = [8.0] * size, [60.0 + seed % 50] * size

    positions = place_nodes(groups, edges, radii, box)
    labels = place_labels(positions, radii, widths, 15, box)

    assert positions == place_nodes(groups, edges, radii, box)
    assert all(40 <= x <= 660 and 40 <= y <= 460 for x, y in positions)
    spans = []
    for label, width in zip(labels, widths, strict=True):
        if label is not None:
            left = label.x - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
            spans.append((left, left + width, label.y - 12, label.y + 3))
    for i, (left, right, top, bottom) in enumerate(spans):
        assert left >= 0 and right <= box.width
        for other in spans[i + 1 :]:
            apart = right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top
            assert apart


def test_most_names_of_a_usual_graph_find_a_place(tmp_path: Path) -> None:
    from steep.report.entity_graph import draw

    run = load_run(tmp_path, write_run(tmp_path))

    picture = draw(build_graph(run), 960).text

    assert picture.count('class="name"') == len(
        {name for names in ENTITIES.values() for name in names}
    )
    assert "name hidden" not in picture


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low: float, extent: float) -> None:
    high = low + extent
    if high - low < 1e-9 * max(1.0, abs(low)):
        return
    found = ticks(low, high)

    assert 1 <= len(found) <= 12
    slack = 1e-6 * (high - low) + 1e-9 * abs(low)
    assert all(low - slack <= value <= high + slack for value in found)


def test_a_running_mean_keeps_lines_straight_and_the_ends_in_place() -> None:
    straight = [(float(x), 2.0 * x) for x in range(50)]

    smooth = running_mean(straight)

    assert [x for x, _ in smooth] == [x for x, _ in straight]
    assert [y for _, y in smooth] == pytest.approx([y for _, y in straight])
    assert running_mean([(1.0, 5.0)]) == [(1.0, 5.0)]


def test_a_long_curve_is_thinned_but_keeps_its_end() -> None:
    curve = [(float(x), 0.0) for x in range(MOST_POINTS * 3 + 1)]

    kept = thin(curve)

    assert len(kept) <= MOST_POINTS + 1
    assert kept[0] == curve[0] and kept[-1] == curve[-1]


def test_samples_are_spread_over_documents_whatever_the_order_of_the_rows() -> None:
    rows = [passage(i, "big") for i in range(50)] + [passage(99, "small"), passage(98, "other")]

    shown = sample_passages(rows, 5)

    assert {"small", "other"} < {row.document_id for row in shown}
    assert sample_passages(rows[::-1], 5) == shown


def test_raw_texts_are_shown_only_when_there_is_nothing_else() -> None:
    raw = SamplePassage("raw", "a", None, 0, "documents", (), 90)

    assert sample_passages([raw, passage(1, "a")], 5) == [passage(1, "a")]
    assert sample_passages([raw], 5) == [raw]


def test_markup_is_only_what_was_built_as_markup() -> None:
    assert el("p", "a<b", title='"&').text == '<p title="&quot;&amp;">a&lt;b</p>'
    assert el("p", el("b", "x"), None, class_="c", hidden=True, id=None).text == (
        '<p class="c" hidden><b>x</b></p>'
    )
    assert [number(value) for value in (-0.001, 10.0, 1.239, -2.5)] == ["0", "10", "1.24", "-2.5"]


def test_numbers_are_said_with_care() -> None:
    assert cost(None, own_machine=True) == "unknown"
    assert cost(0.00042, own_machine=False) == "$0.0004"
    assert duration(59.7) == "1 min 00 s"
    assert duration(3720) == "1 h 02 min"
    assert points(-0.0001) == "0.0"
    assert points(-0.05) == "\N{MINUS SIGN}5.0"
