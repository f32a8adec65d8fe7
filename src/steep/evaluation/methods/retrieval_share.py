"""How much of the gain of retrieval a trained model has without retrieval.

The paper compares the two in this way (section 5): closed book, the trained model has gained 80% of
what retrieval adds to the base model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steep.evaluation.compare import Grade, difference
from steep.evaluation.config import BASE
from steep.evaluation.results import Interval, TestedDifference
from steep.evaluation.statistics import bootstrap_interval, ratio
from steep.evaluation.study_results import RetrievalShare

Grades = Mapping[str, Sequence[Grade]]  # by model


def retrieval_shares(closed: Grades, open_book: Grades) -> Iterator[RetrievalShare]:
    """Yield the share of each trained model, on the questions that count in all three ways.

    Args:
        closed: Closed-book grades.
        open_book: Grades of each model with retrieved texts, at the setting that is reported.
    """
    if BASE not in closed or BASE not in open_book:
        return
    for model in (name for name in closed if name != BASE):
        before, retrieved, trained = _common(closed[BASE], open_book[BASE], closed[model])
        retrieval, own = difference(retrieved, before), difference(trained, before)
        beside = difference(trained, retrieved)
        if retrieval and own and beside:
            yield RetrievalShare(
                model=model,
                retrieval=retrieval,
                trained=own,
                trained_over_retrieval=beside,
                both_over_retrieval=_both(open_book, model),
                share=_share(before, retrieved, trained) if retrieval.low > 0 else None,
            )


def _common(*ways: Sequence[Grade]) -> list[list[Grade]]:
    """Return the grades of the questions that count in every way, in one order."""
    by_id = [{each.question_id: each for each in way if each.value is not None} for way in ways]
    kept = [name for name in by_id[0] if all(name in other for other in by_id)]
    return [[own[name] for name in kept] for own in by_id]


def _both(open_book: Grades, model: str) -> TestedDifference | None:
    if model not in open_book:
        return None
    base, trained = _common(open_book[BASE], open_book[model])
    return difference(trained, base)


def _share(
    before: Sequence[Grade], retrieved: Sequence[Grade], trained: Sequence[Grade]
) -> Interval:
    """Return the gain of training over that of retrieval, with its interval over documents."""
    values = [[each.value or 0.0 for each in way] for way in (before, retrieved, trained)]
    gains = [[own - base, found - base] for base, found, own in zip(*values, strict=True)]
    return bootstrap_interval(gains, [each.document_id for each in before], ratio)
