"""What to do next, computed from the results: sentences with the number behind each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from steep.core.formatting import (
    bounds,
    count,
    decimal,
    dollars,
    duration,
    interval,
    percent,
    points,
)
from steep.evaluation.results import Comparison, ModelComparison
from steep.report.conclusions import capitalized, verdict
from steep.report.results import estimate, question_count
from steep.report.run_data import ReportData
from steep.report.sections.ledger import wasted_share
from steep.scaling.results import ArmCurve, Bounded, MetricStudy, Price

MOST = 4  # sentences
MANY_TIMES = 100  # more questions than so many times those of the evaluation are not computed
MUCH_WASTE = 0.25  # of the tokens of texts
LEVEL = 0.005  # a gain from doubling below half a point is a plateau


def next_steps(run: ReportData) -> list[str]:
    """Return the next steps that the results suggest, the most important first."""
    found = [*_undecided(run), *_more_text(run), *_retrieval(run), *_forgotten(run), *_waste(run)]
    return found[:MOST]


# ---- an undecided difference ---------------------------------------------------------------------


def _undecided(run: ReportData) -> Iterator[str]:
    """Yield how many questions an undecided planned comparison needs."""
    for scores, _ in run.tables.closed_book()[:1]:
        pairs = [p for p in scores.pairs if p.planned and verdict(p) != "significant"]
        pairs = [pair for pair in pairs if pair.difference]
        # Of several, the one that the run was made for.
        if pairs:
            chosen = min(pairs, key=lambda pair: (not run.reads_synthetic(pair.a), pair.p))
            yield _needed(chosen, scores)


def _needed(pair: Comparison, scores: ModelComparison) -> str:
    size, found = abs(pair.difference), estimate(pair)
    assert found is not None
    text = (
        f"Whether {pair.a} and {pair.b} differ is undecided: {points(pair.difference)} points "
        f"{interval(found.low, found.high, signed=True)}."
    )
    smallest = scores.minimum_detectable_difference
    if smallest is None:
        return text
    factor, asked = (smallest / size) ** 2, question_count(scores)
    if factor > MANY_TIMES:
        needed = f"more than {count(MANY_TIMES * asked)} questions"
    elif factor <= 1:
        needed = f"about as many questions as here ({count(asked)}) on other documents"
    else:
        needed = f"about {count(_two_digits(factor * asked))} questions, instead of {count(asked)}"
    return (
        f"{text} If the true difference is as large, {needed}, with as many more documents, find "
        f"it in 4 of 5 evaluations (steep questions --power {max(1.0, 100 * size):.0f})."
    )


def _two_digits(value: float) -> float:
    """Round to two digits: more would claim a precision that the estimate does not have."""
    unit: float = 10.0 ** max(0, math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit


# ---- more text -----------------------------------------------------------------------------------


def _more_text(run: ReportData) -> Iterator[str]:
    """Yield what twice the tokens are expected to give, or that this was not measured."""
    study = run.study
    if study is None:
        if any(run.reads_synthetic(arm.name) for arm in run.arms) and run.tables:
            yield (
                "How accuracy grows with more text was not measured: steep scale trains on nested "
                "subsets and extrapolates; steep scale --plan shows what that takes."
            )
        return
    prices = {each.arm: each for each in study.prices}
    for metric in study.metrics[:1]:
        for curve in metric.curves:
            if not curve.matched and curve.fit.doubled is not None:
                yield _doubled(curve, curve.fit.doubled, metric, prices.get(curve.arm))


def _doubled(curve: ArmCurve, gain: Bounded, metric: MetricStudy, price: Price | None) -> str:
    largest = max(size.tokens for size in curve.sizes)
    size = f"{points(gain.value)} points {interval(gain.low, gain.high, signed=True)}"
    form = next(each.label for each in curve.fit.forms if each.form == curve.fit.best[0])
    undecided = (
        "" if curve.fit.chosen else "; the form is undecided, and the interval is that of it"
    )
    if gain.high < LEVEL:
        return (
            f"More text of {curve.arm} gains little: from {count(largest)} to "
            f"{count(2 * largest)} tokens, {metric.metric} is expected to change by {size} (by "
            f"the {form} fit). Another recipe, a stronger generator or a larger model is next."
        )
    verb = "still grows" if gain.low > 0 else "may still grow"
    cost = _cost_of_doubling(price) if price else ""
    return (
        f"{metric.metric.capitalize()} of {curve.arm} {verb}: {count(2 * largest)} tokens instead "
        f"of {count(largest)} are expected to give {size} (by the {form} fit{undecided}).{cost}"
    )


def _cost_of_doubling(price: Price) -> str:
    """Return what as many texts again, and training on all of them, take."""
    parts = []
    if price.generation_usd:
        parts.append(f"{dollars(price.generation_usd)} for the texts")
    parts.append(f"{duration(2 * 3600 * price.training_hours)} of training per model")
    return f" This takes about {' and '.join(parts)}."


# ---- what was not measured, or went wrong --------------------------------------------------------


def _retrieval(run: ReportData) -> Iterator[str]:
    if run.tables.closed_book() and not run.tables.open_book:
        yield (
            "Retrieval was not measured, so it is unknown whether training beats it or adds to it: "
            "open_book.chunk_characters turns it on."
        )


def _forgotten(run: ReportData) -> Iterator[str]:
    texts = run.tables.general_text
    for each in texts.differences if texts else ():
        found = estimate(each.bits_per_byte)
        if found and found.excludes_zero and found.value > 0:
            rate = run.setting("train", "replay_rate")
            now = "" if rate is None else f" (now {percent(float(rate), 0)})"
            yield (
                f"{capitalized(each.a)} is worse on general text than {each.b} by "
                f"{decimal(found.value, 3)} bits per byte {bounds(found.low, found.high, 3)}: "
                f"raise train.replay_rate{now}, or train less."
            )
            return


def _waste(run: ReportData) -> Iterator[str]:
    share = wasted_share(run)
    rejected = [each for each in run.spending.outcomes if each.reason]
    if share is None or share < MUCH_WASTE or not rejected:
        return
    worst = max(rejected, key=lambda each: each.completion_tokens)
    advice = {
        "truncated": "raise generate.max_tokens",
        "reasoning": "raise generate.reasoning_tokens",
    }.get(worst.reason, "look at the rejected samples below")
    yield (
        f"{percent(share, 0)} of the tokens that this run generated were rejected, most "
        f"of them as '{worst.reason}' ({count(worst.calls)} texts): {advice}."
    )
