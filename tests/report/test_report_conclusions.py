"""Conclusions follow from the numbers: significant, suggestive, or not significant."""

from __future__ import annotations

from typing import Any

import pytest

from steep.evaluation.results import (
    ArmScore,
    Comparison,
    LikelihoodResult,
    ModelComparison,
    ModelScore,
)
from steep.report.conclusions import (
    against_chance,
    conclusion,
    conclusions,
    headline,
    uneven_intervals,
    verdict,
)


def pair(value: float, low: float, high: float, p: float, p_holm: float | None) -> Comparison:
    return Comparison(
        a="new",
        b="old",
        planned=p_holm is not None,
        n=60,
        difference=value,
        low=low,
        high=high,
        by_kind={},
        p=p,
        p_holm=p_holm,
        p_mcnemar=p,
        bootstrap_low=low,
        bootstrap_high=high,
    )


def model(name: str, *accuracy: float | None) -> ModelScore:
    value, low, high = accuracy
    return ModelScore(name=name, documents=6, n=60, accuracy=value, low=low, high=high, by_kind={})


def scores(*pairs: Comparison, smallest: float | None = 0.18) -> ModelComparison:
    models = (model("old", 0.3, 0.2, 0.4), model("new", 0.3, 0.2, 0.4))
    return ModelComparison(models=models, pairs=pairs, minimum_detectable_difference=smallest)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pair(0.2, 0.1, 0.3, 0.001, 0.003), "significant"),
        (pair(-0.2, -0.3, -0.1, 0.001, 0.001), "significant"),
        (pair(0.2, 0.01, 0.3, 0.04, 0.12), "suggestive"),
        (pair(0.2, 0.1, 0.3, 0.001, None), "suggestive"),
        (pair(0.05, -0.1, 0.2, 0.6, 0.6), "not significant"),
        (pair(0.05, -0.1, 0.2, 0.6, None), "not significant"),
        (pair(0.2, 0.0, 0.4, 0.05, 0.05), "not significant"),
    ],
)
def test_a_verdict_is_that_of_the_corrected_p(found: Comparison, expected: str) -> None:
    assert verdict(found) == expected


def test_a_negative_difference_is_stated_from_the_better_model() -> None:
    sentence = conclusion(pair(-0.2, -0.3, -0.1, 0.001, 0.003), scores())

    assert sentence.startswith("Old is 20.0 percentage points above new")
    assert "[+10.0, +30.0]" in sentence
    assert sentence.endswith("The difference is significant.")


def test_a_difference_that_is_not_significant_comes_with_the_detectable_one() -> None:
    sentence = conclusion(pair(0.05, -0.1, 0.2, 0.6, 0.6), scores())

    assert "do not differ significantly" in sentence
    assert "5.0 percentage points in favor of new" in sentence
    assert "below about 18.0 points" in sentence
    assert "below" not in conclusion(pair(0.05, -0.1, 0.2, 0.6, 0.6), scores(smallest=None))
    assert "in favor of" not in conclusion(pair(0.0, -0.1, 0.1, 1.0, 1.0), scores())


def test_the_first_sentence_names_measure_and_claims_no_more_than_was_found() -> None:
    found = headline(scores(pair(0.2, 0.1, 0.3, 0.001, 0.003)), "luck")
    open_question = headline(scores(pair(0.2, -0.1, 0.5, 0.3, 0.3)), "luck")

    assert found.startswith("On 60 questions about 6 documents, closed book and scored by luck, ")
    assert "new is 20 points above old" in found
    assert "no two models differ significantly" in open_question
    assert "above" not in open_question


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (pair(0.2, 0.01, 0.3, 0.04, 0.12), "not significant after correction"),
        (pair(0.2, 0.1, 0.3, 0.001, None), "is exploratory"),
    ],
)
def test_a_suggestive_difference_says_why_it_is_no_more(found: Comparison, reason: str) -> None:
    sentence = conclusion(found, scores())

    assert "New is 20.0 percentage points above old" in sentence
    assert "only suggestive" in sentence and reason in sentence


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.3, 0.5, "is above chance"),
        (0.2, 0.4, "does not differ significantly from chance"),
        (0.1, 0.2, "is below chance"),
    ],
)
def test_a_model_is_compared_with_chance(low: float, high: float, said: str) -> None:
    found = model("old", (low + high) / 2, low, high)

    assert said in (against_chance(found, 0.25) or "")
    assert against_chance(found, None) is None


@pytest.mark.parametrize(
    ("wide", "chance", "is_explained"),
    [
        ((0.4, 0.2, 0.6), 0.25, True),
        ((0.3, 0.2, 0.4), 0.25, False),  # a lower accuracy needs no explanation
        ((0.4, 0.3, 0.6), 0.25, False),
        ((0.4, 0.2, 0.6), None, False),
        ((None, None, None), 0.25, False),
    ],
)
def test_equal_accuracies_of_which_one_is_above_chance_are_explained(
    wide: tuple[float | None, ...], chance: float | None, is_explained: bool
) -> None:
    models = (model("base", *wide), model("arm", 0.4, 0.3, 0.5))
    assert (uneven_intervals(models, chance) is not None) is is_explained


def test_an_arm_with_several_seeds_is_one_model() -> None:
    arm = {**vars(model("new", 0.35, 0.3, 0.45)), "by_model": {"new": 0.3, "new-seed1": 0.4}}
    seeds = {"models": (*scores().models, model("new-seed1", 0.4, 0.3, 0.5))}
    fields: dict[str, Any] = {**vars(scores()), **seeds, "arms": (ArmScore(**arm),)}
    fields |= {"chance": 0.25, "chance_by_kind": {}, "several_right": 0, "normalizer": "sum"}
    text = str(conclusions(LikelihoodResult(**fields, bias=None, calibration=()), "choices"))
    assert "Old, at 30.0%" in text and "New, at 35.0% [30.0, 45.0], is above chance" in text
    assert text.count("New, at") == 1 and "New-seed1" not in text
