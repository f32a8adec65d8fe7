from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.evaluation.parsers import (
    NO_ANSWER_LINE,
    NO_LETTER_AT_END,
    NO_STOP_STRING,
    NOT_ON_OFFER,
    PARSERS,
    TWICE,
    Parsed,
    ParserName,
    parse,
)


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
