from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steep.evaluation.results import Interval
from steep.evaluation.statistics import (
    holm,
    mcnemar_exact,
    mean_interval,
    paired_difference,
    paired_p,
)

STUDIES = 2000
ANSWERED = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcdef")), min_size=1, max_size=40
)


def correlated(
    rng: np.random.Generator, rates: list[float], correlation: float, documents: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Outcomes of 4 to 19 questions on each document, whose own rates vary around `rates`."""
    clusters = np.repeat(np.arange(documents), rng.integers(4, 20, documents))
    own = rng.dirichlet(np.array(rates) * (1 / correlation - 1), documents)[clusters]
    outcomes = (rng.random(len(clusters))[:, None] > own.cumsum(1)).sum(1)
    return outcomes, [str(cluster) for cluster in clusters]


@pytest.mark.parametrize(
    ("documents", "rate", "highest"), [(20, 0.3, 0.97), (20, 0.1, 0.97), (6, 0.3, 1), (6, 0.1, 1)]
)
def test_intervals_of_a_mean_cover_the_truth(documents: int, rate: float, highest: float) -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(STUDIES):
        outcomes, clusters = correlated(rng, [rate, 1 - rate], 0.1, documents)
        interval = mean_interval([float(outcome == 0) for outcome in outcomes], clusters)
        hits += interval.low <= rate <= interval.high
    assert 0.93 <= hits / STUDIES <= highest


@pytest.mark.parametrize(("documents", "highest"), [(20, 0.97), (6, 1)])
def test_intervals_of_a_difference_cover_the_truth(documents: int, highest: float) -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(STUDIES):
        # 30% only a is right, 10% only b, 60% both or none.
        outcomes, clusters = correlated(rng, [0.3, 0.1, 0.6], 0.1, documents)
        a, b = [float(each == 0) for each in outcomes], [float(each == 1) for each in outcomes]
        interval = paired_difference(a, b, clusters)
        hits += interval.low <= 0.2 <= interval.high
    assert 0.93 <= hits / STUDIES <= highest


def test_independent_questions_give_the_textbook_interval() -> None:
    """Each question its own document, many of them: Wilson for a mean, plain t for a difference."""
    rng = np.random.default_rng(0)
    a, b = rng.random(2000) < 0.4, rng.random(2000) < 0.3
    clusters = [str(number) for number in range(2000)]
    found = mean_interval(a.tolist(), clusters)
    error = math.sqrt(a.mean() * (1 - a.mean()) / 2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.01)
    difference = paired_difference(a.tolist(), b.tolist(), clusters)
    error = float((a.astype(float) - b).std()) / math.sqrt(2000)
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * error, rel=0.01)


def test_questions_that_go_together_count_as_one() -> None:
    right = [0.0] * 10 + [1.0] * 10 + [0.0] * 10 + [1.0] * 10
    together = mean_interval(right, [str(number // 10) for number in range(40)])
    apart = mean_interval(right, [str(number) for number in range(40)])
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert (together.n, together.clusters, apart.clusters) == (40, 4, 40)


def test_all_right_is_not_certainty() -> None:
    clusters = [str(number % 6) for number in range(60)]
    interval = mean_interval([1.0] * 60, clusters)
    assert interval.mean == interval.high == 1.0
    assert 0.85 < interval.low < 0.95
    agreed = paired_difference([1.0] * 60, [1.0] * 60, clusters)
    assert agreed.low == pytest.approx(-agreed.high)


def test_one_other_value_hardly_moves_an_interval() -> None:
    clusters = [str(number % 6) for number in range(180)]
    none, one = [0.0] * 180, [1.0] + [0.0] * 179
    assert mean_interval(one, clusters).high - mean_interval(none, clusters).high < 0.02
    agreed, differing = (paired_difference(a, none, clusters) for a in (none, one))
    assert agreed.high < 0.03 and abs(differing.high - agreed.high) < 0.02
    few = paired_difference(none[:18], none[:18], clusters[:18])
    assert agreed.high < few.high, "more questions, a narrower interval"


@settings(deadline=None, derandomize=True)
@given(ANSWERED)
def test_the_p_of_a_difference_is_that_of_its_interval(
    answered: list[tuple[bool, bool, str]],
) -> None:
    a, b, clusters = ([each[index] for each in answered] for index in range(3))
    found = paired_difference(a, b, clusters)  # type: ignore[arg-type]
    p = paired_p(a, b, clusters)  # type: ignore[arg-type]
    assert 0 <= p <= 1
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (found.low > 0 or found.high < 0)


def test_with_one_document_each_question_stands_alone() -> None:
    right = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    one = mean_interval(right, ["d"] * 8)
    apart = mean_interval(right, [str(number) for number in range(8)])
    assert (one.low, one.high) == (apart.low, apart.high)
    assert one.clusters == 1


def test_a_single_question_tells_nothing() -> None:
    assert mean_interval([1.0], ["d"]) == Interval(1.0, 0.0, 1.0, 1, 1)
    assert paired_difference([1.0], [0.0], ["d"]) == Interval(1.0, -1.0, 1.0, 1, 1)


@settings(deadline=None, derandomize=True)
@given(ANSWERED)
def test_intervals_hold_their_mean_and_turn_with_the_sides(
    answered: list[tuple[bool, bool, str]],
) -> None:
    a, b, clusters = ([each[index] for each in answered] for index in range(3))
    mean = mean_interval(a, clusters)  # type: ignore[arg-type]
    assert 0 <= mean.low <= mean.mean <= mean.high <= 1
    forward = paired_difference(a, b, clusters)  # type: ignore[arg-type]
    backward = paired_difference(b, a, clusters)  # type: ignore[arg-type]
    assert -1 <= forward.low <= forward.mean <= forward.high <= 1
    assert forward.low == pytest.approx(-backward.high)
    assert forward.mean == pytest.approx(-backward.mean)


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    [(0, 0, 1.0), (5, 0, 2 / 32), (1, 4, 12 / 32), (3, 3, 1.0), (10, 2, 2 * 79 / 4096)],
)
def test_mcnemar_counts_coin_flips(only_a: int, only_b: int, expected: float) -> None:
    a = [True] * only_a + [False] * only_b + [True, False]
    b = [False] * only_a + [True] * only_b + [True, False]
    assert mcnemar_exact(a, b) == pytest.approx(expected)


def test_holm_corrects_in_order_and_keeps_the_order_given() -> None:
    assert holm([0.01, 0.04, 0.03, 0.6]) == pytest.approx([0.04, 0.09, 0.09, 0.6])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
