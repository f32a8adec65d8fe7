"""Measured results: choices by likelihood, by kind of question and by other normalizers."""

from __future__ import annotations

from collections.abc import Mapping

from steep.core.formatting import percent, plural
from steep.report.components import (
    Column,
    PageSection,
    absent,
    figure,
    fold,
    section,
    table,
    text_column,
)
from steep.report.conclusions import NORMALIZERS, normalizer_name
from steep.report.html import Child, Html, el
from steep.report.sections.accuracies import accuracy_chart, accuracy_table, common_n, key
from steep.report.sections.differences import comparison
from steep.report.sections.option_lengths import length_table, several_right
from steep.report.view_models import ReportData, Scores


def results(run: ReportData) -> PageSection | None:
    """Accuracies, differences, and the sentences that may be drawn from them."""
    title = "Results"
    scores = run.scores
    if scores is None:
        if run.has_scores:
            return None
        text = (
            "Nothing was measured: the configuration names no questions "
            "(evaluate.questions). The rest of the page shows what was made."
        )
        return section("results", title, None, absent(text), skipped_questions(run))
    normalizer = normalizer_name(scores.normalizer)
    opening = (
        "Every model answers the same questions without seeing a document. Its choice is the "
        f"option with the highest {normalizer}. Intervals are 95%, clustered by document."
    )
    measure = f"a choice among given options by {normalizer}, not a free answer"
    picture = "Accuracy of each model, over all questions and by kind, with 95% intervals"
    return section(
        "results",
        title,
        opening,
        several_right(run.measured["likelihood"]),
        figure(
            accuracy_chart(run, scores.compared, scores.chance, picture), _accuracy_caption(scores)
        ),
        accuracy_table(run, scores.compared),
        *comparison(run, scores.compared, measure, scores.chance),
        _normalizer_table(run, scores),
        length_table(run),
        skipped_questions(run),
    )


def skipped_questions(run: ReportData) -> Html | None:
    """Questions that could not be asked, to open."""
    if not run.skipped:
        return None
    rows: list[list[Child]] = [[question, reason] for question, reason in run.skipped]
    head = f"{plural(len(rows), 'question')} not scored"
    return fold(head, table([text_column("question"), text_column("reason")], rows))


def _accuracy_caption(scores: Scores) -> str:
    chance = "" if scores.chance is None else " The dashed line is what guessing would reach."
    return f"Accuracy of each model with its 95% interval, clustered by document.{chance}"


def _normalizer_table(run: ReportData, scores: Scores) -> Html | None:
    models = scores.compared.models
    names = list(dict.fromkeys(name for model in models for name in model.by_normalizer))
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
        [key(run, model.name), *_normalizer_cells(names, model.by_normalizer)] for model in models
    ]
    n = common_n(scores.compared)
    caption = (
        f"Accuracy over all questions{f' (n = {n})' if n else ''} when options are compared by "
        "another measure. If the order of the models changes from one column to the next, do not "
        "rest a claim on one of them."
    )
    return el(
        "div", el("h3", "The same answers by other normalizers"), table(columns, rows, caption)
    )


def _normalizer_cells(names: list[str], values: Mapping[str, float]) -> list[Child]:
    return [percent(values.get(name)) for name in names]
