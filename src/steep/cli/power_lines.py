"""How many questions and documents detect a difference, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from steep.core.formatting import UNKNOWN, count, decimal, listing, percent, plural, points, some_of
from steep.core.tables import table, wrapped

if TYPE_CHECKING:
    from steep.evaluation.power import DifferenceSpread, NeededDocuments, ObservedSpread, PowerPlan

SHOWN_REASONS = 3


def of_power(plan: PowerPlan) -> list[str]:
    """Return the lines of a plan."""
    return [
        *wrapped(_goal(plan)),
        *([] if plan.observed else wrapped(_assumed(plan))),
        "",
        *(_observed(plan, plan.hardest) if plan.hardest else ()),
        *_needed(plan),
        "",
        *(line for each in _notes(plan) for line in wrapped(each)),
    ]


def _goal(plan: PowerPlan) -> str:
    goal = points(plan.difference, sign=False)
    return (
        f"To find a true difference of {goal} points in {percent(plan.power, 0)} of studies, at a "
        f"two-sided level of 5%, paired and clustered by document, corrected for "
        f"{plural(plan.comparisons, 'planned comparison')} (Holm's first step):"
    )


def _assumed(plan: PowerPlan) -> str:
    share = percent(plan.spreads[0].discordant, 0)
    return (
        f"There is no evaluation yet, so it is assumed that two models differ on {share} of the "
        "questions, and several correlations within documents (ICC)."
    )


def _observed(plan: PowerPlan, hardest: ObservedSpread) -> list[str]:
    head = ["metric: pair", "documents", "questions", "differ on", "ICC", "training", "detects"]
    rows = [head]
    for each in plan.observed:
        training = each.spread.training
        rows.append(
            [
                _pair(each),
                count(each.documents),
                count(each.questions),
                percent(each.spread.discordant),
                decimal(each.spread.icc, 2),
                UNKNOWN if training is None else points(training.variance**0.5, sign=False),
                _points(each.detectable),
            ]
        )
    note = (
        "The latest evaluation: the share of questions on which two models differ (with several "
        "seeds, the mean squared difference), the correlation within documents, the standard error "
        "of training in points, and the difference in points that its questions detect. The table "
        f"below is for the pair that needs the most: {_pair(hardest)}."
    )
    if len(plan.spreads) > 1:
        note += " With few documents the ICC is a rough estimate, so larger ones are shown, too."
    return [*table(rows), *wrapped(note), ""]


def _pair(each: ObservedSpread) -> str:
    return f"{each.metric}: {each.a} - {each.b}"


def _needed(plan: PowerPlan) -> list[str]:
    head = ["questions per document", *(f"documents, {_named(each)}" for each in plan.spreads)]
    return table([head, *(_row(each) for each in plan.needed)])


def _named(spread: DifferenceSpread) -> str:
    return f"ICC {decimal(spread.icc, 2)}"


def _row(each: NeededDocuments) -> list[str]:
    cells = (
        "never" if number is None else f"{count(number)} ({count(number * each.per_document)})"
        for number in each.documents
    )
    return [count(each.per_document), *cells]


def _notes(plan: PowerPlan) -> Iterator[str]:
    yield (
        "In brackets: questions in total. The project has "
        f"{plural(plan.documents, 'document')}; more questions per document help less the larger "
        "the ICC is."
    )
    if plan.questions:
        yield _detects(plan)
    yield from _counted(plan)
    if all(each.training is None for each in plan.spreads):
        yield "The variance of training is not included; train.seeds above 1 measures it."
    if any(number is None for each in plan.needed for number in each.documents):
        yield (
            "never: the variance of training alone is too large for this difference; train more "
            "seeds (train.seeds)."
        )


def _detects(plan: PowerPlan) -> str:
    """Return which differences the present questions detect."""
    pairs = list(zip(plan.spreads, plan.detectable, strict=True))
    found = [f"{_points(share)} points at {_named(s)}" for s, share in pairs if share is not None]
    none = [_named(spread) for spread, share in pairs if share is None]
    few = "too few to detect any difference" + (f" at {listing(none)}" if found else "")
    parts = [f"detect {', '.join(found)}"] if found else []
    parts += [f"are {few}"] if none else []
    about = f"{plural(plan.questions, 'question')} about {plural(plan.asked_documents, 'document')}"
    return f"The present {about} {', and '.join(parts)}."


def _counted(plan: PowerPlan) -> Iterator[str]:
    """Yield which questions count as present, and why others do not."""
    if plan.not_counted is None:
        yield "No question is counted as present: evaluate.questions is not set."
        return
    kind = "short answers" if plan.short_answers else "options"
    text = f"Counted as present: the questions of evaluate.questions with {kind}."
    if plan.not_counted:
        shown = [f"{count(number)} ({reason})" for reason, number in plan.not_counted.items()]
        text += f" Not counted: {some_of(shown, SHOWN_REASONS)}."
    yield text


def _points(share: float | None) -> str:
    return "none" if share is None else points(share, sign=False)
