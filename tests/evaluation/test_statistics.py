from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from steep.evaluation.statistics import (
    Interval,
    holm,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_difference,
)

STUDIES = 2000
RIGHT = st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcdef")), min_size=1)


def study(
    rng: np.random.Generator, documents: int, rate: float, correlation: float
) -> tuple[NDArray[np.float64], list[int]]:
    """Right and wrong on 4 to 19 questions a document, beta-binomial: correlated within it."""
    sizes = rng.integers(4, 20, documents)
    scale = 1 / correlation - 1
    rates = rng.beta(rate * scale, (1 - rate) * scale, documents)
    clusters = np.repeat(np.arange(documents), sizes)
    return (rng.random(len(clusters)) < rates[clusters]).astype(float), clusters.tolist()


def covered(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("documents", [6, 20])
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_intervals_of_a_mean_cover_the_truth(documents: int, rate: float) -> None:
    rng = np.random.default_rng(documents)
    hits = sum(
        covered(mean_interval(*study(rng, documents, rate, 0.15)), rate)  # type: ignore[arg-type]
        for _ in range(STUDIES // 2)
    )
    assert 0.93 <= hits / (STUDIES // 2)
