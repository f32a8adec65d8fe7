"""Measured results: accuracies by kind of question, their picture, other normalisers."""

from __future__ import annotations

from collections.abc import Mapping

from steep.report.blocks import (
    Column,
    Section,
    absent,
    figure,
    fold,
    section,
    stacked,
    table,
    text_column,
)
from steep.report.findings import NORMALIZERS, normalizer_name
from steep.report.html import Child, Html, el
from steep.report.records import Estimate, Run, Scores
from steep.report.sections.differences import comparison
from steep.report.svg import Axis, Whisker, WhiskerGroup, responsive, series_class, whisker_chart
from steep.report.wording import interval, percent, plural, rounded_interval


def results(run: Run) -> Section:
    """Accuracies, differences, and the sentences that may be drawn from them."""
    title = "Results"
    scores = run.scores
    if scores is None:
        text = (
            "Nothing was measured: the configuration names no questions "
            "(evaluate.questions). The rest of the page shows what was made."
        )
        return section("results", title, None, absent(text))
    opening = (
        "Every model answers the same questions without seeing a document. Its choice is the "
        f"option with the highest {normalizer_name(scores.normalizer)}. Intervals are 95%, "
        "clustered by document."
    )
    return section(
        "results",
        title,
        opening,
        figure(_accuracy_chart(run, scores), _accuracy_caption(scores)),
        _accuracy_table(run, scores),
        *comparison(run, scores),
        _normalizer_table(run, scores),
        _skipped(scores),
    )


def key(run: Run, name: str) -> Html:
    """A model's name beside its colour."""
    number = run.series.get(name, 0)
    return el("span", el("i", class_=f"swatch {series_class(number)}"), name, class_="key")


def _accuracy_chart(run: Run, scores: Scores) -> Html:
    groups = []
    for kind in [None, *scores.kinds]:
        rows = []
        for model in scores.models:
            estimate = model.overall if kind is None else model.by_kind.get(kind)
            if estimate:
                rows.append(_accuracy_whisker(model.name, run.series[model.name], estimate))
        n = _common_n(scores, kind)
        detail = f"n = {n}" if n else "n differs"
        groups.append(WhiskerGroup("all questions" if kind is None else kind, detail, rows))
    tick_values = [(i / 4, percent(i / 4, 0)) for i in range(5)]
    label = "" if scores.chance is None else f"guessing {percent(scores.chance, 0)}"
    axis = Axis(0, 1, tick_values, scores.chance, label)
    title = "Accuracy of each model, over all questions and by kind, with 95% intervals"
    return responsive(lambda width: whisker_chart(groups, axis, title, width))


def _accuracy_whisker(name: str, series: int, estimate: Estimate) -> Whisker:
    note = f"{percent(estimate.value, 0)} {rounded_interval(estimate.low, estimate.high)}"
    return Whisker(name, series, estimate.value, estimate.low, estimate.high, note)


def _accuracy_caption(scores: Scores) -> str:
    chance = "" if scores.chance is None else " The dashed line is what guessing would reach."
    return f"Accuracy of each model with its 95% interval, clustered by document.{chance}"


def _accuracy_table(run: Run, scores: Scores) -> Html:
    kinds = [None, *scores.kinds]
    columns = [text_column("model")]
    for kind in kinds:
        n = _common_n(scores, kind)
        columns.append(Column("all questions" if kind is None else kind, f"n = {n}" if n else ""))
    rows: list[list[Child]] = []
    for model in scores.models:
        estimates = [model.overall if kind is None else model.by_kind.get(kind) for kind in kinds]
        cells = [
            _accuracy_cell(estimate, show_n=_common_n(scores, kind) is None)
            for kind, estimate in zip(kinds, estimates, strict=True)
        ]
        rows.append([key(run, model.name), *cells])
    return table(columns, rows)


def _accuracy_cell(estimate: Estimate | None, *, show_n: bool) -> Child:
    if estimate is None:
        return "not asked"
    below = interval(estimate.low, estimate.high) + (f", n = {estimate.n}" if show_n else "")
    return stacked(percent(estimate.value), below)


def _common_n(scores: Scores, kind: str | None) -> int | None:
    """The number of questions, where it is the same for all models."""
    found = {
        estimate.n
        for model in scores.models
        if (estimate := model.overall if kind is None else model.by_kind.get(kind))
    }
    return found.pop() if len(found) == 1 else None


def _normalizer_table(run: Run, scores: Scores) -> Html | None:
    names = list(dict.fromkeys(name for model in scores.models for name in model.by_normalizer))
    if not names:
        return None
    names.sort(key=[*NORMALIZERS, *names].index)
    columns = [text_column("model")]
    for name in names:
        label = (
            normalizer_name(name).replace("log-likelihood ", "").replace("log-likelihood", "sum")
        )
        columns.append(Column(label, "used above" if name == scores.normalizer else ""))
    rows: list[list[Child]] = [
        [key(run, model.name), *_normalizer_cells(names, model.by_normalizer)]
        for model in scores.models
    ]
    n = _common_n(scores, None)
    caption = (
        f"Accuracy over all questions{f' (n = {n})' if n else ''} when options are compared by "
        "another measure. If the order of the models changes from one column to the next, do not "
        "rest a claim on one of them."
    )
    return el(
        "div", el("h3", "The same answers by other normalisers"), table(columns, rows, caption)
    )


def _normalizer_cells(names: list[str], values: Mapping[str, float]) -> list[Child]:
    return [percent(values.get(name)) for name in names]


def _skipped(scores: Scores) -> Html | None:
    if not scores.skipped:
        return None
    rows: list[list[Child]] = [[question, reason] for question, reason in scores.skipped]
    head = f"{plural(len(rows), 'question')} not scored"
    return fold(head, table([text_column("question"), text_column("reason")], rows))
