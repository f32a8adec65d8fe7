from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.evaluation.methods.short_answers import exact_match, f1, normalized

WORDS = st.text("abthe .,'-A", max_size=15)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The  Quillon, Ferry!", "quillon ferry"),
        ("a an the", ""),
        ("another theme", "another theme"),
        ("U.S.A.", "usa"),
        ("don't", "dont"),
        ("naïve \u2013 café", "naïve \u2013 café"),
    ],
)
def test_answers_are_compared_without_case_punctuation_and_articles(
    answer: str, expected: str
) -> None:
    assert normalized(answer) == expected


def test_f1_is_that_of_words() -> None:
    assert f1("the steel rope of the ferry", ["a steel rope"]) == pytest.approx(2 * 0.5 / 1.5)
    assert f1("rope rope", ["rope"]) == pytest.approx(2 / 3)
    assert f1("mule", ["rope", "mule"]) == 1.0
    assert f1("", ["rope"]) == 0.0


@pytest.mark.parametrize(
    ("said", "accepted", "expected"),
    [
        ("答案是北京。", "北京", 2 * (2 / 5) / (2 / 5 + 1)),
        ("北京", "北 京。", 1.0),
        ("上海", "北京", 0.0),
        ("エドヴァルド", "エドヴァルド・ヴァルンホルト", 2 * 6 / (6 + 13)),
        ("ใช่ แมว", "แมว", None),
        ("the iPhone 手机", "iPhone手机", 1.0),
    ],
)
def test_characters_are_the_words_of_scripts_without_blanks(
    said: str, accepted: str, expected: float | None
) -> None:
    found = f1(said, [accepted])
    assert 0.5 < found < 1.0 if expected is None else found == pytest.approx(expected)
    assert exact_match(said, [accepted]) == (found == 1.0)


@settings(deadline=None, derandomize=True)
@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_a_match_has_all_its_words(said: str, accepted: list[str]) -> None:
    assert 0.0 <= f1(said, accepted) <= 1.0
    assert exact_match(accepted[-1], accepted) == 1.0
    if exact_match(said, accepted) and normalized(said):
        assert f1(said, accepted) == 1.0
