"""SPA: seven prompts that take turns."""

from __future__ import annotations

from typing import get_args

import pytest
from recipe_documents import CHINESE, DOCUMENT, GERMAN, calls_of, golden, recipe_of, rendered

from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.spa import SPAPrompt


def test_prompts_are_the_golden_ones() -> None:
    assert rendered(calls_of(recipe_of("spa", {"samples": 1}), "texts")) == golden("spa")


def test_prompts_take_turns_and_name_themselves() -> None:
    recipe = recipe_of("spa", {"samples": 2})
    calls = calls_of(recipe, "texts")
    assert [(*call.subset, call.sample) for call in calls] == [
        (prompt, sample) for sample in range(2) for prompt in get_args(SPAPrompt)
    ]
    assert len({call.id for call in calls}) == 14
    assert recipe.step("texts").expected_calls(DOCUMENT) == Range.exactly(14)


def test_sampling_is_the_published_one_and_can_be_changed() -> None:
    sampling = calls_of(recipe_of("spa", reasoning_tokens=100), "texts")[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1.0, 1.0, 8292)
    own = {"temperature": None, "top_p": 0.95, "max_tokens": 300}
    sampling = calls_of(recipe_of("spa", own), "texts")[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1.0, 0.95, 300)


def test_a_part_of_the_prompts_makes_the_same_calls() -> None:
    some = calls_of(recipe_of("spa", {"prompts": ["teacher", "mind-map"]}), "texts")
    assert {call.id for call in some} < {call.id for call in calls_of(recipe_of("spa"), "texts")}


def test_the_ledger_tells_other_prompts_apart() -> None:
    """Else the calls of one subset would be taken for those of another: the first one is equal."""
    one, other = (
        recipe_of("spa", {"prompts": prompts}).step("texts").calls(DOCUMENT, {})
        for prompts in (["teacher", "mind-map"], ["teacher", "questions"])
    )
    assert one[0].id == other[0].id and one[1].id != other[1].id
    assert one.key != other.key
    more = recipe_of("spa", {"prompts": ["teacher", "mind-map"], "samples": 9})
    assert more.step("texts").calls(DOCUMENT, {}).key == one.key


def test_the_document_comes_first_with_its_title_alone() -> None:
    calls = calls_of(recipe_of("spa"), "texts")
    assert len({(call.messages[0], call.messages[1].parts[0]) for call in calls}) == 1
    assert calls[0].messages[1].content.startswith(f'"{DOCUMENT.title}".\n')
    assert all("1961" not in call.messages[1].content for call in calls)


@pytest.mark.parametrize(("document", "language"), [(GERMAN, "German"), (CHINESE, "Chinese")])
def test_every_prompt_asks_for_the_language_of_the_document(
    document: Document, language: str
) -> None:
    for call in calls_of(recipe_of("spa"), "texts", document):
        assert call.messages[-1].content.endswith(f"Write the whole answer in {language}.")
