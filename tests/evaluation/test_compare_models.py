from __future__ import annotations

from collections.abc import Sequence

import pytest

from steep.evaluation.compare import compare_models
from steep.evaluation.normalizers import OptionScores
from steep.evaluation.questions import Question, SkippedQuestion
from steep.evaluation.rows import Row, make_rows

QUESTIONS = [
    Question(f"q{n}", f"d{n % 4}", ("near", "far")[n % 2], "?", ("a", "b", "c", "d"), (n % 4,))
    for n in range(24)
]


def rows(right: Sequence[int]) -> list[Row]:
    """Rows of a model that chooses the right option for these questions only."""
    scores = []
    for n, question in enumerate(QUESTIONS):
        chosen = (question.gold[0] + (n not in right)) % 4
        logprobs = tuple(-1.0 if index == chosen else -5.0 for index in range(4))
        scores.append(OptionScores(logprobs, (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)))
    return make_rows(QUESTIONS, scores)


MODELS = {"base": rows(range(6)), "raw": rows(range(12)), "entigraph": rows(range(20))}


def test_every_model_is_scored_with_its_interval_by_kind_and_normaliser() -> None:
    base, raw, _ = compare_models(MODELS, "per_token")["models"]
    assert set(raw) == {
        *("name", "n", "documents", "accuracy", "low", "high", "by_kind", "by_normalizer")
    }
    assert (base["name"], base["n"], base["documents"], base["accuracy"]) == ("base", 24, 4, 0.25)
    assert raw["low"] < raw["accuracy"] == 0.5 < raw["high"]
    assert raw["by_kind"]["far"]["n"] == 12
    assert raw["by_kind"]["far"]["accuracy"] == 0.5
    assert set(raw["by_kind"]["far"]) == {"n", "accuracy", "low", "high"}
    assert raw["by_normalizer"] == dict.fromkeys(
        ("sum", "per_token", "per_character", "per_byte"), 0.5
    )


def test_every_pair_is_compared_the_later_minus_the_earlier() -> None:
    pairs = compare_models(MODELS, "per_token")["pairs"]
    assert [(pair["a"], pair["b"]) for pair in pairs] == [
        ("raw", "base"),
        ("entigraph", "base"),
        ("entigraph", "raw"),
    ]
    first = pairs[0]
    assert set(first) == {"a", "b", "n", "difference", "low", "high", "p_mcnemar", "p_holm"} | {
        "by_kind"
    }
    assert first["difference"] == 0.25
    assert first["p_mcnemar"] == pytest.approx(2 / 2**6)
    assert set(first["by_kind"]["near"]) == {"n", "difference", "low", "high"}
    assert [pair["p_holm"] for pair in pairs] == pytest.approx([2 / 2**6, 6 / 2**14, 4 / 2**8])


def test_chance_smallest_difference_and_what_was_skipped_are_said() -> None:
    scores = compare_models(MODELS, "sum", [SkippedQuestion("q99", "it has no gold answer")])
    assert scores["normalizer"] == "sum"
    assert scores["chance"] == 0.25
    assert 0 < scores["minimum_detectable_difference"] < 1
    assert scores["skipped"] == [{"question_id": "q99", "reason": "it has no gold answer"}]


def test_one_model_alone_has_no_pairs() -> None:
    scores = compare_models({"base": rows([0])}, "sum")
    assert scores["pairs"] == []
    assert scores["minimum_detectable_difference"] is None


def test_models_that_answered_other_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="'raw' answered 23 questions, not the 24 of 'base'"):
        compare_models({"base": rows([]), "raw": rows([])[1:]}, "sum")
    with pytest.raises(ValueError, match="in another order"):
        compare_models({"base": rows([]), "raw": rows([])[::-1]}, "sum")
