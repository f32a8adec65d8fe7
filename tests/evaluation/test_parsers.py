from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.evaluation.parsers import (
    NO_ANSWER_LINE,
    NO_LETTER_AT_END,
    NO_STOP_STRING,
    NOT_ON_OFFER,
    NOTHING_STATED,
    PARSERS,
    TWICE,
    Parsed,
    parse,
)
from steep.evaluation.results import ParserName


@pytest.mark.parametrize(
    ("parser", "text", "expected"),
    [
        ("strict", "A is wrong.\nAnswer: B.", Parsed("B")),
        ("strict", "Answer: B.\n\n", Parsed("B")),
        ("strict", "Answer: D, B", Parsed("BD")),
        ("strict", "Answer: CAB.", Parsed("ABC")),
        ("strict", "So the Answer: B.", Parsed("", NO_ANSWER_LINE)),
        ("strict", "Answer: B.\nOr perhaps not.", Parsed("", NO_ANSWER_LINE)),
        ("strict", "Answer: b.", Parsed("", NO_ANSWER_LINE)),
        ("strict", "", Parsed("", NO_ANSWER_LINE)),
        ("strict", "Answer: E.", Parsed("", NOT_ON_OFFER)),
        ("strict", "Answer: AA.", Parsed("", TWICE)),
        ("paper", "whatever ends in C.", Parsed("C")),
        ("paper", "Answer: AB.", Parsed("B")),
        ("paper", "Plan E.", Parsed("", NOT_ON_OFFER)),
        ("paper", "Answer: B", Parsed("", NO_LETTER_AT_END)),
        ("paper-code", "x Answer: A.\nand more Answer: B.", Parsed("A")),
        ("paper-code", "x Answer: A. and more Answer: B.", Parsed("B")),
        ("paper-code", "Answer: A. and more", Parsed("", NO_STOP_STRING)),
        ("paper-code", "Answer: BA.\n", Parsed("A")),
        ("paper-code", "Answer: AA.\nAnswer: F.\nAnswer: D.", Parsed("D")),
        ("paper-code", "Answer: AA.\nAnswer: F.", Parsed("", NOT_ON_OFFER)),
        ("paper-code", "It is B.", Parsed("", NO_STOP_STRING)),
    ],
)
def test_each_parser_reads_what_it_says(parser: ParserName, text: str, expected: Parsed) -> None:
    assert parse(text, 4, parser) == expected


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("**Answer: B.**", "B"),
        ("Answer: **B. The ferryman**", "B"),
        ("Answer: (B).", "B"),
        ("Answer: B)", "B"),
        ("answer: B", "B"),
        ("Answer: B. The ferryman", "B"),
        ("Final answer: B.\nI hope that this helps!", "B"),
        ("The answer is B.", "B"),
        ("The correct option is (C), since the rope broke.", "C"),
        ("I would choose D.", "D"),
        ("B is the correct answer.", "B"),
        (r"Hence $\boxed{B}$", "B"),
        (r"\[\boxed{\text{B, D}}\]", "BD"),
        ("Answer: D and A", "AD"),
        ("The answers are A, B, and D.", "ABD"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER B}", "B"),
        ("Answer:\N{NO-BREAK SPACE}B.", "B"),
        ("Answer: B. No, wait: it is A.", "A"),
        ("Answer: B.\nOn second thoughts, the answer is C.", "C"),
        ("<think>Answer: A.</think>\nAnswer: D.", "D"),
        ("B) The ferryman", "B"),
        ("Well,\nB.", "B"),
        ("Answer: A, because of the rope", "A"),
    ],
)
def test_the_lenient_parser_reads_what_is_clearly_stated(text: str, letters: str) -> None:
    assert parse(text, 4, "lenient") == Parsed(letters)


@pytest.mark.parametrize(
    "text",
    ["", "Answer: A ferryman did it", "Answer: A or B", "The answer is not B.", "The Ballad.",
     "A. a rope\nB. a mule\nWho knows", "<think>Answer: A.", "The answer is Captain Dree."],
)  # fmt: skip
def test_the_lenient_parser_guesses_nothing(text: str) -> None:
    assert parse(text, 4, "lenient") == Parsed("", NOTHING_STATED)
    assert parse("Answer: B.\nNo, the answer is E.", 4, "lenient").why_not == NOT_ON_OFFER


def test_as_many_letters_are_on_offer_as_options() -> None:
    assert parse("Answer: J.", 10, "strict") == Parsed("J")
    assert parse("Answer: C.", 2, "strict") == Parsed("", NOT_ON_OFFER)


@settings(deadline=None, derandomize=True)
@given(st.text("AnswerBCE :.,\n", max_size=40), st.integers(2, 10), st.sampled_from(list(PARSERS)))
def test_there_are_letters_on_offer_or_a_reason(
    text: str, options: int, parser: ParserName
) -> None:
    letters, why_not = parse(text, options, parser)
    assert bool(letters) == (why_not is None)
    assert set(letters) <= set("ABCDEFGHIJ"[:options])
    assert list(letters) == sorted(set(letters))


@settings(deadline=None, derandomize=True)
@given(st.text("AnswerBCE :.,\n", max_size=40), st.lists(st.sampled_from("ABCD"), min_size=1))
def test_what_the_strict_parser_reads_the_lenient_one_reads_alike(
    text: str, letters: list[str]
) -> None:
    whole = f"{text}\nAnswer: {''.join(letters)}."
    strict = parse(whole, 4, "strict")
    assert strict.why_not or parse(whole, 4, "lenient") == strict
