"""Closed book by likelihood: accuracies, differences, other normalizers, option lengths."""

from __future__ import annotations

from collections.abc import Mapping

from steep.core.formatting import percent, plural
from steep.report.comparisons import (
    accuracy_chart,
    accuracy_table,
    common_n,
    comparison,
    key,
    model_column,
)
from steep.report.components import (
    Column,
    PageSection,
    absent,
    figure,
    fold,
    part,
    prose,
    section,
    table,
    text_column,
    text_table,
)
from steep.report.conclusions import NORMALIZERS, normalizer_name
from steep.report.html import Child, Html
from steep.report.results import (
    AnswersResult,
    ExtremeLengths,
    LikelihoodResult,
    LikelihoodScore,
    OptionLengths,
)
from steep.report.view_models import ReportData


def likelihood(run: ReportData) -> PageSection | None:
    """Return the section, or a note if nothing was measured at all."""
    found = run.tables.likelihood
    if found is None:
        if run.has_scores:
            return None
        text = (
            "Nothing was measured: the configuration names no questions (evaluate.questions). The "
            "rest of the page shows the texts and the training."
        )
        return section("results", "Results", None, absent(text), skipped_questions(run))
    normalizer = normalizer_name(found.normalizer)
    chart = accuracy_chart(
        run, found, "Accuracy of each model, over all questions and by kind, with 95% intervals"
    )
    return section(
        "results",
        "Closed book: likelihood",
        "All models answer the same multiple-choice questions without a document. A model's choice "
        f"is the option with the highest {normalizer}. Intervals are 95%, clustered by document.",
        several_right(found),
        figure(
            chart,
            "Accuracy by model and kind of question, with 95% intervals clustered by document. The "
            "dashed line is the accuracy of guessing.",
        ),
        accuracy_table(run, found),
        *comparison(run, found, f"the choice among given options by {normalizer}"),
        _normalizer_table(run, found),
        _length_table(run, found.lengths) if found.lengths else None,
        skipped_questions(run),
    )


def skipped_questions(run: ReportData) -> Html | None:
    """Return the folded table of questions that were not asked."""
    skipped = run.tables.skipped
    if not skipped:
        return None
    rows = [(each.question_id, each.reason) for each in skipped]
    return fold(
        f"{plural(len(rows), 'question')} not scored", text_table(("question", "reason"), rows)
    )


def several_right(found: LikelihoodResult | AnswersResult) -> Html | None:
    """Return how questions with several right options are scored, if there are any."""
    if not found.several_right:
        return None
    text = (
        f"{plural(found.several_right, 'question has', 'questions have')} several right options: "
        "exactly these must be chosen."
    )
    if isinstance(found, LikelihoodResult):
        text += " Their number is given, so that many of the likeliest options are chosen."
    return prose(text)


def _normalizer_table(run: ReportData, found: LikelihoodResult) -> Html | None:
    names = list(dict.fromkeys(name for model in found.models for name in model.by_normalizer))
    if not names:
        return None
    names.sort(key=[*NORMALIZERS, *names].index)
    columns = [_normalizer_column(name, found.normalizer) for name in names]
    n = common_n(found)
    caption = (
        f"Accuracy over all questions{f' (n = {n})' if n else ''}. If the order of the models "
        "depends on the normalizer, do not base a claim on a single one."
    )
    return part(
        "Accuracy by normalizer", table(found.models, [model_column(run), *columns], caption)
    )


def _normalizer_column(name: str, used: str) -> Column[LikelihoodScore]:
    return Column(
        _short(name),
        lambda row: percent(row.by_normalizer.get(name)),
        "used above" if name == used else "",
    )


def _short(name: str) -> str:
    return normalizer_name(name).replace("total log-likelihood", "total").split("likelihood ")[-1]


def _length_table(run: ReportData, found: OptionLengths) -> Html:
    rows: list[tuple[Child, Mapping[str, ExtremeLengths]]] = [
        ("right option", dict.fromkeys(NORMALIZERS, found.gold)),
        *((key(run, model), shares) for model, shares in found.models.items()),
    ]
    names = [name for name in NORMALIZERS if name in rows[-1][1]]
    caption = (
        "How often the right option, and the chosen option, is the shortest or the longest of its "
        f"question (n = {found.n}; one right option each; lengths in characters). A normalizer "
        "whose shares differ much from those of the right options selects by length."
    )
    columns = [text_column("", _label), *(_length_column(name) for name in names)]
    return part("Option lengths", table(rows, columns, caption))


def _label(row: tuple[Child, Mapping[str, ExtremeLengths]]) -> Child:
    return row[0]


def _length_column(name: str) -> Column[tuple[Child, Mapping[str, ExtremeLengths]]]:
    def cell(row: tuple[Child, Mapping[str, ExtremeLengths]]) -> Child:
        shares = row[1][name]
        return f"{percent(shares.shortest, 0)} / {percent(shares.longest, 0)}"

    return Column(_short(name), cell, "shortest / longest")
