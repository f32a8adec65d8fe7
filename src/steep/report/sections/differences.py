"""Paired differences: the table, the picture, and what may be said of them."""

from __future__ import annotations

from steep.core.formatting import (
    MINUS,
    count,
    interval,
    p_value,
    plural,
    points,
    rounded_interval,
)
from steep.report.charts import Axis, Whisker, WhiskerGroup, whisker_chart
from steep.report.components import Column, figure, stacked, table, text_column
from steep.report.conclusions import (
    against_chance,
    conclusion,
    limits,
    uneven_intervals,
    verdict,
)
from steep.report.html import Child, Html, el
from steep.report.view_models import Compared, Estimate, PairScore, ReportData

READINGS = {"found": "can be told apart", "hint": "a hint", "open": "cannot be told apart"}


def comparison(
    run: ReportData, found: Compared, measure: str, chance: float | None = None
) -> list[Html]:
    """Sentences, table and picture; only sentences where one model stands alone."""
    lines = [
        *(against_chance(model, chance) for model in found.models),
        uneven_intervals(found.models, chance),
    ]
    sentences = [conclusion(pair, found) for pair in found.pairs]
    said = " ".join(line for line in lines if line)
    read = el(
        "div",
        el("h3", "In plain words"),
        el("ul", *[el("li", sentence) for sentence in sentences]) if sentences else None,
        el("p", said) if said else None,
        el("p", limits(measure)),
        class_="reading",
    )
    if not found.pairs:
        return [read]
    caption = "Difference of the two models on the same questions, in percentage points; above " + (
        "zero the first is better. An interval that crosses the line leaves the question open."
    )
    if found.kinds:
        caption += " By kind, nothing is corrected for the number of comparisons."
    return [
        read,
        el("h3", "Differences"),
        pair_table(found),
        figure(difference_chart(run, found), caption),
    ]


def pair_table(scores: Compared) -> Html:
    """Every two models with their difference and its tests."""
    columns = [
        text_column("comparison"),
        Column("n"),
        Column("difference", "points, 95% interval"),
        Column("p", "clustered"),
        Column("Holm p"),
        Column("McNemar p", "questions as independent"),
        text_column("reading"),
    ]
    rows: list[list[Child]] = [
        [
            pair_name(pair.a, pair.b),
            count(pair.overall.n),
            difference_cell(pair.overall),
            p_value(pair.p),
            holm_cell(pair),
            _test(pair.p_mcnemar),
            READINGS[verdict(pair)],
        ]
        for pair in scores.pairs
    ]
    smallest = scores.minimum_detectable_difference
    planned = sum(pair.planned for pair in scores.pairs)
    corrected = (
        f" Holm's correction covers the {plural(planned, 'planned comparison')}: each model "
        "against the base, synthetic texts against the raw documents."
    )
    note = (
        "The minimum detectable difference is unknown."
        if smallest is None
        else f"Minimum detectable difference, roughly: {points(smallest, sign=False)} points. A "
        "smaller true difference would often go unnoticed in a study of this size."
    )
    return table(columns, rows, note + corrected)


def difference_cell(estimate: Estimate) -> Html:
    """A difference in points over its interval."""
    return stacked(points(estimate.value), interval(estimate.low, estimate.high, signed=True))


def holm_cell(pair: PairScore) -> str:
    """The corrected p of a planned comparison; the others have none."""
    return _test(pair.p_holm) if pair.planned else "not planned"


def _test(p: float | None) -> str:
    """Grades between right and wrong have no such test."""
    return "none" if p is None else p_value(p)


def pair_name(a: str, b: str) -> str:
    """The name of a comparison."""
    return f"{a} {MINUS} {b}"


def difference_chart(run: ReportData, scores: Compared) -> Html:
    """The same as a picture, by kind of question too."""
    groups = []
    for kind in [None, *scores.kinds]:
        rows = [
            _difference_whisker(pair_name(pair.a, pair.b), run.series.get(pair.a, 0), estimate)
            for pair in scores.pairs
            if (estimate := pair.overall if kind is None else pair.by_kind.get(kind))
        ]
        sizes = {
            (pair.overall if kind is None else pair.by_kind[kind]).n
            for pair in scores.pairs
            if kind is None or kind in pair.by_kind
        }
        detail = f"n = {sizes.pop()}" if len(sizes) == 1 else "n differs"
        if rows:
            groups.append(WhiskerGroup("all questions" if kind is None else kind, detail, rows))
    axis = _difference_axis(groups)
    title = "Paired differences in accuracy, over all questions and by kind, with 95% intervals"
    return whisker_chart(groups, axis, title)


def _difference_whisker(name: str, series: int, estimate: Estimate) -> Whisker:
    note = (
        f"{points(estimate.value, 0)} {rounded_interval(estimate.low, estimate.high, signed=True)}"
    )
    return Whisker(name, series, estimate.value, estimate.low, estimate.high, note)


def _difference_axis(groups: list[WhiskerGroup]) -> Axis:
    """Symmetric about zero, to the next twenty points beyond the widest interval."""
    ends = [
        abs(end)
        for group in groups
        for row in group.rows
        for end in (row.value, row.low, row.high)
        if end is not None
    ]
    limit = min(1.0, 0.2 * (int(max(ends) / 0.2) + 1))
    tick_values = [
        (value, points(value, 0)) for value in (-limit, -limit / 2, 0.0, limit / 2, limit)
    ]
    return Axis(-limit, limit, tick_values, 0.0, "no difference")
