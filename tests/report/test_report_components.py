"""Entities, curves, ticks and samples: the arithmetic behind tables and pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.files import write_rows
from steep.core.formatting import duration, points
from steep.corpus.diversity_result import Diversity
from steep.corpus.passage import PASSAGES_NAME, Passage
from steep.report.blocks import Table
from steep.report.charts import ticks
from steep.report.drawing import draw_section
from steep.report.entity_counts import count_entities, extracted_names
from steep.report.html import el, number
from steep.report.results import ResultTables
from steep.report.run_data import (
    CorpusSummary,
    Documents,
    Generation,
    InformationWindow,
    ReportData,
    SamplePassage,
)
from steep.report.sections.corpus import _recipe_table
from steep.report.sections.diversity import diversity
from steep.report.sections.entities import LISTED, SHOWN, entities
from steep.report.sections.generation import cost
from steep.report.sections.new_information import new_information
from steep.report.sections.samples import sample_passages
from steep.report.sections.training import MOST_POINTS, running_mean, thin


def passage(number: int, document: str, *subset: str) -> SamplePassage:
    return SamplePassage(f"p{number}", document, f"c{number}", number, "entigraph", subset, 50)


def small_run(
    passages: list[SamplePassage], entities: dict[str, list[str]], corpus: Path = Path()
) -> ReportData:
    wholes = {"a#1": "a", "a#2": "a", "b": "b"}
    generation = Generation(counts={}, entities=entities)
    return ReportData(
        name="r",
        created="",
        hardware="",
        wall_s={},
        config_text="",
        config={},
        artifacts=[],
        documents=Documents({"a": "A", "b": "B"}, wholes),
        generation=generation,
        corpus=CorpusSummary(corpus, {}, {}, {}, passages, []),
        arms=[],
        tables=ResultTables(),
    )


def write_texts(corpus: Path, passages: list[SamplePassage], text: str = "a text") -> None:
    rows = (
        Passage(each.id, text, each.document_id, each.call_id, each.rank, each.recipe,
                tuple(each.subset), each.words)
        for each in passages
    )  # fmt: skip
    write_rows(corpus / PASSAGES_NAME, list(rows), Passage)


def test_entities_are_merged_over_spellings_and_parts() -> None:
    entities = {"a#1": ["Moon  Valve", "Brask"], "a#2": ["moon valve"], "b": ["Brask", "Lund"]}
    run = small_run(
        [passage(1, "a", "Brask", "Moon Valve"), passage(2, "b", "Brask", "LUND")], entities
    )

    found = {entity.name: entity for entity in count_entities(run)}

    assert list(found) == ["Brask", "Lund", "Moon  Valve"]
    assert found["Brask"].passages == 2
    assert found["Brask"].documents == {"a": 1, "b": 1}
    assert found["Moon  Valve"].documents == {"a": 1}
    assert found["Brask"].cooccurring == {"Moon  Valve": 1, "Lund": 1}


def test_a_triplet_joins_three_pairs_and_a_single_entity_none() -> None:
    passages = [passage(1, "a", "x", "y", "z"), passage(2, "a", "x")]
    found = count_entities(small_run(passages, {"a": ["x"]}))

    assert [sorted(entity.cooccurring) for entity in found] == [["y", "z"], ["x", "z"], ["x", "y"]]
    assert {entity.passages for entity in found} == {1}


def test_questions_and_prompts_are_no_entities_and_few_parts_have_a_row_each() -> None:
    texts = [
        *(("focal", (f"Why {i}?", "Retell it")) for i in range(11)),
        *(("spa", (prompt,)) for prompt in ("teacher", "mind-map", "teacher")),
        ("entigraph", ("x", "y")),
    ]
    passages = [
        SamplePassage(f"p{i}", "a", f"c{i}", i, recipe, subset, 50)
        for i, (recipe, subset) in enumerate(texts)
    ]
    run = small_run(passages, {"a": ["x", "y"]})
    assert [entity.name for entity in count_entities(run)] == ["x", "y"]
    assert run.corpus is not None
    rows = _recipe_table(run.corpus, extracted_names(run)).rows
    assert [(name, number) for name, number, *_ in rows] == [
        ("entigraph, pairs", 1), ("focal", 11), ("spa, mind-map", 1), ("spa, teacher", 2),
    ]  # fmt: skip


def test_the_most_frequent_cooccurrences_stand_first_and_the_rest_is_folded(
    tmp_path: Path,
) -> None:
    pairs = [("hub", f"e{number:03}") for number in range(LISTED + 4)]
    passages = [passage(i, "a", *pair) for i, pair in enumerate([*pairs, *pairs[7:8]])]

    write_texts(tmp_path, passages)
    text = draw_section(entities(small_run(passages, {"a": ["hub"]}, tmp_path)), {}).text

    assert "e007 (2), e000 (1), e001 (1), e002 (1)<" in text
    assert f"{LISTED - SHOWN} more entities" in text and "5 entities with fewer passages" in text
    assert text.count("<tr>") == LISTED + 2


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


def test_samples_have_all_recipes_before_a_second_one_of_any() -> None:
    rows = [passage(i, f"d{i % 7}") for i in range(50)]
    rows += [replace(passage(60 + i, "d1"), recipe=f"r{i % 3}") for i in range(6)]
    shown = [row.recipe for row in sample_passages(rows, 8)]
    assert set(shown[:4]) == set(shown[4:]) == {"entigraph", "r0", "r1", "r2"}
    assert len({row.document_id for row in sample_passages(rows[:50], 7)}) == 7


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


def test_numbers_are_formatted() -> None:
    assert cost(None, own_machine=True) == "unknown"
    assert cost(0.00042, own_machine=False) == "$0.0004"
    assert duration(59.7) == "1 min 00 s"
    assert duration(3720) == "1 h 02 min"
    assert points(-0.0001) == "0.0"
    assert points(-0.05) == "\N{MINUS SIGN}5.0"


def test_the_diversity_of_texts_is_shown_by_recipe_and_model() -> None:
    found = Diversity(
        "qa", "gpt", 20, 4000, 12, 2000, 3.456, (0.1, 0.25, 0.5, 1.0), 0.0, 7,
        (0.5, 0.1234, 0.0, None), 9, 2 / 3, 30, None, 0.25, 1200, 0.9,
    )  # fmt: skip
    part = diversity([found])
    assert part is not None and diversity([]) is None
    within, source = (block for block in part.blocks if isinstance(block, Table))
    assert within.rows == [["qa (gpt)", 4000, 2000, "3.46", "25.0%", "100.0%", "0.0%"]]
    assert source.rows == [
        [
            "qa (gpt)",
            "50.00%",
            "12.34%",
            "0.00%",
            "none",
            "25.0%",
            "90.0% of 1,200",
            "66.7%",
            "none",
        ]
    ]
    assert source.caption is not None
    assert "7 documents with 9 entities and 30 pairs" in source.caption


def test_new_information_is_shown_from_first_to_last() -> None:
    windows = [InformationWindow(1000, 5000, 4000 - 200 * number) for number in range(20)]
    curves = {"qa": windows, "short": windows[:1]}
    part = new_information(Generation({}, {}, new_information=curves, exhausted=["qa"]))
    assert part is not None
    (shown,) = (block for block in part.blocks if isinstance(block, Table))
    assert len(shown.rows) == 8
    assert shown.rows[0] == ("qa", "1 to 1,000", 5000, "0.800", "100%")
    assert shown.rows[-1] == ("qa", "19,001 to 20,000", 5000, "0.040", "5%")
    assert shown.caption is not None and "Ended by generate.stop_when: qa." in shown.caption
    assert new_information(Generation({}, {}, new_information={"qa": windows[:1]})) is None
