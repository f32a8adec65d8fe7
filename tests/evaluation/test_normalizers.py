from __future__ import annotations

import pytest

from steep.evaluation.option_rows import Normalizer, OptionScores, choose

# Each normaliser prefers another option.
SCORES = OptionScores(
    sum_logprob=(-4.0, -6.0, -9.0, -12.0),
    tokens=(1, 6, 4, 5),
    characters=(4, 7, 15, 10),
    bytes=(4, 7, 15, 40),
)


@pytest.mark.parametrize(
    ("normalizer", "chosen"), [("sum", 0), ("per_token", 1), ("per_character", 2), ("per_byte", 3)]
)
def test_each_normaliser_divides_by_its_own_length(normalizer: Normalizer, chosen: int) -> None:
    assert choose([SCORES], normalizer) == ((chosen,), 0)


def test_ties_go_to_the_first_and_are_counted() -> None:
    tied = OptionScores((-3.0, -2.0, -2.0), (3, 2, 4), (1, 1, 1), (1, 1, 1))
    assert choose([SCORES, tied], "sum") == ((0, 1), 1)
    assert choose([SCORES, tied], "per_token") == ((1, 2), 0)
