from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pytest

from steep.evaluation.compare import Grade, compare
from steep.evaluation.engines import OptionScores
from steep.evaluation.methods.likelihood import likelihood_result
from steep.evaluation.questions import Question
from steep.evaluation.rows import QuestionRow, make_rows
from steep.evaluation.setup import PlannedComparisons
from steep.evaluation.statistics import holm

QUESTIONS = [
    Question(f"q{n}", f"d{n % 4}", ("near", "far")[n % 2], "?", ("a", "b", "c", "d"), (n % 4,))
    for n in range(24)
]


def rows(right: Sequence[int]) -> list[QuestionRow]:
    """Rows of a model that chooses the right option for these questions only."""
    scores = []
    for n, question in enumerate(QUESTIONS):
        chosen = (question.gold[0] + (n not in right)) % 4
        logprobs = tuple(-1.0 if index == chosen else -5.0 for index in range(4))
        scores.append(OptionScores(logprobs, (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)))
    return make_rows(QUESTIONS, scores)


MODELS = {"base": rows(range(6)), "raw": rows(range(12)), "entigraph": rows(range(20))}


def test_every_model_is_scored_with_its_interval_by_kind_and_normaliser() -> None:
    base, raw, _ = likelihood_result(MODELS, "per_token").models
    assert set(asdict(raw)) == {
        *("name", "n", "documents", "accuracy", "low", "high", "by_kind", "by_normalizer", "ties"),
        "errors",
    }
    assert (base.name, base.n, base.documents, base.accuracy) == ("base", 24, 4, 0.25)
    assert raw.low is not None and raw.high is not None and raw.accuracy is not None
    assert raw.low < raw.accuracy == 0.5 < raw.high
    assert raw.by_kind["far"].n == 12
    assert raw.by_kind["far"].accuracy == 0.5
    assert set(asdict(raw.by_kind["far"])) == {"n", "accuracy", "low", "high", "errors"}
    assert raw.by_normalizer == dict.fromkeys(
        ("sum", "per_token", "per_character", "per_byte"), 0.5
    )


def test_every_pair_is_compared_the_later_minus_the_earlier() -> None:
    pairs = likelihood_result(MODELS, "per_token").pairs
    assert [(pair.a, pair.b) for pair in pairs] == [
        ("raw", "base"),
        ("entigraph", "base"),
        ("entigraph", "raw"),
    ]
    first = pairs[0]
    assert set(asdict(first)) == {
        "a",
        "b",
        "n",
        "difference",
        "low",
        "high",
        "p",
        "p_mcnemar",
        "p_holm",
    } | {*("bootstrap_low", "bootstrap_high", "by_kind", "planned", "errors")}
    assert first.bootstrap_low < first.difference < first.bootstrap_high
    assert first.difference == 0.25
    assert first.p_mcnemar == pytest.approx(2 / 2**6)
    assert set(asdict(first.by_kind["near"])) == {"n", "difference", "low", "high", "errors"}
    assert [pair.p_holm for pair in pairs] == pytest.approx(holm([each.p for each in pairs]))
    for pair in pairs:
        assert (pair.low > 0) == (pair.p < 0.05)


def test_holm_corrects_the_planned_comparisons_alone() -> None:
    planned = PlannedComparisons({("base", "raw"), ("entigraph", "raw")}, {})
    pairs = likelihood_result(MODELS, "per_token", planned).pairs
    assert [(pair.a, pair.b, pair.planned) for pair in pairs] == [
        ("base", "raw", True),
        ("entigraph", "raw", True),
        ("entigraph", "base", False),
    ]
    assert [pair.p_holm for pair in pairs] == [
        *holm([pairs[0].p, pairs[1].p]),
        None,
    ]
    assert pairs[2].low < pairs[2].difference < pairs[2].high
    assert pairs[0].difference == -0.25, "as it was planned: base minus raw"


def test_without_a_planned_comparison_all_are_exploratory() -> None:
    pairs = likelihood_result(MODELS, "per_token", PlannedComparisons(set(), {})).pairs
    assert [(pair.planned, pair.p_holm) for pair in pairs] == [(False, None)] * 3


def test_the_smallest_difference_is_that_of_planned_comparisons() -> None:
    every = likelihood_result(MODELS, "per_token")
    one = likelihood_result(MODELS, "per_token", PlannedComparisons({("raw", "base")}, {}))
    assert one.minimum_detectable_difference is not None
    assert every.minimum_detectable_difference is not None
    assert one.minimum_detectable_difference < every.minimum_detectable_difference


def test_chance_and_the_smallest_difference_are_said() -> None:
    scores = likelihood_result(MODELS, "sum")
    assert scores.normalizer == "sum"
    assert scores.chance == 0.25
    assert set(scores.chance_by_kind.values()) == {0.25}
    assert scores.minimum_detectable_difference is not None
    assert 0 < scores.minimum_detectable_difference < 1


def test_one_model_alone_has_no_pairs() -> None:
    scores = likelihood_result({"base": rows([0])}, "sum")
    assert scores.pairs == ()
    assert scores.minimum_detectable_difference is None


def test_models_that_answered_other_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="'raw' answered 23 questions, not the 24 of 'base'"):
        likelihood_result({"base": rows([]), "raw": rows([])[1:]}, "sum")
    with pytest.raises(ValueError, match="in another order"):
        likelihood_result({"base": rows([]), "raw": rows([])[::-1]}, "sum")


def graded(*values: float | None) -> list[Grade]:
    return [Grade(f"q{n}", f"d{n % 3}", "near", value) for n, value in enumerate(values)]


def test_a_pair_is_compared_on_what_counts_for_both() -> None:
    found = compare({"base": graded(1, None, 0, 1), "raw": graded(1, 1, 1, None)})
    assert [(model.n, model.documents) for model in found.models] == [(3, 2), (3, 3)]
    (pair,) = found.pairs
    assert (pair.n, pair.difference, pair.p_mcnemar) == (2, 0.5, 1.0)


def test_a_model_that_nothing_could_be_read_of_has_no_score_and_no_pair() -> None:
    found = compare({"base": graded(None, None), "raw": graded(1, 0)})
    base, raw = found.models
    assert (base.n, base.accuracy, base.by_kind) == (0, None, {})
    assert raw.accuracy == 0.5
    assert found.pairs == ()


def test_grades_between_have_an_interval_and_no_mcnemar() -> None:
    (pair,) = compare({"base": graded(0.2, 0.4, 0), "raw": graded(1, 0.5, 0.3)}).pairs
    assert pair.difference == pytest.approx(0.4)
    assert pair.p_mcnemar is None
    assert pair.p_holm == pair.p
