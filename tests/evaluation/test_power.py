"""Stated power against simulated studies, and the spread of observed differences."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from benchmarks.power import DISCORDANT, simulated_power
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.evaluation.compare import PairDifferences
from steep.evaluation.power import (
    DifferenceSpread,
    SetSize,
    detectable,
    documents_needed,
    power_of,
    spread_of,
)
from steep.evaluation.statistics import TrainingVariance, paired_p

SPREADS = st.builds(
    lambda discordant, icc: DifferenceSpread(discordant=discordant, icc=icc),
    st.floats(0.05, 0.9),
    st.floats(0, 0.5),
)


@pytest.mark.parametrize(
    ("documents", "per_document", "icc"), [(8, 12, 0.0), (12, 10, 0.1), (30, 5, 0.05), (30, 8, 0.3)]
)
def test_stated_power_is_that_of_simulated_studies(
    documents: int, per_document: int, icc: float
) -> None:
    spread = DifferenceSpread(discordant=DISCORDANT, icc=icc)
    size = SetSize.of([per_document] * documents)
    gain = detectable(spread, size)
    assert gain is not None and gain < 0.3
    random = np.random.default_rng(1)
    alone, corrected = simulated_power(random, 400, documents, per_document, icc, gain)
    assert alone == pytest.approx(power_of(spread, size, gain), abs=0.06)
    assert corrected == pytest.approx(power_of(spread, size, gain, 3), abs=0.07)


def test_the_level_is_kept_without_a_difference() -> None:
    for spread in (DifferenceSpread(discordant=0.3, icc=icc) for icc in (0.0, 0.1)):
        size = SetSize.of([10] * 40)
        assert 0.015 < power_of(spread, size, 0.0) < 0.026, "one of the two sides"


@settings(deadline=None, derandomize=True, max_examples=40)
@given(SPREADS, st.integers(1, 20), st.floats(0.02, 0.3), st.integers(1, 6))
def test_needed_documents_are_the_fewest(
    spread: DifferenceSpread, per_document: int, difference: float, comparisons: int
) -> None:
    found = documents_needed(spread, per_document, difference, comparisons)
    assert found is not None

    def power(documents: int) -> float:
        size = SetSize.of([per_document] * documents)
        return power_of(spread, size, difference, comparisons)

    assert power(found) >= 0.8
    assert found == 2 or power(found - 1) < 0.8
    one = documents_needed(spread, per_document, difference)
    assert one is not None and one <= found, "more comparisons need more documents"


@settings(deadline=None, derandomize=True, max_examples=40)
@given(SPREADS, st.lists(st.integers(1, 30), min_size=3, max_size=40))
def test_what_is_detectable_has_the_power(spread: DifferenceSpread, sizes: list[int]) -> None:
    size = SetSize.of(sizes)
    found = detectable(spread, size)
    if found is None:
        assert power_of(spread, size, 1 - 1e-9) < 0.8
    else:
        assert power_of(spread, size, found) == pytest.approx(0.8, abs=1e-3)


def test_more_questions_per_document_help_less_at_a_higher_icc() -> None:
    gains = []
    for icc in (0.0, 0.1, 0.3):
        spread = DifferenceSpread(discordant=0.3, icc=icc)
        few, many = (documents_needed(spread, each, 0.05) for each in (5, 50))
        assert few is not None and many is not None and many <= few
        gains.append(few / many)
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 8 and gains[-1] < 1.6


def test_the_variance_of_training_bounds_what_documents_can_do() -> None:
    steady = DifferenceSpread(discordant=0.3, icc=0.0)
    varying = DifferenceSpread(discordant=0.3, icc=0.0, training=TrainingVariance(0.01**2, 4))
    hopeless = DifferenceSpread(discordant=0.3, icc=0.0, training=TrainingVariance(0.05**2, 4))
    few, more = (documents_needed(each, 10, 0.05) for each in (steady, varying))
    assert few is not None and more is not None and few < more
    assert documents_needed(hopeless, 10, 0.05) is None


@pytest.mark.parametrize("planned", [1, 3])
def test_what_a_study_says_it_detects_is_detected_in_four_of_five(planned: int) -> None:
    rng = np.random.default_rng(9)
    clusters = [str(number % 40) for number in range(400)]
    study = partial(simulated, rng, clusters)
    smallest = PairDifferences("a", "b", study(0.0), clusters, []).detectable(planned)
    assert smallest is not None
    found = 0
    for _ in range(400):
        differences = np.array(study(smallest))
        sides = (differences > 0).tolist(), (differences < 0).tolist()
        found += paired_p(*sides, clusters) < 0.05 / planned
    assert 0.72 <= found / 400 <= 0.88


def simulated(rng: np.random.Generator, clusters: list[str], gain: float) -> list[float]:
    draw = rng.random(len(clusters))
    differences = (draw < 0.15 + gain).astype(float) - (draw > 0.85)
    return [float(each) for each in differences]


def test_questions_about_one_document_are_their_own_clusters() -> None:
    one, many = SetSize.of([30]), SetSize.of([1] * 30)
    assert one == many
    alone = PairDifferences("a", "b", [1.0], ["d"], [])
    assert alone.detectable(1) is None


def test_unequal_documents_count_as_fewer() -> None:
    spread = DifferenceSpread(discordant=0.3, icc=0.1)
    equal, unequal = (detectable(spread, SetSize.of(each)) for each in ([10] * 10, [55, *[5] * 9]))
    assert equal is not None and unequal is not None and equal < unequal


@pytest.mark.parametrize("icc", [0.05, 0.3])
def test_the_spread_of_differences_is_recovered(icc: float) -> None:
    random = np.random.default_rng(5)
    member = np.repeat(np.arange(400), random.integers(2, 20, 400))
    shared = random.normal(size=400)[member] * np.sqrt(icc)
    values = 0.4 * (shared + random.normal(size=len(member)) * np.sqrt(1 - icc))
    found = spread_of(values.tolist(), [str(each) for each in member])
    assert found.icc == pytest.approx(icc, abs=0.03)
    assert found.discordant == pytest.approx(0.16, rel=0.1)
    assert found.training is None


def test_the_spread_of_few_differences_is_defined() -> None:
    assert spread_of([0.0, 0.0], ["a", "b"]) == DifferenceSpread(discordant=0.0, icc=0.0)
    assert spread_of([1.0, -1.0, 0.0], ["a"] * 3).icc == 0.0
    known = spread_of(
        [1.0, 0.0], ["a", "b"], [TrainingVariance(0.01, 2), TrainingVariance(0.01, 2)]
    )
    assert known.training == TrainingVariance(0.02, 4)
    zero = spread_of([1.0], ["a"], [TrainingVariance(0.0, 2)])
    assert zero.training == TrainingVariance(0.0, 2)
