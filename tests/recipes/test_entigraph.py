from __future__ import annotations

import itertools
import json
import math
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.calls import Sampling
from steep.documents.document import Document
from steep.recipes.entigraph import (
    EntiGraph,
    EntiGraphOptions,
    Relations,
    entigraph,
)
from steep.recipes.entities import EntityList, parse_entities, valid_entities
from steep.recipes.recipe import Recipe, Repeated, Writer
from steep.recipes.subsets import combination

NAMES = tuple(f"Person {letter}" for letter in "ABCDEFG")
DOCUMENT = Document("d", "Seven people", f"There met {', '.join(NAMES)} and the Quillon Ferry.")


def recipe_of(writer: Writer = Writer("m"), **options: Any) -> EntiGraph:  # noqa: B008
    options = {"pairs": "all", "triplets": "all"} | options
    return entigraph("entigraph", EntiGraphOptions(**options), writer)


RECIPE = recipe_of()


def answer(*names: str, summary: str = "They met.") -> str:
    return json.dumps({"summary": summary, "entities": names})


def relations(
    recipe: EntiGraph,
    size: int = 2,
    document: Document = DOCUMENT,
    names: tuple[str, ...] = NAMES,
) -> Repeated:
    step = recipe.steps[size - 1]
    assert isinstance(step, Relations)
    return step.about(document, names)


def test_it_is_a_recipe_of_three_steps() -> None:
    recipe: Recipe = RECIPE
    assert recipe.name == "entigraph"
    assert [step.name for step in recipe.steps] == ["entities", "pairs", "triplets"]
    assert [step.needs for step in recipe.steps] == [(), ("entities",), ("entities",)]


@given(st.integers(0, 14), st.integers(1, 4))
def test_combinations_are_those_of_itertools(n: int, size: int) -> None:
    ours = [combination(n, size, rank) for rank in range(math.comb(n, size))]
    assert ours == list(itertools.combinations(range(n), size))


@pytest.mark.parametrize(("n", "rank"), [(5, 10), (5, -1), (1, 0)])
def test_there_is_no_further_combination(n: int, rank: int) -> None:
    with pytest.raises(IndexError, match="outside"):
        combination(n, 2, rank)


@pytest.mark.parametrize(("size", "number", "name"), [(2, 21, "pairs"), (3, 35, "triplets")])
def test_all_subsets_come_once(size: int, number: int, name: str) -> None:
    calls = relations(RECIPE, size)
    subsets = [call.subset for call in calls]
    assert len(calls) == number
    assert sorted(subsets) == sorted(itertools.combinations(NAMES, size))
    assert {call.stage for call in calls} == {name}
    assert subsets != list(itertools.combinations(NAMES, size))


@given(st.integers(0, 30), st.integers(0, 50))
def test_a_cap_keeps_the_first_ones(pairs: int, triplets: int) -> None:
    capped = recipe_of(pairs=pairs, triplets=triplets)
    assert list(relations(capped)) == list(relations(RECIPE))[:pairs]
    assert list(relations(capped, 3)) == list(relations(RECIPE, 3))[:triplets]


def test_order_depends_on_seed_and_document() -> None:
    orders = {
        tuple(call.subset for call in calls)
        for calls in (
            relations(RECIPE),
            relations(recipe_of(Writer("m", seed=1))),
            relations(RECIPE, document=replace(DOCUMENT, id="e")),
        )
    }
    assert len(orders) == 3
    first_two = [("Person A", "Person D"), ("Person D", "Person E")]
    assert [call.subset for call in relations(RECIPE)[:2]] == first_two  # on every machine


def test_three_thousand_entities_cost_nothing() -> None:
    many = relations(RECIPE, 3, names=tuple(f"Person {i}" for i in range(3000)))
    start = time.perf_counter()
    assert len(many) == math.comb(3000, 3)
    subsets = {many[index].subset for index in (0, 4_498_500, 10**9, len(many) - 1, -2)}
    assert time.perf_counter() - start < 1
    assert [len(subset) for subset in subsets] == [3] * 5


def test_slices_and_negative_indices_are_those_of_a_list() -> None:
    calls, whole = relations(RECIPE, 3), list(relations(RECIPE, 3))
    assert calls[-1] == whole[-1]
    assert calls[-len(whole)] == whole[0]
    for part in (slice(3), slice(19, 23), slice(-3, None), slice(30, 2, -7), slice(32, 70)):
        assert calls[part] == whole[part]
    assert list(reversed(calls)) == whole[::-1]
    for index in (35, -36):
        with pytest.raises(IndexError, match=f"index {index} is outside 35 calls"):
            calls[index]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_entities_have_no_relation(count: int) -> None:
    assert list(relations(RECIPE, names=NAMES[:count])) == []


def test_attempts_go_on_until_there_are_enough_entities() -> None:
    recipe = recipe_of(entity_attempts=3, min_entities=3)
    attempts = recipe.step("entities")
    calls = attempts.calls(DOCUMENT, {})
    assert attempts.one_by_one and len(calls) == 3
    assert [calls[rank].sample for rank in range(3)] == [0, 1, 2]
    assert len({calls[rank].id for rank in range(3)}) == 3
    texts = [None, answer(*NAMES[:2]), answer(*NAMES[1:3])]
    assert [attempts.is_enough(DOCUMENT, texts[:n]) for n in range(4)] == [False] * 3 + [True]
    found = recipe.prompts.entities(DOCUMENT, {"entities": texts})
    assert found == EntityList("They met.", NAMES[:3])
    assert recipe.facts(DOCUMENT, {"entities": texts}) == {
        "summary": "They met.",
        "entities": list(NAMES[:3]),
    }


def test_without_entities_there_is_no_relation_and_a_reason() -> None:
    answers = {"entities": [None, answer("The Moon", "Nobody")]}
    assert len(RECIPE.step("pairs").calls(DOCUMENT, answers)) == 0
    assert RECIPE.why_nothing(DOCUMENT, answers) == (
        "0 of 2 names were accepted; not in the document: The Moon, Nobody"
    )
    assert RECIPE.why_nothing(DOCUMENT, {"entities": [None]}) == "no answer named an entity"


def test_calls_use_the_first_entities_only() -> None:
    recipe = recipe_of(max_entities=3)
    answers = {"entities": [answer(*NAMES)]}
    for step, number in (("pairs", 3), ("triplets", 1)):
        calls = recipe.step(step).calls(DOCUMENT, answers)
        assert len(calls) == number
        assert {name for rank in range(number) for name in calls[rank].subset} == set(NAMES[:3])


def test_more_names_in_a_document_let_more_calls_be_expected() -> None:
    pairs = RECIPE.step("pairs")
    few = pairs.expected_calls(replace(DOCUMENT, text="Two people met: Ada and Bert."))
    names = "At noon Ada met Bert, Clara, Dora, Emil and Frieda at Lake Ostrel near Marrowgate."
    many = pairs.expected_calls(replace(DOCUMENT, text=names))
    assert few.low <= few.expected < many.expected <= many.high
    assert recipe_of(pairs=4).step("pairs").expected_calls(DOCUMENT).high == 4


def test_a_passage_is_the_summary_or_the_text() -> None:
    entities, pairs = RECIPE.step("entities"), RECIPE.step("pairs")
    first, relation = entities.specimen(DOCUMENT), relations(RECIPE)[0]
    assert entities.passage(first, answer("x", summary=" They\nmet. ")) == "They met."
    assert entities.passage(first, "nonsense") is None
    cut_off = answer("x", summary="They met. In 1874 he invented the Quell pump, a")
    assert entities.passage(first, cut_off) == "They met."
    assert entities.passage(first, answer("x", summary="A boat")) == "A boat"
    assert entities.passage(first, answer("x", summary="")) is None
    assert pairs.passage(relation, "### What it says") == "### What it says"


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
    recipe = recipe_of(max_entities=most)
    text = answer(*names)
    answers = {"entities": [text, text]}
    assert recipe.prompts.entities(document, answers).entities == tuple(names[:used])
    assert len(recipe.step("pairs").calls(document, answers)) == math.comb(used, 2)


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


@pytest.mark.parametrize("size", [2, 3])
def test_the_key_changes_with_the_calls_and_not_with_their_number(size: int) -> None:
    key = relations(RECIPE, size).key
    assert relations(recipe_of(pairs=3, triplets=3), size).key == key
    changed = [
        relations(RECIPE, 5 - size),
        relations(recipe_of(Writer("m", seed=1)), size),
        relations(recipe_of(Writer("n")), size),
        relations(recipe_of(Writer("m", Sampling(temperature=0.1))), size),
        relations(recipe_of(prompt_order="paper"), size),
        relations(RECIPE, size, replace(DOCUMENT, text=DOCUMENT.text + " Later.")),
        relations(RECIPE, size, replace(DOCUMENT, title="Eight people")),
        relations(RECIPE, size, replace(DOCUMENT, id="twin")),
        relations(RECIPE, size, names=NAMES[:-1]),
        relations(RECIPE, size, names=NAMES[::-1]),
    ]
    assert len({key, *(each.key for each in changed)}) == len(changed) + 1


def test_a_document_without_entities_has_a_key_too() -> None:
    assert len(relations(RECIPE, names=())) == 0
    assert relations(RECIPE, names=()).key
