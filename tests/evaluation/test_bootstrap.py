from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from steep.evaluation.statistics import (
    bootstrap_interval,
    mean_interval,
    paired_bootstrap,
    paired_difference,
    ratio,
    ratio_difference,
)

STUDIES = 400


def study(rng: np.random.Generator, documents: int) -> tuple[NDArray[np.int64], list[str]]:
    """Outcomes of 4 to 19 questions on each document: 30% first, 10% second, 60% neither."""
    clusters = np.repeat(np.arange(documents), rng.integers(4, 20, documents))
    own = rng.dirichlet(np.array([0.3, 0.1, 0.6]) * 9, documents)[clusters]
    outcomes = (rng.random(len(clusters))[:, None] > own.cumsum(1)).sum(1)
    return outcomes, [str(cluster) for cluster in clusters]


def sides(outcomes: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    return [float(each == 0) for each in outcomes], [float(each == 1) for each in outcomes]


def test_paired_differences_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(STUDIES):
        outcomes, clusters = study(rng, 20)
        interval = paired_bootstrap(*sides(outcomes), clusters, resamples=1000)
        hits += interval.low <= 0.2 <= interval.high
    assert 0.92 <= hits / STUDIES <= 0.98


def test_a_ratio_of_two_counts_covers_the_truth() -> None:
    """Right among those attempted: of 40% attempted, three quarters are right."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(STUDIES):
        outcomes, clusters = study(rng, 20)
        columns = [[float(each == 0), float(each < 2)] for each in outcomes]
        interval = bootstrap_interval(columns, clusters, ratio, resamples=1000)
        hits += interval.low <= 0.75 <= interval.high
    assert 0.92 <= hits / STUDIES <= 0.98


def test_of_many_documents_it_is_the_interval_of_the_other_way() -> None:
    outcomes, clusters = study(np.random.default_rng(5), 400)
    a, b = sides(outcomes)
    drawn, exact = paired_bootstrap(a, b, clusters), paired_difference(a, b, clusters)
    assert drawn.mean == pytest.approx(exact.mean)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.005)
    mean = bootstrap_interval([[each, 1.0] for each in a], clusters, ratio)
    wilson = mean_interval(a, clusters)
    assert (mean.low, mean.high) == pytest.approx((wilson.low, wilson.high), abs=0.005)


def test_draws_follow_from_the_seed() -> None:
    outcomes, clusters = study(np.random.default_rng(6), 12)
    first = paired_bootstrap(*sides(outcomes), clusters, seed=1)
    assert first == paired_bootstrap(*sides(outcomes), clusters, seed=1)
    assert first != paired_bootstrap(*sides(outcomes), clusters, seed=2)


def test_sums_of_two_models_make_a_difference_of_ratios() -> None:
    columns = [[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 0.0, 0.0]]
    interval = bootstrap_interval(columns, ["a", "b", "c"], ratio_difference)
    assert interval.mean == pytest.approx(2 / 3 - 1 / 2)
    assert (interval.n, interval.clusters) == (3, 3)


def test_resamples_without_a_score_are_left_out_and_no_score_at_all_is_said() -> None:
    columns = [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert bootstrap_interval(columns, ["a", "b", "c"], ratio).high == 1.0
    with pytest.raises(ValueError, match="no score"):
        bootstrap_interval([[0.0, 0.0]] * 3, ["a", "b", "c"], ratio)


def test_of_one_document_the_questions_are_drawn() -> None:
    interval = bootstrap_interval([[1.0, 1.0], [0.0, 1.0]] * 10, ["a"] * 20, ratio)
    assert 0.2 < interval.low < 0.5 < interval.high < 0.8
