"""Training beside retrieval: how much of the gain of retrieval a model has closed book."""

from __future__ import annotations

from steep.core.formatting import interval, percent, points
from steep.evaluation.results import TestedDifference
from steep.evaluation.study_results import OpenBookResult, RetrievalShare
from steep.report.blocks import Bullets, Cell, Column, Model, Part, points_cell, share_cell, table
from steep.report.conclusions import capitalized
from steep.report.results import estimate

NOT_ASKED = "not asked"


def share_part(found: OpenBookResult) -> Part | None:
    """Return how much of the gain of retrieval training gives; None unless both were measured."""
    if not found.shares:
        return None
    columns: tuple[Column[RetrievalShare], ...] = (
        ("model", lambda each: Model(each.model)),
        ("n", lambda each: each.retrieval.n),
        (("retrieval alone", "over base"), lambda each: points_cell(each.retrieval)),
        (("training alone", "over base"), lambda each: points_cell(each.trained)),
        (("share", "training / retrieval"), _share_cell),
        (
            ("training alone", "over retrieval"),
            lambda each: points_cell(each.trained_over_retrieval),
        ),
        (
            ("both", "over retrieval"),
            lambda each: points_cell(each.both_over_retrieval, NOT_ASKED),
        ),
    )
    caption = (
        "Retrieval alone: the base model with retrieved texts. Training alone: the trained model "
        "closed book. Points with 95% intervals, on the same questions; the interval of the share "
        "is over resamples of documents. The paper reports a share of 80% (16.7 of 20.9 points)."
    )
    sentences = Bullets([share_sentence(each) for each in found.shares])
    return Part("Training beside retrieval", [sentences, table(found.shares, columns, caption)])


def _share_cell(each: RetrievalShare) -> Cell:
    return share_cell(each.share, "not determined")


def share_sentence(each: RetrievalShare) -> str:
    """Return in a sentence how much of the gain of retrieval a model has closed book."""
    share = estimate(each.share) if each.share else None
    if share is None:
        first = (
            f"{capitalized(each.model)}: its share of the gain of retrieval is not determined, as "
            "retrieval alone does not clearly help the base"
        )
    else:
        first = (
            f"Closed book, {each.model} has {percent(share.value, 0)} "
            f"{interval(share.low, share.high, decimals=0)} of the gain of retrieval"
        )
    return f"{first}; {_both_sentence(each.both_over_retrieval)}."


def _both_sentence(both: TestedDifference | None) -> str:
    found = estimate(both) if both else None
    if found is None:
        return "it was not asked with retrieval"
    size = f"{points(found.value)} points {interval(found.low, found.high, signed=True)}"
    if not found.excludes_zero:
        return f"whether training adds to retrieval is open ({size})"
    adds = "training adds to retrieval" if found.value > 0 else "with retrieval, training harms"
    return f"{adds} ({size})"
