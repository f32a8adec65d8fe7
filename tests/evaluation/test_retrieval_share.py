"""The share of the gain of retrieval that a trained model has closed book."""

from __future__ import annotations

import math

import pytest

from steep.evaluation.compare import Grade
from steep.evaluation.methods.retrieval_share import retrieval_shares

QUESTIONS, DOCUMENTS = 2000, 50


def grades(right: int, *, questions: int = QUESTIONS, unparsed: int = 0) -> list[Grade]:
    """Answers of which the first `right` are right, spread over documents."""
    return [
        Grade(f"q{n}", f"d{n % DOCUMENTS}", "", None if n < unparsed else float(n < right))
        for n in range(questions)
    ]


def test_the_share_of_the_paper_is_found_again() -> None:
    # Base 39.49%, trained 56.22%, base with retrieval 60.35%: 16.73 of 20.86 points.
    closed = {"base": grades(790), "trained": grades(1124)}
    open_book = {"base": grades(1207), "trained": grades(1252)}
    (found,) = retrieval_shares(closed, open_book)
    assert found.retrieval.difference == pytest.approx(0.2085)
    assert found.trained.difference == pytest.approx(0.167)
    assert found.share is not None and found.share.mean == pytest.approx(0.80, abs=0.005)
    assert 0.7 < found.share.low < 0.8 < found.share.high < 0.9
    assert found.trained_over_retrieval.difference == pytest.approx(-0.0415)
    assert found.both_over_retrieval is not None
    assert found.both_over_retrieval.difference == pytest.approx(0.0225)


def test_there_is_no_share_of_a_gain_that_is_not_above_zero() -> None:
    closed = {"base": grades(800), "trained": grades(1000)}
    (found,) = retrieval_shares(closed, {"base": grades(800)})
    assert found.share is None and found.both_over_retrieval is None
    assert found.trained.difference == pytest.approx(0.1)


def test_all_three_are_measured_on_the_same_questions() -> None:
    closed = {"base": grades(800, unparsed=100), "trained": grades(1000, unparsed=300)}
    (found,) = retrieval_shares(closed, {"base": grades(1100, questions=1500)})
    assert {found.retrieval.n, found.trained.n, found.trained_over_retrieval.n} == {1200}
    assert found.share is not None and math.isfinite(found.share.low)


@pytest.mark.parametrize("missing", ["closed", "open book"])
def test_without_the_base_in_both_ways_there_is_no_share(missing: str) -> None:
    closed = {"trained": grades(1000)} | ({"base": grades(800)} if missing != "closed" else {})
    open_book = {} if missing == "open book" else {"base": grades(1200)}
    assert not list(retrieval_shares(closed, open_book))


def test_without_a_common_question_there_is_no_share() -> None:
    closed = {"base": grades(800), "trained": grades(0, unparsed=QUESTIONS)}
    assert not list(retrieval_shares(closed, {"base": grades(1200)}))
