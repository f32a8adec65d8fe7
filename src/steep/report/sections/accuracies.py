"""Accuracies of models on the same questions: their picture and table, whatever was asked."""

from __future__ import annotations

from steep.core.formatting import interval, percent, rounded_interval
from steep.report.charts import Axis, Whisker, WhiskerGroup, series_class, whisker_chart
from steep.report.components import Column, stacked, table, text_column
from steep.report.html import Child, Html, el
from steep.report.view_models import Compared, Estimate, ModelScore, ReportData

ALL = "all questions"
PERCENT_TICKS = tuple((i / 4, percent(i / 4, 0)) for i in range(5))


def key(run: ReportData, name: str) -> Html:
    """A model's name beside its color."""
    number = run.series.get(name, 0)
    return el("span", el("i", class_=f"swatch {series_class(number)}"), name, class_="key")


def accuracy_chart(run: ReportData, found: Compared, chance: float | None, title: str) -> Html:
    """Each model's accuracy, over all questions and by kind."""
    groups = []
    for kind in [None, *found.kinds]:
        rows = [
            accuracy_whisker(model.name, run.series.get(model.name, 0), estimate)
            for model in found.models
            if (estimate := _of_kind(model, kind))
        ]
        n = common_n(found, kind)
        if rows:
            own = _guessing(found, kind, chance)
            groups.append(WhiskerGroup(kind or ALL, f"n = {n}" if n else "n differs", rows, own))
    label = "" if chance is None else f"guessing {percent(chance, 0)}"
    axis = Axis(0, 1, PERCENT_TICKS, chance, label)
    return whisker_chart(groups, axis, title)


def _guessing(found: Compared, kind: str | None, chance: float | None) -> float | None:
    """What guessing would reach on questions of a kind, where that is not the same for all."""
    levels = found.chance_by_kind
    if len({percent(level, 0) for level in levels.values()}) < 2:
        return None
    return chance if kind is None else levels.get(kind)


def accuracy_whisker(name: str, series: int, estimate: Estimate) -> Whisker:
    """One accuracy."""
    note = f"{percent(estimate.value, 0)} {rounded_interval(estimate.low, estimate.high)}"
    return Whisker(name, series, estimate.value, estimate.low, estimate.high, note)


def accuracy_table(run: ReportData, found: Compared, caption: Child = None) -> Html:
    """The same as a table."""
    kinds = [None, *found.kinds]
    columns = [text_column("model")]
    for kind in kinds:
        n = common_n(found, kind)
        own = _guessing(found, kind, None)
        below = [f"n = {n}"] * bool(n) + ([] if own is None else [f"guessing {percent(own, 0)}"])
        columns.append(Column(kind or ALL, ", ".join(below)))
    rows: list[list[Child]] = []
    for model in found.models:
        cells = [
            accuracy_cell(
                _of_kind(model, kind),
                show_n=common_n(found, kind) is None,
                without="none read" if model.overall is None else "not asked",
            )
            for kind in kinds
        ]
        rows.append([key(run, model.name), *cells])
    return table(columns, rows, caption)


def accuracy_cell(estimate: Estimate | None, *, show_n: bool, without: str = "not asked") -> Child:
    """An accuracy over its interval."""
    if estimate is None:
        return without
    below = interval(estimate.low, estimate.high) + (f", n = {estimate.n}" if show_n else "")
    return stacked(percent(estimate.value), below)


def common_n(found: Compared, kind: str | None = None) -> int | None:
    """The number of questions, where it is the same for all models."""
    sizes = {each.n for model in found.models if (each := _of_kind(model, kind))}
    return sizes.pop() if len(sizes) == 1 else None


def _of_kind(model: ModelScore, kind: str | None) -> Estimate | None:
    return model.overall if kind is None else model.by_kind.get(kind)
