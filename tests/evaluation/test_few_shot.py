from __future__ import annotations

import re
from pathlib import Path

import pytest
from asked import BARE, DOCUMENT, QUESTION, SEVERAL, SHORT

from steep.core.errors import UserError
from steep.evaluation.prompts import (
    STOP,
    about,
    few_shot_prompt,
    letters_of,
    named_text,
    option_order,
    options_of,
    short_answer_prompt,
)

GOLDEN = Path(__file__).parent / "golden"
CONTEXTS = [named_text(DOCUMENT, "A rope of steel."), named_text(BARE, "It floats.")]
PROMPTS = {
    "few_shot": few_shot_prompt(QUESTION, DOCUMENT, (2, 0, 1)),
    "few_shot_several": few_shot_prompt(SEVERAL, BARE, (0, 1, 2, 3, 4), several=True),
    "open_book": few_shot_prompt(QUESTION, DOCUMENT, (0, 1, 2), contexts=CONTEXTS),
    "short_answer": short_answer_prompt(SHORT, DOCUMENT),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_are_the_golden_ones(name: str) -> None:
    assert PROMPTS[name] + "\n" == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("name", "letters"),
    [("few_shot", "CBAAD"), ("open_book", "CBAAD"), ("few_shot_several", "C BCD A ACD D")],
)
def test_the_examples_are_answered_as_the_paper_s_are(name: str, letters: str) -> None:
    answers = re.findall(r"^Answer: ([A-Z]+)\.$", PROMPTS[name], re.MULTILINE)
    assert "".join(answers) == letters.replace(" ", "")


def test_every_example_ends_where_a_model_is_stopped() -> None:
    assert PROMPTS["few_shot"].count(STOP) == PROMPTS["open_book"].count(STOP) == 5


def test_the_open_book_shows_1_2_3_3_5_contexts_and_then_those_given() -> None:
    numbers = re.findall(r"^\*Context (\d)\*$", PROMPTS["open_book"], re.MULTILINE)
    assert "".join(numbers) == "1" + "12" + "123" + "123" + "12345" + "12"
    said = re.findall(r"The (\d) contexts below|The context below", PROMPTS["open_book"])
    assert said == ["", "2", "3", "3", "5", "2"]


def test_all_questions_of_a_set_share_the_examples() -> None:
    first = few_shot_prompt(QUESTION, DOCUMENT, (0, 1, 2), several=True)
    second = few_shot_prompt(SEVERAL, DOCUMENT, (0, 1, 2, 3, 4), several=True)
    assert first.split("## Example 6")[0] == second.split("## Example 6")[0]


def test_the_text_of_the_document_is_never_shown_closed_book() -> None:
    assert "steel rope" not in PROMPTS["few_shot"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [("What is it?", "what is it?"), ("I am who?", "I am who?"), ("NASA is?", "NASA is?")],
)
def test_the_first_letter_is_lower_within_the_sentence(question: str, expected: str) -> None:
    assert about(BARE, question) == f'In "The Quillon Ferry", {expected}'


def test_the_order_of_options_is_seeded_by_question_and_undone() -> None:
    orders = {option_order(f"q{number}", 5, seed=1) for number in range(200)}
    assert len(orders) > 60
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert option_order("q1", 4, None) == (0, 1, 2, 3)
    assert option_order("q1", 5, seed=1) == option_order("q1", 5, seed=1)
    for order in orders:
        assert options_of(letters_of((1, 3), order), order) == (1, 3)


def test_more_options_than_letters_are_refused() -> None:
    with pytest.raises(UserError, match="'q9'"):
        option_order("q9", 27, None)
