from __future__ import annotations

import itertools
import json
import math
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.calls import Call
from steep.documents.document import Document
from steep.recipes.entigraph import (
    EntiGraph,
    EntityList,
    RelationCalls,
    combination,
    parse_entities,
    valid_entities,
)
from steep.recipes.recipe import Recipe

NAMES = tuple(f"Person {letter}" for letter in "ABCDEFG")
DOCUMENT = Document("d", "Seven people", f"There met {', '.join(NAMES)} and the Quillon Ferry.")
RECIPE = EntiGraph("m", pairs="all", triplets="all")


def answer(*names: str, summary: str = "They met.") -> str:
    return json.dumps({"summary": summary, "entities": names})


def relations(recipe: EntiGraph, document: Document = DOCUMENT) -> RelationCalls:
    return RelationCalls(recipe, document, NAMES)


def test_it_is_a_recipe() -> None:
    recipe: Recipe = RECIPE
    assert recipe.name == "entigraph"


@given(st.integers(0, 14), st.integers(1, 4))
def test_combinations_are_those_of_itertools(n: int, size: int) -> None:
    ours = [combination(n, size, rank) for rank in range(math.comb(n, size))]
    assert ours == list(itertools.combinations(range(n), size))


@pytest.mark.parametrize(("n", "rank"), [(5, 10), (5, -1), (1, 0)])
def test_there_is_no_further_combination(n: int, rank: int) -> None:
    with pytest.raises(IndexError, match="outside"):
        combination(n, 2, rank)


def test_all_pairs_and_triplets_come_once_pairs_first() -> None:
    calls = relations(RECIPE)
    assert len(calls) == 21 + 35
    subsets = [call.subset for call in calls]
    assert sorted(subsets[:21]) == sorted(itertools.combinations(NAMES, 2))
    assert sorted(subsets[21:]) == sorted(itertools.combinations(NAMES, 3))
    assert [call.stage for call in calls] == ["pair"] * 21 + ["triplet"] * 35
    assert subsets[:21] != list(itertools.combinations(NAMES, 2))


@given(st.integers(0, 30), st.integers(0, 50))
def test_a_cap_keeps_the_first_ones(pairs: int, triplets: int) -> None:
    whole = list(relations(RECIPE))
    kept = list(relations(replace(RECIPE, pairs=pairs, triplets=triplets)))
    assert kept == whole[: min(pairs, 21)] + whole[21 : 21 + triplets]


def test_order_depends_on_seed_and_document() -> None:
    orders = {
        tuple(call.subset for call in calls)
        for calls in (
            relations(RECIPE),
            relations(replace(RECIPE, seed=1)),
            relations(RECIPE, replace(DOCUMENT, id="e")),
        )
    }
    assert len(orders) == 3
    first_two = [("Person A", "Person D"), ("Person D", "Person E")]
    assert [call.subset for call in relations(RECIPE)[:2]] == first_two  # on every machine


def test_three_thousand_entities_cost_nothing() -> None:
    many = RelationCalls(RECIPE, DOCUMENT, tuple(f"Person {i}" for i in range(3000)))
    start = time.perf_counter()
    assert len(many) == math.comb(3000, 2) + math.comb(3000, 3)
    subsets = {many[index].subset for index in (0, 4_498_500, 10**9, len(many) - 1, -2)}
    assert time.perf_counter() - start < 1
    assert sorted(len(subset) for subset in subsets) == [2, 3, 3, 3, 3]


def test_slices_and_negative_indices_are_those_of_a_list() -> None:
    calls, whole = relations(RECIPE), list(relations(RECIPE))
    assert calls[-1] == whole[-1]
    assert calls[-len(whole)] == whole[0]
    for part in (slice(3), slice(19, 23), slice(-3, None), slice(50, 2, -7), slice(60, 70)):
        assert calls[part] == whole[part]
    assert list(reversed(calls)) == whole[::-1]
    for index in (56, -57):
        with pytest.raises(IndexError, match=f"index {index} is outside 56 calls"):
            calls[index]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_entities_have_no_relation(count: int) -> None:
    assert list(RelationCalls(RECIPE, DOCUMENT, NAMES[:count])) == []


def test_openings_go_on_until_there_are_enough_entities() -> None:
    recipe = EntiGraph("m", entity_attempts=3, min_entities=3)
    texts: list[str | None] = []
    asked: list[Call | None] = []
    for text in (None, answer(*NAMES[:2]), answer(*NAMES[1:3])):
        asked.append(recipe.opening(DOCUMENT, texts))
        texts.append(text)
    assert [call and call.sample for call in asked] == [0, 1, 2]
    assert len({call.id for call in asked if call}) == 3
    assert recipe.opening(DOCUMENT, texts) is None
    assert recipe.entities(DOCUMENT, texts) == EntityList("They met.", NAMES[:3])
    assert recipe.opening(DOCUMENT, [answer(*NAMES[:3])]) is None


def test_openings_end_when_tries_run_out() -> None:
    recipe = EntiGraph("m", entity_attempts=2)
    texts = [None, answer("The Moon", "Nobody")]
    assert recipe.opening(DOCUMENT, texts) is None
    assert list(recipe.calls(DOCUMENT, texts)) == []


def test_calls_use_the_first_entities_only() -> None:
    recipe = replace(RECIPE, max_entities=3)
    calls = recipe.calls(DOCUMENT, [answer(*NAMES)])
    assert {name for call in calls for name in call.subset} == set(NAMES[:3])
    assert len(calls) == 3 + 1


def test_a_passage_is_the_summary_or_the_text() -> None:
    opening = RECIPE.opening(DOCUMENT, [])
    assert opening is not None
    relation = relations(RECIPE)[0]
    assert RECIPE.passage(opening, answer("x", summary=" They\nmet. ")) == "They met."
    assert RECIPE.passage(opening, "nonsense") is None
    cut_off = answer("x", summary="They met. In 1874 he invented the Quell pump, a")
    assert RECIPE.passage(opening, cut_off) == "They met."
    assert RECIPE.passage(opening, answer("x", summary="A boat")) == "A boat"
    assert RECIPE.passage(opening, answer("x", summary="")) is None
    assert RECIPE.passage(relation, "### What it says") == "### What it says"


def test_entities_must_occur_in_the_document() -> None:
    text = "The Quillon Ferry crosses Lake Ostrel. R&D at Hask & Daughters; naïve co-op."
    names = ["the quillon ferry", "Quillon Ferry", "ferry", "Lake", "Lak", "Ostrel.", "Moon"]
    assert valid_entities(names, text) == ("the quillon ferry", "ferry", "Lake", "Ostrel.")
    assert valid_entities(["Hask & Daughters", "R&D", "NAÏVE", "co-op"], text) == (
        "Hask & Daughters",
        "R&D",
        "NAÏVE",
        "co-op",
    )
    assert valid_entities(["", " ", "---"], text) == ()


def test_names_that_differ_in_signs_are_different_entities() -> None:
    text = "It was begun in C, then in C++ and C#; on Windows it needs .NET. The net was torn."
    names = ["C", "C++", "C#", ".NET", "net", "F#"]
    assert valid_entities(names, text) == ("C", "C++", "C#", ".NET", "net")
    assert valid_entities(["C++", ".NET"], "The net of C.") == ()


@pytest.mark.parametrize(("most", "used"), [(None, 60), (3, 3)])
def test_a_longer_list_than_asked_for_is_cut(most: int | None, used: int) -> None:
    names = [f"Person{n:02d}" for n in range(90)]
    document = Document("d", "Ninety people", f"There met {', '.join(names)}.")
    recipe = EntiGraph("m", max_entities=most)
    text = answer(*names)
    assert recipe.entities(document, [text, text]).entities == tuple(names[:used])
    assert len(recipe.calls(document, [text])) == math.comb(used, 2)


def test_a_sentence_is_no_entity() -> None:
    text = "one two three four five six seven eight nine"
    assert valid_entities([text, text.removesuffix(" nine")], text) == (text.removesuffix(" nine"),)


WHOLE = '{"summary": "A boat.", "entities": ["Hask", "Lake  Ostrel"]}'
BOTH = EntityList("A boat.", ("Hask", "Lake Ostrel"))


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"```json\n{WHOLE}\n```",
        f"Sure! Here is the JSON:\n{WHOLE}\nI hope that {{this}} helps.",
        f"The {{format}} is: {WHOLE}",
        f'{WHOLE}\n{{"summary": "Again.", "entities": []}}',
        f'{{"answer": {WHOLE}}}',
        '{"thoughts": "hm", "summary": "A boat.", "entities": ["Hask", "Lake Ostrel"]}',
        '{"summary": "A\nboat.", "entities": ["Hask", 3, null, {"kind": "x"}, "Lake Ostrel"]}',
        '{"summary": "A boat.", "entities": [{"name": "Hask", "type": "firm"}, '
        '{"entity": "Lake Ostrel", "title": "x"}]}',
        '{"Summary": "A boat.", "Entities": [{"entity_name": "Hask"}, "Lake Ostrel"]}',
        '{"summary": "A boat.", "entities": {"firms": ["Hask"], "places": ["Lake Ostrel"]}}',
        f'<think>As {{"summary": "..", "entities": ["Moon"]}}, so</think>\n{WHOLE}',
        f'A draft: {{"summary": "..", "entities": ["Moon"]}}. The answer: {WHOLE}',
        "{'summary': 'A boat.', 'entities': ['Hask', 'Lake Ostrel',]}",
        '{"summary": "A boat.", "entities": ["Hask", "Lake Ostrel"',
        '{"summary": "A boat.", "entities": ["Hask", "Lake Ostrel',
    ],
)
def test_entities_are_read_from_what_models_write(text: str) -> None:
    assert parse_entities(text) == BOTH


def test_a_list_alone_holds_the_entities() -> None:
    assert parse_entities('Here: ["Hask", {"name": "Lake Ostrel"}]') == EntityList(
        "", BOTH.entities
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hask and Lake Ostrel.",
        "{",
        "{}",
        "[1, 2]",
        '{"entities": {"people": "Hask"}, "summary": 3}',
        '{"entities": "Hask"}',
        "{" * 2000,
        '{"entities": ' * 2000,
        "[" * 2000,
    ],
    ids=lambda text: text[:20],
)
def test_nonsense_holds_no_entities(text: str) -> None:
    assert parse_entities(text) == EntityList("", ())


@given(st.text())
def test_no_answer_is_an_accident(text: str) -> None:
    assert isinstance(parse_entities("{" + text), EntityList)


@given(st.integers(0, len(WHOLE)))
def test_an_answer_that_is_cut_off_holds_what_came_before(length: int) -> None:
    found = parse_entities(WHOLE[:length])
    assert BOTH.summary.startswith(found.summary)
    assert all(
        whole.startswith(part) for whole, part in zip(BOTH.entities, found.entities, strict=False)
    )


def test_the_key_changes_with_the_calls_and_not_with_triplets_at_the_end() -> None:
    key = relations(RECIPE).key
    assert relations(RECIPE).key == key
    assert relations(replace(RECIPE, triplets=3)).key == key
    changed = [
        relations(replace(RECIPE, pairs=3)),
        relations(replace(RECIPE, seed=1)),
        relations(replace(RECIPE, model="n")),
        relations(replace(RECIPE, temperature=0.1)),
        relations(replace(RECIPE, prompt_order="paper")),
        relations(RECIPE, replace(DOCUMENT, text=DOCUMENT.text + " Later.")),
        relations(RECIPE, replace(DOCUMENT, title="Eight people")),
        relations(RECIPE, replace(DOCUMENT, id="twin")),
        RelationCalls(RECIPE, DOCUMENT, NAMES[:-1]),
        RelationCalls(RECIPE, DOCUMENT, NAMES[::-1]),
    ]
    assert len({key, *(each.key for each in changed)}) == len(changed) + 1


def test_the_key_knows_the_triplets_where_no_pair_is_kept() -> None:
    none_kept = replace(RECIPE, pairs=0)
    other_text = replace(DOCUMENT, text=DOCUMENT.text + " Later.")
    assert relations(none_kept).key != relations(none_kept, other_text).key


def test_a_document_without_entities_has_a_key_too() -> None:
    assert len(RelationCalls(RECIPE, DOCUMENT, ())) == 0
    assert RelationCalls(RECIPE, DOCUMENT, ()).key
