"""Lengths, places and letters of chosen options beside those of gold and of chance."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.evaluation.engines import OptionScores
from steep.evaluation.methods.answers import answers_result
from steep.evaluation.methods.likelihood import likelihood_bias
from steep.evaluation.option_bias import (
    ShownOptions,
    chosen_options,
    letter_shares,
    option_bias,
    selection_chance,
)
from steep.evaluation.prompts import LETTERS
from steep.evaluation.protocols import PROTOCOLS
from steep.evaluation.questions import Question
from steep.evaluation.results import ChosenOptions, LetterShares
from steep.evaluation.rows import AnswerRow, QuestionRow, make_rows

OPTIONS = ("a mule", "ox", "two oxen")
LENGTHS = tuple(map(len, OPTIONS))


def rows(gold: Sequence[tuple[int, ...]], options: tuple[str, ...] = OPTIONS) -> list[QuestionRow]:
    """Rows in which the first option has the highest total, and the last the highest mean."""
    lengths = tuple(map(len, options))
    scores = OptionScores((-1.0, -4.0, -4.5), (1, 2, 9), lengths, lengths)
    questions = [Question(f"q{n}", "d", "near", "Who?", options, g) for n, g in enumerate(gold)]
    return make_rows(questions, [scores] * len(questions))


def by_normalizer(found: Sequence[ChosenOptions]) -> dict[str | None, ChosenOptions]:
    return {each.normalizer: each for each in found}


def test_choices_by_length_stand_beside_gold_and_chance_per_normalizer() -> None:
    found = likelihood_bias({"base": rows([(0,), (1,), (2,), (2,)])})
    assert found is not None
    assert (found.gold.n, found.gold.n_lengths) == (4, 4)
    assert (found.gold.shortest, found.gold.longest) == (0.25, 0.5)
    assert (found.gold.first, found.gold.last) == (0.25, 0.5)
    assert found.chance.shortest == found.chance.last == pytest.approx(1 / 3)
    own = by_normalizer(found.models)
    assert (own["sum"].shortest, own["sum"].longest, own["sum"].first) == (0.0, 0.0, 1.0)
    assert (own["per_token"].shortest, own["per_token"].last) == (0.0, 1.0)


def test_only_questions_with_one_right_option_count() -> None:
    found = likelihood_bias({"base": rows([(0,), (0, 1)])})
    assert found is not None and found.gold.n == found.models[0].n == 1
    assert likelihood_bias({"base": rows([(0, 1)])}) is None


def test_options_of_one_length_have_a_place_but_no_length() -> None:
    found = likelihood_bias({"base": rows([(0,)], ("ox", "elk"[:2], "ye"))})
    assert found is not None
    assert (found.gold.n, found.gold.n_lengths) == (1, 0)
    assert found.gold.shortest is None and found.models[0].longest is None
    assert found.gold.first == 1.0


def test_of_equally_long_options_each_is_an_extreme() -> None:
    shown = [ShownOptions((2, 2, 6), (0, 1, 2), gold=1)]
    found = option_bias(shown, [])
    assert found is not None
    assert (found.gold.shortest, found.gold.longest) == (1.0, 0.0)
    assert found.chance.shortest == pytest.approx(2 / 3)


@given(st.lists(st.tuples(st.permutations(range(4)), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_model_that_is_always_right_has_the_shares_of_gold(
    drawn: list[tuple[list[int], int]],
) -> None:
    shown = [ShownOptions((3, 9, 4, 6), order, gold) for order, gold in drawn]
    right = chosen_options("oracle", None, shown, [each.gold for each in shown])
    found = option_bias(shown, [right])
    assert found is not None
    assert {name: getattr(right, name) for name in vars(found.gold)} == vars(found.gold)
    assert found.chance.first == found.chance.longest == 0.25


def answer(number: int, output: str, order: tuple[int, ...], gold: tuple[int, ...]) -> AnswerRow:
    return AnswerRow(
        "m", f"q{number}", "d", "near", 0, 0, "?", output, "stop", OPTIONS, order, gold, (), None
    )  # fmt: skip


def test_places_of_written_answers_are_those_that_were_shown() -> None:
    orders = [(0, 1, 2), (2, 1, 0), (1, 2, 0)]
    asked = [answer(n, "Answer: A.", order, (0,)) for n, order in enumerate(orders)]
    asked.append(answer(3, "I cannot say.", (0, 1, 2), (0,)))
    result = answers_result({"m": asked}, PROTOCOLS["default"])
    assert result.bias is not None
    (own,) = result.bias.models
    assert (own.n, own.first, own.last) == (3, 1.0, 0.0), "an unread answer has no place"
    assert own.shortest == own.longest == 1 / 3
    assert (result.bias.gold.n, result.bias.gold.first) == (4, 0.5)
    assert result.bias.gold.shortest == result.bias.gold.longest == 0.0
    assert result.letters == {
        "A": LetterShares(chance=1 / 3, gold=0.5),
        "C": LetterShares(chance=1 / 3, gold=0.5),
    }


def test_a_model_of_which_nothing_was_read_has_no_shares() -> None:
    asked = [answer(0, "Well.", (0, 1, 2), (0,))]
    found = answers_result({"m": asked}, PROTOCOLS["default"]).bias
    assert found is not None
    assert (found.models[0].n, found.models[0].first, found.models[0].longest) == (0, None, None)


@pytest.mark.parametrize("several", [False, True])
def test_the_chances_of_all_letters_add_up_to_one(several: bool) -> None:
    sizes = [2, 4, 4, 5]
    selections = [
        "".join(letter for n, letter in enumerate(LETTERS[:5]) if number >> n & 1)
        for number in range(1, 2**5)
    ]
    shares = letter_shares(selections, ["A"] * 4, sizes, several=several)
    assert sum(each.chance for each in shares.values()) == pytest.approx(1)
    assert shares["A"].gold == 1.0
    assert shares["E"].chance == pytest.approx(selection_chance(5, several=several) / 4)
