"""What is said follows from the numbers: found, hint, or open."""

from __future__ import annotations

import pytest

from steep.report.conclusions import against_chance, conclusion, headline, uneven_intervals, verdict
from steep.report.view_models import Compared, Estimate, ModelScore, PairScore


def pair(value: float, low: float, high: float, p: float, p_holm: float | None) -> PairScore:
    planned = p_holm is not None
    return PairScore("new", "old", planned, Estimate(60, value, low, high), {}, p, p_holm, p)


def scores(*pairs: PairScore, smallest: float | None = 0.18) -> Compared:
    models = [ModelScore(name, 6, Estimate(60, 0.3, 0.2, 0.4), {}, {}) for name in ("old", "new")]
    return Compared(models, list(pairs), smallest)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pair(0.2, 0.1, 0.3, 0.001, 0.003), "found"),
        (pair(-0.2, -0.3, -0.1, 0.001, 0.001), "found"),
        (pair(0.2, 0.01, 0.3, 0.04, 0.12), "hint"),
        (pair(0.2, 0.1, 0.3, 0.001, None), "hint"),
        (pair(0.05, -0.1, 0.2, 0.6, 0.6), "open"),
        (pair(0.05, -0.1, 0.2, 0.6, None), "open"),
        (pair(0.2, 0.0, 0.4, 0.05, 0.05), "open"),
    ],
)
def test_a_verdict_is_that_of_the_corrected_p(found: PairScore, expected: str) -> None:
    assert verdict(found) == expected


def test_a_loss_is_told_from_the_better_model(pair_low: float = -0.3) -> None:
    sentence = conclusion(pair(-0.2, pair_low, -0.1, 0.001, 0.003), scores())

    assert sentence.startswith("Old is 20.0 percentage points above new")
    assert "[+10.0, +30.0]" in sentence
    assert "excludes zero" in sentence


def test_an_open_question_says_what_could_have_been_seen() -> None:
    sentence = conclusion(pair(0.05, -0.1, 0.2, 0.6, 0.6), scores())

    assert "cannot be told apart" in sentence
    assert "includes zero" in sentence
    assert "below 18.0 points" in sentence
    assert "below" not in conclusion(pair(0.05, -0.1, 0.2, 0.6, 0.6), scores(smallest=None))


def test_the_first_sentence_names_measure_and_claims_no_more_than_was_found() -> None:
    found = headline(scores(pair(0.2, 0.1, 0.3, 0.001, 0.003)), "by heart")
    open_question = headline(scores(pair(0.2, -0.1, 0.5, 0.3, 0.3)), "by heart")

    assert found.startswith("On 60 questions about 6 documents, by heart, ")
    assert "new is 20 points above old" in found
    assert "no two models can be told apart" in open_question
    assert "above" not in open_question


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.3, 0.5, "above guessing"), (0.2, 0.4, "cannot be told from"), (0.1, 0.2, "below guessing")],
)
def test_a_model_is_held_against_guessing(low: float, high: float, said: str) -> None:
    model = ModelScore("old", 6, Estimate(60, (low + high) / 2, low, high), {}, {})

    assert said in (against_chance(model, 0.25) or "")
    assert against_chance(model, None) is None


@pytest.mark.parametrize(
    ("wide", "chance", "is_explained"),
    [
        (Estimate(60, 0.4, 0.2, 0.6), 0.25, True),
        (Estimate(60, 0.3, 0.2, 0.4), 0.25, False),  # a lower accuracy needs no explanation
        (Estimate(60, 0.4, 0.3, 0.6), 0.25, False),
        (Estimate(60, 0.4, 0.2, 0.6), None, False),
        (None, 0.25, False),
    ],
)
def test_equal_accuracies_of_which_one_is_above_guessing_are_explained(
    wide: Estimate | None, chance: float | None, is_explained: bool
) -> None:
    models = [
        ModelScore("base", 6, wide, {}, {}),
        ModelScore("arm", 6, Estimate(60, 0.4, 0.3, 0.5), {}, {}),
    ]
    assert (uneven_intervals(models, chance) is not None) is is_explained
