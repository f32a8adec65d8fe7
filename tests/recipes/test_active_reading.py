"""Active Reading: strategies under headings, then a text for each."""

from __future__ import annotations

import pytest
from recipe_documents import (
    CHINESE,
    DOCUMENT,
    GERMAN,
    SHORT,
    calls_of,
    golden,
    recipe_of,
    rendered,
)

from steep.core.ranges import Range
from steep.documents.document import Document

TIMELINE = "## 1. Build a timeline\nPut the rope first.\n\n## **Teach it**\nExplain the ferry."
AWARE = (
    "1. Who laid the rope?\n2. Which lake is it?\n\n## Questions\nWho laid it?\nWhich lake?\n\n"
    "## Who did what\nList who did what.\n\n## Teach It\nTo a guest.\n"
)
ANSWERS = {"strategies": [TIMELINE]}


def test_prompts_are_the_golden_ones() -> None:
    recipe = recipe_of("active-reading", {"strategies": "both"})
    calls = calls_of(recipe, "strategies") + calls_of(recipe, "texts", answers=ANSWERS)
    assert rendered(calls) == golden("active-reading")


def test_every_strategy_is_applied_in_turn() -> None:
    recipe = recipe_of("active-reading", {"samples": 2})
    calls = calls_of(recipe, "texts", answers=ANSWERS)
    assert [(*call.subset, call.sample) for call in calls] == [
        ("Build a timeline", 0), ("Teach it", 0), ("Build a timeline", 1), ("Teach it", 1),
    ]  # fmt: skip
    assert "Build a timeline\nPut the rope first." in calls[0].messages[-1].content
    assert len({call.id for call in calls}) == 4


def test_the_lists_take_turns_and_a_section_of_questions_is_no_strategy() -> None:
    recipe = recipe_of("active-reading", {"strategies": "both"})
    both = {"strategies": [TIMELINE, AWARE]}
    found = [call.subset[0] for call in calls_of(recipe, "texts", answers=both)]
    assert found == ["Build a timeline", "Who did what", "Teach it"]
    half = {"strategies": [None, AWARE]}  # an answer was refused
    found = [call.subset[0] for call in calls_of(recipe, "texts", answers=half)]
    assert found == ["Who did what", "Teach It"]


def test_more_strategies_than_were_asked_for_are_left_out() -> None:
    recipe = recipe_of("active-reading", {"most": 1})
    assert "Number of strategies: 1." in calls_of(recipe, "strategies")[0].messages[-1].content
    assert len(calls_of(recipe, "texts", answers=ANSWERS)) == 1


def test_the_number_of_texts_is_expected_before_the_strategies_exist() -> None:
    recipe = recipe_of("active-reading", {"strategies": "both", "most": 4, "samples": 3})
    assert recipe.step("strategies").expected_calls(DOCUMENT) == Range.exactly(2)
    assert recipe.step("texts").expected_calls(DOCUMENT) == Range(12, 24, 24)
    sampling = recipe.step("texts").specimen(DOCUMENT).sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.7, 0.95, 4096)


def test_the_ledger_tells_texts_of_other_strategies_apart() -> None:
    step = recipe_of("active-reading").step("texts")
    one = step.calls(DOCUMENT, ANSWERS)
    other = step.calls(DOCUMENT, {"strategies": [TIMELINE.replace("Teach it", "Retell it")]})
    assert one[0].id == other[0].id and one.key != other.key


def test_an_answer_without_a_heading_gives_nothing_and_is_named() -> None:
    recipe = recipe_of("active-reading")
    prose = {"strategies": ["Sure! You could make\na timeline."]}
    assert not calls_of(recipe, "texts", answers=prose)
    reason = recipe.why_nothing(DOCUMENT, prose)
    assert "the first begins 'Sure! You could make a timeline.'" in reason and "##" in reason
    assert "no answer has a text" in recipe.why_nothing(DOCUMENT, {"strategies": [None]})
    assert "## Build" in (recipe.expected_answer or "")


@pytest.mark.parametrize("name", ["active-reading", "focal"])
def test_a_short_document_costs_no_call(name: str) -> None:
    recipe = recipe_of(name)
    assert recipe.unsuitable(SHORT) == "the document has 3 words, fewer than 20"
    for step in recipe.steps:
        assert not calls_of(recipe, step.name, SHORT, {"questions": [], "strategies": []})
        assert step.expected_calls(SHORT).high == 0
    assert all(recipe.unsuitable(each) is None for each in (DOCUMENT, GERMAN, CHINESE))


GERMAN_LIST = "## 1. Eine Zeitleiste anlegen\nErst die Überfahrt.\n\n## Die Fähre erklären\nGenau."
CHINESE_LIST = "## 一、编写时间线\n先写渡船。\n\n## 讲解渡船\n详细说明。"


@pytest.mark.parametrize(
    ("document", "language", "listed", "names"),
    [
        (GERMAN, "German", GERMAN_LIST, ["Eine Zeitleiste anlegen", "Die Fähre erklären"]),
        (CHINESE, "Chinese", CHINESE_LIST, ["一、编写时间线", "讲解渡船"]),
    ],
)
def test_the_language_of_the_document_is_asked_for_and_its_headings_are_read(
    document: Document, language: str, listed: str, names: list[str]
) -> None:
    recipe = recipe_of("active-reading", {"strategies": "both"})
    texts = calls_of(recipe, "texts", document, {"strategies": [listed]})
    assert [call.subset[0] for call in texts] == names
    for call in calls_of(recipe, "strategies", document) + texts:
        assert call.messages[-1].content.endswith(f"Write the whole answer in {language}.")
