"""Answers of models, as they come: decorated, numbered, with a greeting."""

# ruff: noqa: RUF001
from __future__ import annotations

import pytest

from steep.recipes.parsing import (
    QuestionAnswer,
    items_of,
    questions_of,
    sections_of,
    verdict_of,
    verdicts_of,
    written,
)


def test_sections_are_read_by_their_headings() -> None:
    text = (
        "Sure, here are strategies.\n\n# Plan\n## 1. Build a **timeline**\nList the dates.\n\n"
        "### A detail\nmore\n## Strategy 2: Teach it\nExplain.\n##  \n## Empty\n"
    )
    assert sections_of(text) == {
        "Build a timeline": "List the dates.\n\n### A detail\nmore",
        "Teach it": "Explain.",
        "Empty": "",
    }
    assert sections_of("Prose without any heading.") == {}


def test_headings_of_the_third_level_count_where_no_other_is_given() -> None:
    text = "### 1. Build a timeline\nList the dates.\n\n### Teach it\nExplain."
    assert sections_of(text) == {"Build a timeline": "List the dates.", "Teach it": "Explain."}


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("Here they are:\n- one\n* **two**\n3. three\n- one", ["one", "two", "three"]),
        ("first line\n\nsecond line", ["first line", "second line"]),
        ("1、第一个事实。\n2、第二个事实。", ["第一个事实。", "第二个事实。"]),
        ("- 3.5 million people live there", ["3.5 million people live there"]),
        ("3.5 million people\n12:30 is the time", ["3.5 million people", "12:30 is the time"]),
        ("-5 degrees\n**Ada** is born.", ["-5 degrees", "Ada is born."]),
        ("1.One\n2)Two\n-Three", ["One", "Two", "Three"]),
        ("", []),
    ],
)
def test_items_of_a_list(text: str, items: list[str]) -> None:
    assert items_of(text) == items


def test_lines_without_a_mark_are_no_items_where_only_marked_ones_count() -> None:
    assert items_of("No further facts.", marked_only=True) == []
    assert items_of("Here:\n- one", marked_only=True) == ["one"]


@pytest.mark.parametrize(
    "text",
    [
        "Question: Who?\nAnswer: Ada.\n\nQuestion: Where?\nAnswer: At the lake.\nIn spring.",
        "Here you go.\n\n**Question 1:** Who?\n**Answer 1:** Ada.\n\n**Question 2:** Where?\n"
        "**Answer 2:** At the lake.\nIn spring.",
        "1. Q: Who?\nA: Ada.\n2. Q: Where?\nA: At the lake.\nIn spring.",
        "问题：Who?\n答案：Ada.\n\n问题：Where?\n答案：At the lake.\nIn spring.",
        "Frage: Who?\nAntwort: Ada.\n\nFrage: Where?\nAntwort: At the lake.\nIn spring.",
    ],
)
def test_questions_with_their_answers(text: str) -> None:
    found = questions_of(text)
    assert found == [
        QuestionAnswer("Who?", "Ada."),
        QuestionAnswer("Where?", "At the lake.\nIn spring."),
    ]
    assert questions_of(written(found)) == found


def test_a_question_without_an_answer_is_left_out() -> None:
    text = "Question: Who?\n\nQuestion: Where?\nAnswer: At the lake.\n\nQuestion: When?"
    assert questions_of(text) == [QuestionAnswer("Where?", "At the lake.")]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Verdict: yes\nAll of it stands there.", True),
        ("The answer names Ada. **Verdict:** No", False),
        ("Yes.", True),
        ("no, the year is wrong", False),
        ("Explanation: nothing supports it.\nAnswer: no", False),
        ("The answer seems to rest on the document, more or less.", None),
        ("Nobody knows. Yesterday it rained.", None),
        ("", None),
    ],
)
def test_a_verdict_is_yes_or_no_and_prose_is_neither(text: str, verdict: bool | None) -> None:
    assert verdict_of(text) is verdict


@pytest.mark.parametrize(
    ("text", "items", "verdicts"),
    [
        ("1: yes\n2: no\n3: Yes.", 3, {1: True, 2: False, 3: True}),
        ("Verdicts:\n**1.** yes\n- 2) Verdict: no", 2, {1: True, 2: False}),
        ("1: yes\n1: no\n7: yes", 2, {1: False}),
        ("Yes, it does.", 1, {1: True}),
        ("Yes, they do.", 2, {}),
        ("The first one is right.", 2, {}),
    ],
)
def test_verdicts_on_numbered_items(text: str, items: int, verdicts: dict[int, bool]) -> None:
    assert verdicts_of(text, items) == verdicts
