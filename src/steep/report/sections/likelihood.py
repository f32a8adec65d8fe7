"""Closed book by likelihood: accuracies, differences, other normalizers, option lengths."""

from __future__ import annotations

from steep.core.formatting import percent, plural
from steep.evaluation.results import AnswersResult, ExtremeLengths, LikelihoodResult, OptionLengths
from steep.report.comparisons import accuracy_chart, accuracy_table, common_n, comparison, key
from steep.report.components import PageSection, absent, figure, fold, part, prose, section, table
from steep.report.conclusions import NORMALIZERS, normalizer_name
from steep.report.html import Child, Html
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
        f"{plural(len(rows), 'question')} not scored",
        table(("question", "reason"), rows, texts=range(2)),
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
    n = common_n(found)
    caption = (
        f"Accuracy over all questions{f' (n = {n})' if n else ''}. If the order of the models "
        "depends on the normalizer, do not base a claim on a single one."
    )
    headings = [(_short(name), "used above" if name == found.normalizer else "") for name in names]
    rows = [
        (key(run, model.name), *(percent(model.by_normalizer.get(name)) for name in names))
        for model in found.models
    ]
    return part("Accuracy by normalizer", table(["model", *headings], rows, caption))


def _short(name: str) -> str:
    return normalizer_name(name).replace("total log-likelihood", "total").split("likelihood ")[-1]


def _length_table(run: ReportData, found: OptionLengths) -> Html:
    names = [name for name in NORMALIZERS if name in next(iter(found.models.values()))]
    rows: list[tuple[Child, ...]] = [("right option", *(_shares(found.gold) for _ in names))]
    rows += [
        (key(run, model), *(_shares(shares[name]) for name in names))
        for model, shares in found.models.items()
    ]
    caption = (
        "How often the right option, and the chosen option, is the shortest or the longest of its "
        f"question (n = {found.n}; one right option each; lengths in characters). A normalizer "
        "whose shares differ much from those of the right options selects by length."
    )
    headings = ["", *((_short(name), "shortest / longest") for name in names)]
    return part("Option lengths", table(headings, rows, caption))


def _shares(each: ExtremeLengths) -> str:
    return f"{percent(each.shortest, 0)} / {percent(each.longest, 0)}"
