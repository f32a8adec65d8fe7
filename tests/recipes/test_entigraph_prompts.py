"""Golden files of every prompt: a changed word is a changed corpus."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import pytest

from steep.core.calls import Call
from steep.documents.document import Document
from steep.recipes.entigraph import EntiGraph
from steep.recipes.prompts import Order

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Document(
    "quillon",
    "The Quillon Ferry",
    "A steel rope {laid} by Hask pulls it.\n\nIt crosses Lake Ostrel.",
    author="Harris, Larry M.",
    year=1961,
)
ENTITIES = ("Hask", "Lake Ostrel", "a steel rope")

Prompt = Literal["full", "compact"]
STAGES = ("entities", "pair", "triplet")


def planned(prompt: Prompt, stage: str, order: Order = "document_first") -> Call:
    recipe = EntiGraph("SmolLM2-135M-Instruct", prompt=prompt, prompt_order=order)
    if stage == "entities":
        call = recipe.opening(DOCUMENT, [])
        assert call is not None
        return call
    return recipe.relation_call(DOCUMENT, ENTITIES[: 2 if stage == "pair" else 3])


def rendered(prompt: Prompt, stage: str, order: Order = "document_first") -> str:
    messages = planned(prompt, stage, order).messages
    return "".join(f"=== {each.role} ===\n{each.content}\n" for each in messages)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_prompts_are_the_golden_ones(prompt: Prompt, stage: str) -> None:
    assert rendered(prompt, stage) == (GOLDEN / f"{prompt}_{stage}.txt").read_text()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_prompts_in_the_papers_order_are_the_golden_ones(prompt: Prompt, stage: str) -> None:
    assert rendered(prompt, stage, "paper") == (GOLDEN / f"{prompt}_paper_{stage}.txt").read_text()


GERMAN = Document(
    "bruecke",
    "Die Fähre",
    "Ein Stahlseil der Firma Hask zieht die Fähre über den Ostrelsee, und die Überfahrt dauert elf "
    "Minuten. Im Winter riss das Seil, aber alle Fahrgäste kamen an das Ufer.",
)


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_a_document_that_is_not_in_english_is_answered_in_its_language(
    prompt: Prompt, order: Order
) -> None:
    recipe = EntiGraph("m", prompt=prompt, prompt_order=order)
    opening = recipe.opening(GERMAN, [])
    assert opening is not None
    calls = [opening, recipe.relation_call(GERMAN, ("Hask", "Ostrelsee"))]
    asked = ["".join(message.content for message in call.messages) for call in calls]
    golden = GOLDEN / f"german_{prompt}_{order}.txt"
    assert "\n=== next call ===\n".join(asked) == golden.read_text(encoding="utf-8")
    if order == "document_first":  # the document comes first, and is shared
        assert len({(call.messages[0], call.messages[1].parts[0]) for call in calls}) == 1


@pytest.mark.parametrize("prompt", get_args(Prompt))
@pytest.mark.parametrize("order", get_args(Order))
def test_calls_of_a_document_differ_in_their_last_part_only(prompt: Prompt, order: Order) -> None:
    one, other = (
        EntiGraph("m", prompt=prompt, prompt_order=order).relation_call(DOCUMENT, pair)
        for pair in (ENTITIES[:2], ENTITIES[1:])
    )
    assert one.messages[0] == other.messages[0]
    assert one.messages[1].parts[:-1] == other.messages[1].parts[:-1]
    assert one.messages[1].parts[-1] != other.messages[1].parts[-1]


@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_all_stages_share_the_document_unless_the_papers_order_is_asked_for(prompt: Prompt) -> None:
    calls = [planned(prompt, stage) for stage in STAGES]
    assert len({(call.messages[0], call.messages[1].parts[0]) for call in calls}) == 1
    paper = [planned(prompt, stage, "paper") for stage in STAGES]
    assert len({call.messages[0] for call in paper}) == {"full": 3, "compact": 2}[prompt]
    assert all("JSON" not in call.messages[1].content for call in paper)


def test_ids_are_pinned() -> None:
    """A changed id buys the calls of every project again: change these on purpose only."""
    assert planned("full", "entities").id == "1b0a250f01d2b8af27306ed400920413"
    assert planned("full", "pair").id == "373902631386ad2fc320ff9bbdaea3f8"
    assert planned("full", "pair", "paper").id == "aa57034952d95152dd83a29afef02047"


def test_another_sampling_is_another_call() -> None:
    recipe = EntiGraph("m")
    variants = [
        recipe,
        replace(recipe, model="n"),
        replace(recipe, temperature=0.5),
        replace(recipe, top_p=0.9),
        replace(recipe, max_tokens=99),
        replace(recipe, frequency_penalty=0.4),
        replace(recipe, prompt="compact"),
        replace(recipe, prompt="compact", prompt_order="paper"),
        replace(recipe, prompt_order="paper"),
    ]
    assert len({each.relation_call(DOCUMENT, ENTITIES).id for each in variants}) == len(variants)


def test_only_the_opening_asks_for_structured_output() -> None:
    schema = planned("full", "entities").sampling.json_schema
    assert schema is not None
    assert list(json.loads(schema)["properties"]) == ["summary", "entities"]
    assert planned("full", "pair").sampling.json_schema is None


def test_a_small_generator_chooses_among_the_names_of_the_document() -> None:
    schema = planned("compact", "entities").sampling.json_schema
    assert schema is not None
    items = json.loads(schema)["properties"]["entities"]["items"]
    assert items["enum"] == ["Hask", "Lake Ostrel"]
    nameless = replace(DOCUMENT, text="no names in here at all")
    opening = EntiGraph("m", prompt="compact").opening(nameless, [])
    assert opening is not None
    assert '"enum"' not in (opening.sampling.json_schema or "")


@pytest.mark.parametrize("most", [None, 3])
def test_the_number_of_entities_is_limited(most: int | None) -> None:
    opening = EntiGraph("m", max_entities=most).opening(DOCUMENT, [])
    assert opening is not None
    array = json.loads(opening.sampling.json_schema or "")["properties"]["entities"]
    assert array["maxItems"] == (most or 60)


def test_a_small_generator_that_lists_names_is_kept_from_repeating_them() -> None:
    recipe = EntiGraph("m", prompt="compact", frequency_penalty=0.1)
    opening = recipe.opening(DOCUMENT, [])
    assert opening is not None
    assert opening.sampling.frequency_penalty == 0.5
    assert recipe.relation_call(DOCUMENT, ENTITIES).sampling.frequency_penalty == 0.1
    strict = replace(recipe, frequency_penalty=0.9).opening(DOCUMENT, [])
    assert strict is not None
    assert strict.sampling.frequency_penalty == 0.9
