"""Focal rewriting: questions, strategies for each, texts that concentrate on a question."""

# ruff: noqa: RUF001

from __future__ import annotations

from typing import Any

import pytest
from recipe_documents import CHINESE, DOCUMENT, GERMAN, calls_of, golden, recipe_of, rendered

from steep.core.ranges import Range
from steep.documents.document import Document

QUESTIONS = (
    "Here they are:\n1. Who laid the rope of the ferry?\n2. **When did it break?**\n3. Rope."
)
STRATEGIES = ["## Retell it\nFrom start to end.\n\n## Compare\nBoth shores.", "## Date it\nAll."]
ANSWERS: dict[str, Any] = {"questions": [QUESTIONS], "strategies": STRATEGIES}


def test_prompts_are_the_golden_ones() -> None:
    recipe = recipe_of("focal", {"questions": 2})
    calls = [
        *calls_of(recipe, "questions"),
        *calls_of(recipe, "strategies", answers=ANSWERS)[:1],
        *calls_of(recipe, "texts", answers=ANSWERS)[:1],
    ]
    assert rendered(calls) == golden("focal")


def test_each_question_has_strategies_and_each_strategy_a_text() -> None:
    recipe = recipe_of("focal")
    asked = ["Who laid the rope of the ferry?", "When did it break?"]
    strategies = calls_of(recipe, "strategies", answers=ANSWERS)
    assert [call.subset for call in strategies] == [(each,) for each in asked]
    texts = calls_of(recipe, "texts", answers=ANSWERS)
    assert [call.subset for call in texts] == [
        (asked[0], "Retell it"), (asked[1], "Date it"), (asked[0], "Compare"),
    ]  # fmt: skip
    said = texts[1].messages[-1].content
    assert said.index("Date it\nAll.") < said.index("### Focus") < said.index(asked[1])


def test_a_question_whose_strategies_were_refused_is_left_out() -> None:
    answers: dict[str, Any] = {"questions": [QUESTIONS], "strategies": [None, STRATEGIES[1]]}
    texts = calls_of(recipe_of("focal"), "texts", answers=answers)
    assert [call.subset for call in texts] == [("When did it break?", "Date it")]


def test_no_more_than_was_asked_for() -> None:
    recipe = recipe_of("focal", {"questions": 1, "strategies": 1, "samples": 2})
    assert len(calls_of(recipe, "strategies", answers=ANSWERS)) == 1
    answers: dict[str, Any] = {"questions": [QUESTIONS], "strategies": STRATEGIES[:1]}
    found = [(call.subset[1], call.sample) for call in calls_of(recipe, "texts", answers=answers)]
    assert found == [("Retell it", 0), ("Retell it", 1)]


def test_the_number_of_calls_is_expected_before_the_questions_exist() -> None:
    recipe = recipe_of("focal", {"questions": 6, "strategies": 2, "samples": 2})
    expected = {step.name: step.expected_calls(DOCUMENT) for step in recipe.steps}
    assert expected == {
        "questions": Range.exactly(1), "strategies": Range(3, 6, 6), "texts": Range(12, 24, 24),
    }  # fmt: skip
    assert all(step.specimen(DOCUMENT).messages for step in recipe.steps)


def test_nothing_to_write_about_is_explained() -> None:
    recipe = recipe_of("focal")
    assert not calls_of(recipe, "strategies", answers={"questions": ["No questions."]})
    reason = recipe.why_nothing(DOCUMENT, {"questions": ["No questions."], "strategies": ()})
    assert reason.startswith("a list of questions") and "'No questions.'" in reason
    reason = recipe.why_nothing(DOCUMENT, {"questions": [QUESTIONS], "strategies": ["Prose."]})
    assert "##" in reason and "'Prose.'" in reason


@pytest.mark.parametrize(
    ("document", "language", "listed", "asked"),
    [
        (GERMAN, "German", "1. Wer zieht die Fähre?\n2. Wann riss das Seil?", 2),
        (CHINESE, "Chinese", "1、谁牵引渡船？\n2、钢缆什么时候断的？\n3、岸边。", 2),
    ],
)
def test_the_language_of_the_document_is_asked_for_and_its_questions_are_read(
    document: Document, language: str, listed: str, asked: int
) -> None:
    recipe = recipe_of("focal")
    answers = {"questions": [listed], "strategies": ["## 时间线\n写。"] * asked}
    calls = [
        call for step in recipe.steps for call in calls_of(recipe, step.name, document, answers)
    ]
    assert len(calls) == 1 + 2 * asked
    for call in calls:
        assert call.messages[-1].content.endswith(f"Write the whole answer in {language}.")
