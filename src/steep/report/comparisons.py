"""Accuracies and paired differences of models: charts and tables for any method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steep.core.formatting import MINUS, interval, p_value, percent, plural, points, some_of
from steep.evaluation.results import (
    AnswersResult,
    ArmScore,
    Comparison,
    LikelihoodResult,
    ModelComparison,
    ModelScore,
)
from steep.evaluation.study_results import TaskDifference
from steep.report.blocks import (
    ERRORS_HEADING,
    Block,
    Cell,
    Column,
    Figure,
    Model,
    Part,
    Series,
    Table,
    errors_cell,
    points_cell,
    share_cell,
    table,
)
from steep.report.charts import Axis, Whisker, WhiskerGroup, whisker_chart
from steep.report.conclusions import conclusions, verdict
from steep.report.html import Html
from steep.report.results import (
    IntervalEstimate,
    ResultTables,
    chance_of,
    estimate,
    kinds,
    of_kind,
)

ALL = "all questions"
SHOWN_PLANNED = 4
PERCENT_TICKS = tuple((i / 4, percent(i / 4, 0)) for i in range(5))


def accuracies(
    tables: ResultTables, found: ModelComparison, title: str, caption: str, measure: str
) -> list[Block]:
    """Return the chart and the table of accuracies, and all about their differences."""
    chart = Figure(caption, lambda series: accuracy_chart(series, found, title))
    drawn = any(estimate(model) for model in found.models) and not _is_in_summary(tables, found)
    return [chart if drawn else None, accuracy_table(found), *comparison(found, measure)]


def _is_in_summary(tables: ResultTables, found: ModelComparison) -> bool:
    """Return whether the chart of the summary has all that a chart of these would show."""
    first, _ = tables.closed_book()[0]
    return found is first and not kinds(found) and not found.arms


def scores_part(heading: str, found: ModelComparison) -> Part:
    """Return the tables of accuracies and of their differences."""
    differences = [difference_table(found)] if found.pairs else []
    return Part(heading, [accuracy_table(found), arm_table(found), *differences])


def comparison(found: ModelComparison, measure: str) -> list[Block]:
    """Return the arms with several seeds; conclusions, table and chart of paired differences."""
    arms, box = arm_table(found), conclusions(found, measure)
    if not found.pairs:
        return [arms, box]
    caption = (
        "Paired differences in percentage points, with 95% intervals. Above zero, the first model "
        "is better; an interval that includes zero leaves the question open."
    )
    if kinds(found):
        caption += " Comparisons by kind are not corrected for multiple testing."
    chart = Figure(caption, lambda series: difference_chart(series, found))
    return [arms, box, Part("Paired differences", [difference_table(found), chart])]


def _group(
    kind: str | None, rows: Sequence[Whisker], chance: float | None = None
) -> list[WhiskerGroup]:
    """Return the group of a kind of question; none without rows."""
    n = common(row.found.n for row in rows)
    return [WhiskerGroup(kind or ALL, n_detail(n), rows, chance)] if rows else []


def common_n(found: ModelComparison, kind: str | None = None) -> int | None:
    """Return the number of questions, if it is the same for all models."""
    return common(each.n for model in found.models if (each := of_kind(model, kind)))


def n_detail(n: int | None) -> str:
    """Return the number of questions of a group as text; None if its rows differ in it."""
    return f"n = {n}" if n else "n differs"


def common(numbers: Iterable[int]) -> int | None:
    """Return the number that all of these are; None if they differ."""
    found = set(numbers)
    return found.pop() if len(found) == 1 else None


# ---- accuracies ----------------------------------------------------------------------------------


def accuracy_chart(series: Series, found: ModelComparison, title: str) -> Html:
    """Return the chart of each model's accuracy, over all questions and by kind."""
    groups = []
    for kind in [None, *kinds(found)]:
        rows = [
            accuracy_whisker(model.name, series.get(model.name, 0), each)
            for model in found.models
            if (each := of_kind(model, kind))
        ]
        groups += _group(kind, rows, _own_chance(found, kind))
    return whisker_chart(groups, accuracy_axis(chance_of(found)), title)


def accuracy_axis(chance: float | None) -> Axis:
    """Return the axis of accuracies, with the accuracy of guessing."""
    label = "" if chance is None else f"chance {percent(chance, 0)}"
    return Axis(0, 1, PERCENT_TICKS, chance, label)


def accuracy_whisker(name: str, series: int, found: IntervalEstimate) -> Whisker:
    """Return one accuracy as a whisker."""
    note = f"{percent(found.value, 0)} {interval(found.low, found.high, decimals=0)}"
    return Whisker(name, series, found, note)


def accuracy_table(found: ModelComparison) -> Table:
    """Return the table of each model's accuracy, over all questions and by kind."""
    shown = [None, *kinds(found)]
    rows = [
        (Model(model.name), *(_accuracy_cell(found, model, kind) for kind in shown))
        for model in found.models
    ]
    headings = [(kind or ALL, _accuracy_detail(found, kind)) for kind in shown]
    chance = chance_of(found)
    caption = None if chance is None else f"Guessing has an accuracy of {percent(chance)}."
    return Table(["model", *headings], rows, caption)


def arm_table(found: ModelComparison) -> Table | None:
    """Return the table of arms with several seeds; None without any."""
    if not found.arms:
        return None
    columns: tuple[Column[ArmScore], ...] = (
        ("arm", lambda arm: Model(arm.name)),
        ("models", lambda arm: len(arm.by_model)),
        (("mean accuracy", "95% interval"), share_cell),
        (ERRORS_HEADING, lambda arm: errors_cell(arm.errors)),
        ("each", lambda arm: ", ".join(map(percent, arm.by_model.values()))),
    )
    caption = (
        "Arms as the means of their models, one per seed. Intervals and tests include the variance "
        "of training, with degrees of freedom by Satterthwaite."
    )
    return table(found.arms, columns, caption)


def _accuracy_cell(found: ModelComparison, model: ModelScore, kind: str | None) -> Cell:
    without = "not evaluated" if estimate(model) else "none parsed"
    return share_cell(of_kind(model, kind), without, show_n=common_n(found, kind) is None)


def _accuracy_detail(found: ModelComparison, kind: str | None) -> str:
    n, own = common_n(found, kind), None if kind is None else _own_chance(found, kind)
    return ", ".join(
        [f"n = {n}"] * bool(n) + ([] if own is None else [f"chance {percent(own, 0)}"])
    )


def _own_chance(found: ModelComparison, kind: str | None) -> float | None:
    """Return the accuracy of guessing on the questions of a kind, if kinds differ in it."""
    if not isinstance(found, LikelihoodResult | AnswersResult):
        return None
    levels = found.chance_by_kind
    if len({percent(level, 0) for level in levels.values()}) < 2:
        return None
    return found.chance if kind is None else levels.get(kind)


# ---- differences ---------------------------------------------------------------------------------


def difference_table(found: ModelComparison) -> Table:
    """Return the table of all paired differences with their tests."""
    smallest = found.minimum_detectable_difference
    note = (
        "The minimum detectable difference is unknown."
        if smallest is None
        else f"Minimum detectable difference: about {points(smallest, sign=False)} points, which "
        "80% of studies like this one find. They often miss smaller true differences."
    )
    if any(pair.errors and pair.errors.training is None for pair in found.pairs):
        note += (
            " The variance of training is unknown for arms with one seed (train.seeds): intervals "
            "hold for these models, not for other trainings."
        )
    errors: tuple[Column[Comparison], ...] = (
        (ERRORS_HEADING, lambda pair: errors_cell(pair.errors)),
    )
    note += f" {_family(found)}"
    return table(
        found.pairs,
        (
            ("comparison", pair_name),
            ("verdict", verdict),
            ("n", lambda pair: pair.n),
            (("difference", "points, 95% interval"), points_cell),
            *(errors if found.arms else ()),
            (("p", "clustered"), lambda pair: p_value(pair.p)),
            (
                ("p", "Holm-corrected"),
                lambda pair: p_cell(pair.p_holm) if pair.planned else "exploratory",
            ),
            (("McNemar p", "unclustered"), lambda pair: p_cell(pair.p_mcnemar)),
        ),
        note,
        texts=range(2),
    )


def _family(found: ModelComparison) -> str:
    """Return what Holm's correction covers, and what the other pairs are."""
    planned = [pair for pair in found.pairs if pair.planned]
    exploratory = len(found.pairs) - len(planned)
    named = some_of([pair_name(pair) for pair in planned], SHOWN_PLANNED)
    text = f"Holm's correction covers {plural(len(planned), 'planned comparison')}: {named}."
    if not planned:
        text = "No planned comparison was made."
    if found.not_compared:
        left_out = some_of([f"{a} {MINUS} {b}" for a, b in found.not_compared], SHOWN_PLANNED)
        text += (
            f" Planned but not made: {left_out} (a model was not asked by this method, or no "
            "question counts for both)."
        )
    if exploratory:
        text += (
            f" {plural(exploratory, 'comparison is', 'comparisons are')} exploratory: without a "
            "corrected p, and to be confirmed on other questions."
        )
    return text


def pair_name(pair: Comparison | TaskDifference) -> str:
    """Return the name of a comparison."""
    return f"{pair.a} {MINUS} {pair.b}"


def p_cell(p: float | None) -> str:
    """Return a p-value; fractional grades have no McNemar test."""
    return "none" if p is None else p_value(p)


def difference_chart(series: Series, found: ModelComparison) -> Html:
    """Return the chart of all paired differences, over all questions and by kind."""
    groups = []
    for kind in [None, *kinds(found)]:
        rows = [
            _difference_whisker(pair, series.get(pair.a, 0), each)
            for pair in found.pairs
            if (each := of_kind(pair, kind))
        ]
        groups += _group(kind, rows)
    title = "Paired differences in accuracy, over all questions and by kind, with 95% intervals"
    return whisker_chart(groups, _difference_axis(groups), title)


def _difference_whisker(pair: Comparison, series: int, found: IntervalEstimate) -> Whisker:
    spread = interval(found.low, found.high, signed=True, decimals=0)
    return Whisker(pair_name(pair), series, found, f"{points(found.value, 0)} {spread}")


def _difference_axis(groups: list[WhiskerGroup]) -> Axis:
    """Return an axis symmetric about zero that ends at the next twenty points."""
    ends = [
        abs(end)
        for group in groups
        for row in group.rows
        for end in (row.found.value, row.found.low, row.found.high)
        if end is not None
    ]
    limit = min(1.0, 0.2 * (int(max(ends) / 0.2) + 1))
    marks = [(value, points(value, 0)) for value in (-limit, -limit / 2, 0.0, limit / 2, limit)]
    return Axis(-limit, limit, marks, 0.0, "no difference")
