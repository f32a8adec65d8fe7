from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from steep.evaluation.questions import MOST_DISTRACTORS, choice_among

ANSWERS = st.text("abC 1", min_size=1, max_size=6).map(str.strip).filter(bool)


@settings(deadline=None, derandomize=True)
@given(st.lists(ANSWERS, min_size=1, max_size=3), st.lists(ANSWERS, max_size=30))
def test_no_option_could_be_mistaken_for_the_right_one(
    accepted: list[str], others: list[str]
) -> None:
    options, gold = choice_among("q", tuple(accepted), others)
    wrong = [option for index, option in enumerate(options) if index != gold]
    assert options[gold] == accepted[0]
    assert len(wrong) <= MOST_DISTRACTORS
    assert len({option.casefold() for option in wrong}) == len(wrong)
    for option in wrong:
        for right in accepted:
            assert option.casefold() not in right.casefold()
            assert right.casefold() not in option.casefold()


@settings(deadline=None, derandomize=True)
@given(st.permutations([f"answer {number}." for number in range(12)]))
def test_the_draw_does_not_depend_on_the_order_of_the_file(others: list[str]) -> None:
    assert choice_among("q", ("right",), others) == choice_among("q", ("right",), sorted(others))


def test_questions_draw_differently_and_the_right_place_varies() -> None:
    others = [f"answer {number}." for number in range(20)]
    choices = [choice_among(f"q{number}", ("right",), others) for number in range(400)]
    places = Counter(gold for _, gold in choices)
    assert len({frozenset(options) for options, _ in choices}) > 300
    assert sorted(places) == list(range(8))
    assert max(places.values()) < 100  # 50 expected
