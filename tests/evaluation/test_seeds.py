"""Arms with several seeds: compared as means of their models, with the variance of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from benchmarks.seeds import coverage

from steep.evaluation.compare import Grade, compare
from steep.evaluation.results import ModelComparison
from steep.evaluation.setup import PlannedComparisons
from steep.evaluation.statistics import TrainingVariance, mean_interval, paired_difference, paired_p

DOCUMENTS, QUESTIONS = 10, 6
SEEDS = {"raw": ("raw", "raw-seed1", "raw-seed2"), "one": ("one",)}
PLANNED = PlannedComparisons({("raw", "base"), ("one", "base")}, SEEDS)


def graded(rate: float, seed: int) -> list[Grade]:
    random = np.random.default_rng(seed)
    return [
        Grade(f"{document}-{number}", f"d{document}", "near", float(random.random() < rate))
        for document in range(DOCUMENTS)
        for number in range(QUESTIONS)
    ]


GRADES = {
    "base": graded(0.3, 0),
    "raw": graded(0.5, 1),
    "one": graded(0.6, 2),
    "raw-seed1": graded(0.6, 3),
    "raw-seed2": graded(0.8, 4),
}


def accuracy(grades: Sequence[Grade]) -> float:
    return sum(each.value or 0 for each in grades) / len(grades)


@pytest.fixture(scope="module")
def found() -> ModelComparison:
    return compare(GRADES, PLANNED)


def test_an_arm_is_the_mean_of_its_models(found: ModelComparison) -> None:
    (arm,) = found.arms
    own = {name: accuracy(GRADES[name]) for name in SEEDS["raw"]}
    assert arm.name == "raw" and arm.by_model == pytest.approx(own)
    assert arm.accuracy == pytest.approx(sum(own.values()) / 3)
    assert arm.errors is not None and arm.errors.training is not None
    assert arm.errors.training == pytest.approx(math.sqrt(np.var([*own.values()], ddof=1) / 3))
    assert [model.name for model in found.models] == [*GRADES]
    pairs = {(pair.a, pair.b): pair for pair in found.pairs}
    assert set(pairs) == {("raw", "base"), ("one", "base"), ("one", "raw")}
    gain = pairs["raw", "base"]
    assert gain.difference == pytest.approx(sum(own.values()) / 3 - accuracy(GRADES["base"]))
    assert gain.p_mcnemar is None, "means are neither right nor wrong"
    assert gain.planned and not pairs["one", "raw"].planned
    assert gain.by_kind["near"].errors == gain.errors


def test_training_is_unknown_with_one_seed_and_nothing_where_none_was(
    found: ModelComparison,
) -> None:
    training = {each.name: each.errors and each.errors.training for each in found.models}
    assert training == dict.fromkeys(GRADES, None) | {"base": 0.0}
    pairs = {(pair.a, pair.b): pair.errors for pair in found.pairs}
    known, unknown = pairs["raw", "base"], pairs["one", "base"]
    assert known is not None and unknown is not None and unknown.training is None
    assert known.training is not None and known.training > 0
    assert found.arms[0].errors is not None
    assert known.training == found.arms[0].errors.training, "the base adds none"


def sides() -> tuple[list[float], list[float], list[str]]:
    raw = np.mean([[each.value or 0 for each in GRADES[name]] for name in SEEDS["raw"]], axis=0)
    base = [each.value or 0.0 for each in GRADES["base"]]
    return raw.tolist(), base, [each.document_id for each in GRADES["base"]]


def test_the_variance_of_training_widens_an_interval() -> None:
    a, b, documents = sides()
    none, some = TrainingVariance(0.0, 2), TrainingVariance(0.01, 2)
    for alone, zero, wide in (
        [paired_difference(a, b, documents, own) for own in ([], [none], [some])],
        [mean_interval(a, documents, own) for own in ([], [none], [some])],
    ):
        assert (alone.low, alone.high) == pytest.approx((zero.low, zero.high))
        assert wide.low < alone.low and alone.high < wide.high and wide.mean == alone.mean
    assert paired_p(a, b, documents, [some]) > paired_p(a, b, documents)


def test_degrees_of_freedom_are_those_of_the_part_that_dominates() -> None:
    a, b, documents = sides()
    a = [(2 + x) / 10 for x in a]  # small differences, so that bounds are not cut
    b = [(2 + x) / 10 for x in b]
    large = TrainingVariance(0.04, 4)
    found = paired_difference(a, b, documents, [large])
    t_of_four = 2.7764
    assert found.high - found.low == pytest.approx(2 * t_of_four * 0.2, rel=0.06)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_hold_the_truth_over_documents_and_seeds(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    both, questions = coverage(random, 400, 20, training=0.3, luck=0.2, seeds=seeds)
    assert both > 0.92, both
    assert questions < 0.87, "models as given are not enough"


def test_a_question_counts_if_it_counts_for_every_model() -> None:
    grades: Mapping[str, list[Grade]] = {name: list(own) for name, own in GRADES.items()}
    grades["raw-seed1"][0] = grades["raw-seed1"][0]._replace(value=None)
    found = compare(grades, PLANNED)
    assert found.arms[0].n == DOCUMENTS * QUESTIONS - 1
    assert {(p.a, p.b): p.n for p in found.pairs}["one", "base"] == DOCUMENTS * QUESTIONS
