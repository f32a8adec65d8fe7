"""Golden files of every prompt: a changed word is a changed corpus."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

from steep.core.calls import Call, Sampling
from steep.documents.document import Document
from steep.recipes.entigraph import EntiGraph, EntiGraphOptions, Order, entigraph
from steep.recipes.recipe import Writer

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
STEPS = ("entities", "pairs", "triplets")


def recipe_of(model: str = "m", sampling: Sampling | None = None, **options: Any) -> EntiGraph:
    writer = Writer(model, sampling or Sampling())
    return entigraph("entigraph", EntiGraphOptions(**options), writer)


def entities_call(recipe: EntiGraph, document: Document = DOCUMENT) -> Call:
    return recipe.prompts.calls_of(document, "entities").call(())


def relation_call(recipe: EntiGraph, document: Document, subset: tuple[str, ...]) -> Call:
    step = "pairs" if len(subset) == 2 else "triplets"
    return recipe.prompts.calls_of(document, step).call(subset)


def planned(prompt: Prompt, step: str, order: Order = "document_first") -> Call:
    recipe = recipe_of("SmolLM2-135M-Instruct", prompt=prompt, prompt_order=order)
    if step == "entities":
        return entities_call(recipe)
    return relation_call(recipe, DOCUMENT, ENTITIES[: 2 if step == "pairs" else 3])


def rendered(prompt: Prompt, step: str, order: Order = "document_first") -> str:
    messages = planned(prompt, step, order).messages
    return "".join(f"=== {each.role} ===\n{each.content}\n" for each in messages)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_prompts_are_the_golden_ones(prompt: Prompt, step: str) -> None:
    assert rendered(prompt, step) == (GOLDEN / f"{prompt}_{step}.txt").read_text()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_prompts_in_the_papers_order_are_the_golden_ones(prompt: Prompt, step: str) -> None:
    assert rendered(prompt, step, "paper") == (GOLDEN / f"{prompt}_paper_{step}.txt").read_text()


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
    recipe = recipe_of(prompt=prompt, prompt_order=order)
    calls = [entities_call(recipe, GERMAN), relation_call(recipe, GERMAN, ("Hask", "Ostrelsee"))]
    asked = ["".join(message.content for message in call.messages) for call in calls]
    golden = GOLDEN / f"german_{prompt}_{order}.txt"
    assert "\n=== next call ===\n".join(asked) == golden.read_text(encoding="utf-8")
    if order == "document_first":  # the document comes first, and is shared
        assert len({(call.messages[0], call.messages[1].parts[0]) for call in calls}) == 1


@pytest.mark.parametrize("prompt", get_args(Prompt))
@pytest.mark.parametrize("order", get_args(Order))
def test_calls_of_a_document_differ_in_their_last_part_only(prompt: Prompt, order: Order) -> None:
    one, other = (
        relation_call(recipe_of(prompt=prompt, prompt_order=order), DOCUMENT, pair)
        for pair in (ENTITIES[:2], ENTITIES[1:])
    )
    assert one.messages[0] == other.messages[0]
    assert one.messages[1].parts[:-1] == other.messages[1].parts[:-1]
    assert one.messages[1].parts[-1] != other.messages[1].parts[-1]


@pytest.mark.parametrize("prompt", get_args(Prompt))
def test_all_stages_share_the_document_unless_the_papers_order_is_asked_for(prompt: Prompt) -> None:
    calls = [planned(prompt, step) for step in STEPS]
    assert len({(call.messages[0], call.messages[1].parts[0]) for call in calls}) == 1
    paper = [planned(prompt, step, "paper") for step in STEPS]
    assert len({call.messages[0] for call in paper}) == {"full": 3, "compact": 2}[prompt]
    assert all("JSON" not in call.messages[1].content for call in paper)


def test_ids_are_pinned() -> None:
    """A changed id buys the calls of every project again: change these on purpose only."""
    assert planned("full", "entities").id == "1b0a250f01d2b8af27306ed400920413"
    assert planned("full", "pairs").id == "373902631386ad2fc320ff9bbdaea3f8"
    assert planned("full", "pairs", "paper").id == "aa57034952d95152dd83a29afef02047"


def test_another_sampling_is_another_call() -> None:
    variants = [
        recipe_of(),
        recipe_of("n"),
        recipe_of(sampling=Sampling(temperature=0.5)),
        recipe_of(sampling=Sampling(top_p=0.9)),
        recipe_of(sampling=Sampling(max_tokens=99)),
        recipe_of(sampling=Sampling(frequency_penalty=0.4)),
        recipe_of(prompt="compact"),
        recipe_of(prompt="compact", prompt_order="paper"),
        recipe_of(prompt_order="paper"),
    ]
    ids = {relation_call(each, DOCUMENT, ENTITIES).id for each in variants}
    assert len(ids) == len(variants)


def test_only_the_first_step_asks_for_structured_output() -> None:
    schema = planned("full", "entities").sampling.json_schema
    assert schema is not None
    assert list(json.loads(schema)["properties"]) == ["summary", "entities"]
    assert planned("full", "pairs").sampling.json_schema is None


def test_a_small_generator_chooses_among_the_names_of_the_document() -> None:
    schema = planned("compact", "entities").sampling.json_schema
    assert schema is not None
    items = json.loads(schema)["properties"]["entities"]["items"]
    assert items["enum"] == ["Hask", "Lake Ostrel"]
    nameless = replace(DOCUMENT, text="no names in here at all")
    call = entities_call(recipe_of(prompt="compact"), nameless)
    assert '"enum"' not in (call.sampling.json_schema or "")


@pytest.mark.parametrize("most", [None, 3])
def test_the_number_of_entities_is_limited(most: int | None) -> None:
    call = entities_call(recipe_of(max_entities=most))
    array = json.loads(call.sampling.json_schema or "")["properties"]["entities"]
    assert array["maxItems"] == (most or 60)


def test_a_small_generator_that_lists_names_is_kept_from_repeating_them() -> None:
    recipe = recipe_of(prompt="compact", sampling=Sampling(frequency_penalty=0.1))
    assert entities_call(recipe).sampling.frequency_penalty == 0.5
    assert relation_call(recipe, DOCUMENT, ENTITIES).sampling.frequency_penalty == 0.1
    strict = recipe_of(prompt="compact", sampling=Sampling(frequency_penalty=0.9))
    assert entities_call(strict).sampling.frequency_penalty == 0.9
