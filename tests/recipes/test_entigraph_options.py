"""Options of EntiGraph beside the paper's defaults: mixed, by coreness, questions, no summaries."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipe_documents import CHINESE, GERMAN, calls_of, golden, recipe_of, rendered

from steep.core.calls import Call
from steep.documents.document import Document
from steep.recipes.coreness import by_coreness, page_rank
from steep.recipes.recipe import Answers
from steep.recipes.subsets import low_members_first

NAMES = ("Ada", "Bea", "Cem", "Dora", "Eli")
# Cem shares a sentence with everybody; Eli with Cem alone; Ada with Bea twice.
STORY = Document(
    "story",
    "Five people",
    "Ada, Bea and Cem met at the lake. Ada thanked Bea. Dora saw Cem! Cem and Eli left it there. "
    "Dora asked Ada why.",
)


def listed(*names: str) -> Answers:
    return {"entities": [json.dumps({"summary": "They met.", "entities": names})]}


def calls(step: str, names: tuple[str, ...] = NAMES, **options: Any) -> list[Call]:
    recipe = recipe_of("entigraph", {"triplets": "all", **options})
    return calls_of(recipe, step, STORY, listed(*names))


@given(st.integers(0, 9), st.integers(1, 4))
def test_subsets_of_low_members_come_first(n: int, size: int) -> None:
    ours = [low_members_first(n, size, rank) for rank in range(math.comb(n, size))]
    every = itertools.combinations(range(n), size)
    assert ours == sorted(every, key=lambda subset: subset[::-1])
    with pytest.raises(IndexError):
        low_members_first(n, size, len(ours))


def test_page_rank_is_that_of_networkx() -> None:
    edges = {(0, 1): 2, (0, 2): 1, (1, 2): 1, (2, 3): 1, (2, 4): 1, (0, 3): 1}
    graph = networkx.Graph()
    graph.add_nodes_from(range(6))  # the last one has no edge
    graph.add_weighted_edges_from((one, other, weight) for (one, other), weight in edges.items())
    expected = networkx.pagerank(graph, tol=1e-12, max_iter=1000)
    assert page_rank(6, edges) == pytest.approx([expected[node] for node in range(6)], abs=1e-4)


def test_pairs_of_central_entities_come_first_and_are_the_same_calls() -> None:
    ranked = [NAMES[place] for place in by_coreness(NAMES, STORY.text)]
    assert ranked[0] == "Cem" and ranked[1] == "Ada" and ranked[-1] == "Eli"
    core, seeded = calls("pairs", order="coreness"), calls("pairs")
    assert core[0].subset == ("Ada", "Cem")
    assert all("Eli" in call.subset for call in core[6:])
    assert {call.id for call in core} == {call.id for call in seeded} and core != seeded
    assert set(calls("triplets", order="coreness")[0].subset) == set(ranked[:3])


def test_more_calls_in_order_of_coreness_keep_the_first_ones() -> None:
    few, many = (
        recipe_of("entigraph", {"pairs": pairs, "order": "coreness"}).step("pairs")
        for pairs in (4, "all")
    )
    short, long = few.calls(STORY, listed(*NAMES)), many.calls(STORY, listed(*NAMES))
    assert [short[rank] for rank in range(4)] == [long[rank] for rank in range(4)]
    assert short.key == long.key
    seeded = recipe_of("entigraph").step("pairs").calls(STORY, listed(*NAMES))
    assert seeded.key != long.key


@pytest.mark.parametrize(
    ("document", "names", "first"),
    [
        (GERMAN, ("Winter", "Hask", "Fähre", "Stahlseil"), {1, 2, 3}),
        (CHINESE, ("春天", "渡船", "奥斯特雷尔湖"), {1, 2}),
    ],
)
def test_coreness_knows_forms_and_scripts(
    document: Document, names: tuple[str, ...], first: set[int]
) -> None:
    assert set(by_coreness(names, document.text)[: len(first)]) == first


def test_entities_without_a_shared_sentence_keep_their_order() -> None:
    assert by_coreness(("Bea", "Ada"), "Ada came. Bea left.") == (0, 1)
    assert by_coreness((), "Nobody came.") == ()


def test_mixed_pairs_and_triplets_take_turns() -> None:
    pairs, triplets = calls("pairs", pairs=3), calls("triplets", pairs=3, triplets=5)
    mixed = calls("relations", mix=True, pairs=3, triplets=5)
    assert [len(call.subset) for call in mixed] == [2, 3, 2, 3, 2, 3, 3, 3]
    assert {call.id for call in mixed} == {call.id for call in pairs + triplets}
    assert [call.id for call in mixed if len(call.subset) == 3] == [call.id for call in triplets]
    assert {call.stage for call in mixed} == {"relations"}


def test_a_higher_cap_of_the_mix_keeps_the_first_calls_and_their_key() -> None:
    few, many = (
        recipe_of("entigraph", {"mix": True, "pairs": 3, "triplets": number}).step("relations")
        for number in (4, 9)
    )
    short, long = few.calls(STORY, listed(*NAMES)), many.calls(STORY, listed(*NAMES))
    assert [short[rank] for rank in range(7)] == [long[rank] for rank in range(7)]
    assert short.key == long.key
    only = recipe_of("entigraph", {"mix": True, "pairs": 3}).step("relations")
    assert only.calls(STORY, listed(*NAMES)).key != long.key


def test_a_mix_is_planned_as_its_parts() -> None:
    options = {"pairs": 2, "triplets": 2}
    parts = recipe_of("entigraph", options)
    mixed = recipe_of("entigraph", {**options, "mix": True}).step("relations")
    apart = parts.step("pairs").expected_calls(STORY) + parts.step("triplets").expected_calls(STORY)
    assert mixed.expected_calls(STORY) == apart
    assert len(mixed.specimen(STORY).subset) == 2
    triplets_alone = recipe_of("entigraph", {"pairs": 0, "triplets": 9, "mix": True})
    assert len(triplets_alone.step("relations").specimen(STORY).subset) == 3


def test_summaries_can_be_left_out_of_the_corpus() -> None:
    assert recipe_of("entigraph").step("entities").gives_text
    assert not recipe_of("entigraph", {"summary": False}).step("entities").gives_text


def test_the_first_version_of_the_paper_has_questions() -> None:
    asked = calls("questions", questions=True)
    assert sorted(call.subset for call in asked) == [(name,) for name in NAMES]
    recipe = recipe_of("entigraph", {"questions": True, "triplets": 1})
    assert [step.name for step in recipe.steps] == ["entities", "questions", "pairs", "triplets"]
    some = [
        calls(step, NAMES[:3], questions=True)[0] for step in ("questions", "pairs", "triplets")
    ]
    assert rendered(some) == golden("entigraph_v1")


def test_questions_need_the_full_prompts() -> None:
    with pytest.raises(ValueError, match="questions: true needs prompt: full"):
        recipe_of("entigraph", {"questions": True, "prompt": "compact"})


@pytest.mark.parametrize(
    ("document", "language", "names"),
    [(GERMAN, "German", ("Hask", "Ostrelsee")), (CHINESE, "Chinese", ("渡船", "钢缆"))],
)
def test_questions_are_asked_for_in_the_language_of_the_document(
    document: Document, language: str, names: tuple[str, ...]
) -> None:
    recipe = recipe_of("entigraph", {"questions": True})
    for step in ("questions", "pairs"):
        for call in calls_of(recipe, step, document, listed(*names)):
            assert f"Write the whole answer in {language}" in call.messages[-1].content
