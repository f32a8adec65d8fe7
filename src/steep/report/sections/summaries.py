"""Summaries from memory: the judge first, then false and salient claims relative to humans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steep.core.formatting import MINUS, bounds, count, decimal, reasons
from steep.evaluation.results import Interval
from steep.evaluation.study_results import (
    Agreement,
    JudgeAgreement,
    Relative,
    SetDifference,
    SetScores,
    SummariesResult,
    TextSet,
)
from steep.report.comparisons import key
from steep.report.components import (
    PageSection,
    figure,
    fold,
    part,
    section,
    share_cell,
    stacked,
    table,
    value_cell,
)
from steep.report.html import Child, Html, el
from steep.report.scatter import Point, scatter
from steep.report.view_models import HUMAN, ReportData, estimate

MEASURES = ("claims", "true", "false", "salient", "cosmetic")
Ratio = Callable[[Relative], Interval | None]
RATIOS: dict[str, Ratio] = {
    "mean of ratios": lambda each: each.mean_of_ratios,
    "ratio of sums": lambda each: each.ratio_of_sums,
}
NO_RATIO = "no ratio"


def summaries(run: ReportData) -> PageSection | None:
    """Return the section; None if no summaries were measured."""
    found = run.tables.summaries
    if found is None:
        return None
    return section(
        "summaries",
        "Summaries from memory",
        "Models summarize the documents from memory. A judge splits these summaries, and those "
        "written by humans, into claims and decides whether the document supports each claim and "
        "whether a true claim is important (salient) or not (cosmetic).",
        _judge_part(found.judge),
        _chart(run, found),
        _relative_table(run, found),
        _count_table(run, found),
        _unread_table(run, found),
        _difference_table(found.differences) if found.differences else None,
    )


# ---- reliability of the judge --------------------------------------------------------------------


def _judge_part(judges: Sequence[JudgeAgreement]) -> Html:
    heading = "Reliability of the judge"
    if not judges:
        return part(heading, el("p", "The judge was not measured, so its reliability is unknown."))
    verdicts = [
        (judge, name, agreement)
        for judge in judges
        for name, agreement in (("truth", judge.truth), ("salience", judge.salience))
    ]
    rows = [
        (
            judge.judge,
            name,
            _confusions(agreement),
            reasons(judge.unread),
            stacked(count(agreement.n), f"of {count(judge.claims)}"),
            share_cell(agreement.accuracy, "none"),
            value_cell(agreement.kappa, 2, "undefined"),
        )
        for judge, name, agreement in verdicts
    ]
    texts = ("judge", "verdict", "label\u2013judge", "not parsed")
    headings = (*texts, "claims", "agreement", "Cohen's kappa")
    caption = (
        "On labeled claims about invented stories. Kappa is 0 for a judge that guesses or always "
        "gives the same verdict, and 1 for full agreement; disagreement is a source of error in "
        "all results below."
    )
    said = [el("li", _reliability(f"{name} by {judge.judge}", a)) for judge, name, a in verdicts]
    found = table(headings, rows, caption, texts=range(len(texts)))
    return part(heading, found, el("ul", *said, class_="said"))


def _confusions(agreement: Agreement) -> str:
    return reasons({pair.replace(" ", "\u2013"): n for pair, n in agreement.table.items()})


def _reliability(of: str, agreement: Agreement) -> str:
    """Return whether the verdicts of a judge carry any information."""
    kappa = estimate(agreement.kappa)
    if kappa is None:
        return f"There is no kappa for {of}: do not rely on any number that depends on it."
    spread = f"kappa {decimal(kappa.value, 2)} {bounds(kappa.low, kappa.high, 2)}"
    if kappa.low is None or kappa.low <= 0:
        return f"The {spread} for {of} is no better than chance: do not rely on it."
    return f"The {spread} for {of} is better than chance."


# ---- relative to humans --------------------------------------------------------------------------


def _name(run: ReportData, texts: TextSet) -> Html:
    if texts.writer == HUMAN:
        return el("span", "humans", class_="key")
    return el("span", key(run, texts.writer), f" {texts.kind}")


def _relative_table(run: ReportData, found: SummariesResult) -> Html:
    measures = [(measure, ratio) for measure in ("false", "salient") for ratio in RATIOS]
    rows = [
        (
            _name(run, each.texts),
            _left_out(each),
            each.documents,
            *(_relative_cell(each, measure, ratio) for measure, ratio in measures),
        )
        for each in found.sets
    ]
    caption = (
        "Claims relative to human summaries of the same document, which are 1. The mean of ratios "
        "leaves out documents whose human summaries have no false (or no salient) claims; the "
        "ratio of sums leaves out none. Human summaries are compared with one another. Intervals "
        "are 95%, over documents."
    )
    headings = ("summaries by", "documents left out", "documents", *measures)
    return part("Relative to human summaries", table(headings, rows, caption, texts=range(2)))


def _relative_cell(row: SetScores, measure: str, ratio: str) -> Child:
    fixed = row.texts.writer == HUMAN and ratio == "ratio of sums"
    without = "1 by definition" if fixed else NO_RATIO
    return value_cell(RATIOS[ratio](row.relative[measure]), 2, without)


def _left_out(row: SetScores) -> str:
    counts = {name: row.relative[name].left_out for name in ("false", "salient")}
    counts["no human summary"] = row.without_human
    return reasons({reason: number for reason, number in counts.items() if number})


def _count_table(run: ReportData, found: SummariesResult) -> Html:
    rows = [
        (
            _name(run, each.texts),
            each.written,
            *(value_cell(each.per_text[measure], 2, "none") for measure in MEASURES),
            share_cell(each.precision, "none judged"),
        )
        for each in found.sets
    ]
    measures = [(measure, "per text") for measure in MEASURES]
    caption = "Claims per text, averaged over the texts of a document, then over documents."
    headings = ("summaries by", "texts", *measures, ("precision", "true / judged"))
    return table(headings, rows, caption)


def _unread_table(run: ReportData, found: SummariesResult) -> Html:
    rows = [
        (
            _name(run, each.texts),
            reasons(each.left_out),
            reasons(each.unread_passages),
            reasons(each.unjudged),
            each.claims,
            each.repeats,
            each.empty,
            each.cut_off,
        )
        for each in found.sets
    ]
    texts = ("summaries by", "texts not counted", "passages not parsed", "claims not judged")
    headings = (*texts, "claims", "repeated", "empty", "truncated")
    caption = "Repeated claims count once. Text that is not parsed or judged lowers all counts."
    return part("Missing data", table(headings, rows, caption, texts=range(len(texts))))


def _difference_table(differences: Sequence[SetDifference]) -> Html:
    rows = [
        (
            f"{_plain(each.a)} {MINUS} {_plain(each.b)}",
            each.documents,
            *(
                value_cell(values[measure], 2, "none", signed=True)
                for values in (each.per_text, each.ratio_of_sums)
                for measure in ("false", "salient")
            ),
        )
        for each in differences
    ]
    details = ("per text", "ratio of sums")
    measures = [(measure, detail) for detail in details for measure in ("false", "salient")]
    caption = "Paired by document; not corrected for the number of comparisons."
    headings = ("comparison", "documents", *measures)
    return fold("Differences between models and lengths", table(headings, rows, caption))


def _plain(texts: TextSet) -> str:
    return f"{texts.writer} {texts.kind}"


# ---- the chart -----------------------------------------------------------------------------------


def _chart(run: ReportData, found: SummariesResult) -> Html | None:
    """Return false against salient claims, by the first ratio that all sets have."""
    own = [each for each in found.sets if each.texts.writer != HUMAN]
    by_ratio = {
        name: [point for each in own if (point := _point(run, each, ratio))]
        for name, ratio in RATIOS.items()
    }
    complete = [name for name, points in by_ratio.items() if len(points) == len(own)]
    name = complete[0] if complete else "ratio of sums"
    if not (points := by_ratio[name]):
        return None
    title = "False claims by salient claims of each set of summaries, relative to humans"
    chart = scatter(points, ("salient claims", "false claims"), title)
    return figure(chart, _caption(name, len(own) - len(points)))


def _point(run: ReportData, each: SetScores, ratio: Ratio) -> Point | None:
    x, y = (estimate(ratio(each.relative[name])) for name in ("salient", "false"))
    if x is None or y is None:
        return None
    writer = each.texts.writer
    return Point(_plain(each.texts), run.series.get(writer, 0), writer, x, y)


def _caption(ratio: str, missing: int) -> str:
    lost = f" Sets without such a ratio ({missing}) are in the table only." if missing else ""
    return (
        "False claims against salient claims, relative to human summaries (where the dashed lines "
        f"cross); lower right is better. Values are the {ratio}; crosses are 95% intervals, "
        f"clipped at the frame. Dotted lines join the lengths of one model.{lost}"
    )
