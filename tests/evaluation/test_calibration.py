"""Probabilities of chosen options beside how often they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from steep.evaluation.calibration import (
    BINS,
    TOTAL,
    bin_numbers,
    calibration,
    ece_if_calibrated,
    ece_interval,
)
from steep.evaluation.engines import OptionScores
from steep.evaluation.questions import Question
from steep.evaluation.rows import QuestionRow, make_rows


def row(
    number: int, chances: tuple[float, ...], gold: tuple[int, ...], docs: int = 4
) -> QuestionRow:
    options = tuple("abcdefgh"[: len(chances)])
    question = Question(f"q{number}", f"d{number % docs}", "near", "?", options, gold)
    ones = (1,) * len(chances)
    sums = tuple(math.log(chance) - 7 for chance in chances)
    return make_rows([question], [OptionScores(sums, (2,) * len(ones), ones, ones)])[0]


def test_probabilities_and_errors_are_those_of_the_options() -> None:
    rows = [row(0, (0.75, 0.15, 0.1), (0,)), row(1, (0.2, 0.65, 0.15), (0,))]
    found = calibration({"m": rows}, TOTAL)
    assert found is not None and (found.n, found.normalizer) == (2, "sum")
    assert found.guess_brier == pytest.approx(2 / 3)
    (model,) = found.models
    assert model.probability == pytest.approx(0.7)
    assert model.overconfidence.mean == pytest.approx(0.2)
    by_hand = (0.25**2 + 0.15**2 + 0.1**2 + 0.8**2 + 0.65**2 + 0.15**2) / 2
    assert model.brier.mean == pytest.approx(by_hand)
    assert [(each.low, each.accuracy.n) for each in model.bins] == [(0.6, 1), (0.7, 1)]
    assert model.ece.mean == pytest.approx((0.65 + 0.25) / 2)


def test_a_normalizer_changes_the_probabilities_and_not_the_choice() -> None:
    rows = [row(0, (0.8, 0.2), (0,))]
    total, mean = (calibration({"m": rows}, name) for name in (TOTAL, "per_token"))
    assert total is not None and mean is not None
    assert total.models[0].probability == pytest.approx(0.8)
    assert mean.models[0].probability == pytest.approx(1 / (1 + 0.25**0.5))


def test_only_questions_with_one_right_option_count() -> None:
    rows = [row(0, (0.8, 0.2), (0,)), row(1, (0.4, 0.4, 0.2), (0, 1)), row(2, (1.0,), (0,))]
    found = calibration({"m": rows}, TOTAL)
    assert found is not None and found.n == 1
    assert calibration({"m": rows[1:]}, TOTAL) is None


def test_every_question_is_in_one_bin() -> None:
    probability = np.array([0.0, 0.0999, 0.1, 0.25, 0.95, 1.0])
    assert bin_numbers(probability).tolist() == [0, 0, 1, 2, 9, 9]
    rows = [row(n, (p, 1 - p), (0,)) for n, p in enumerate(np.linspace(0.501, 0.999, 40).tolist())]
    found = calibration({"m": rows}, TOTAL)
    assert found is not None
    assert sum(each.accuracy.n for each in found.models[0].bins) == 40
    assert all(each.low <= each.probability < each.high for each in found.models[0].bins)


def study(
    rng: np.random.Generator, more: float
) -> tuple[NDArray[np.float64], list[float], list[str]]:
    """Probabilities of 200 choices about 20 documents that are right `more` often."""
    probability = 0.25 + 0.7 * rng.beta(1.2, 2.5, 200)
    right = rng.random(200) < np.clip(probability + more, 0, 1)
    return probability, right.astype(float).tolist(), [f"d{n % 20}" for n in range(200)]


@pytest.mark.parametrize(("more", "least"), [(0.0, 0.9), (-0.2, 0.9)])
def test_intervals_of_the_calibration_error_hold_the_true_one(more: float, least: float) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(80):
        probability, right, clusters = study(rng, more)
        noise = ece_if_calibrated(probability)
        found = ece_interval(probability, np.array(right), clusters, noise)
        held += found.low <= abs(more) <= found.high
        assert 0 <= found.low <= found.mean <= found.high
    assert held / 80 >= least


def test_a_calibrated_model_stays_below_the_noise_in_most_studies() -> None:
    rng = np.random.default_rng(6)
    below = []
    for _ in range(100):
        probability, right, clusters = study(rng, 0.0)
        noise = ece_if_calibrated(probability)
        below.append(ece_interval(probability, np.array(right), clusters, noise).mean <= noise)
    assert 0.88 <= np.mean(below) <= 1


def test_a_single_question_has_an_open_interval() -> None:
    found = calibration({"m": [row(0, (0.8, 0.2), (0,))]}, TOTAL)
    assert found is not None
    (model,) = found.models
    assert (model.ece.low, model.ece.high) == (0.0, math.inf)
    assert (model.overconfidence.low, model.overconfidence.high) == (-1.0, 1.0)
    assert BINS == 10
