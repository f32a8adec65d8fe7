"""Summaries from memory: the judge first, then false and salient claims relative to humans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from steep.core.formatting import MINUS, bounds, count, decimal, reasons
from steep.evaluation.judged_results import Agreement
from steep.evaluation.results import Interval
from steep.evaluation.study_results import (
    HUMAN,
    MEASURES,
    JudgeAgreement,
    Relative,
    SetDifference,
    SetScores,
    SummariesResult,
    TextSet,
)
from steep.report.blocks import (
    Bullets,
    Cell,
    Column,
    Figure,
    Fold,
    Model,
    PageSection,
    Part,
    Series,
    Stacked,
    Table,
    share_cell,
    table,
    value_cell,
)
from steep.report.html import Html
from steep.report.results import ResultTables, estimate
from steep.report.scatter import Point, scatter

JUDGED = ("false", "salient")  # relative to humans
Ratio = Callable[[Relative], Interval | None]
RATIOS: dict[str, Ratio] = {
    "mean of ratios": lambda each: each.mean_of_ratios,
    "ratio of sums": lambda each: each.ratio_of_sums,
}
NO_RATIO = "no ratio"


def summaries(tables: ResultTables) -> PageSection | None:
    """Return the section; None if no summaries were measured."""
    found = tables.summaries
    if found is None:
        return None
    return PageSection(
        "summaries",
        "Summaries from memory",
        "Models summarize the documents from memory. A judge splits these summaries, and those "
        "written by humans, into claims and decides whether the document supports each claim and "
        "whether a true claim is important (salient) or not (cosmetic).",
        [
            judge_part(found.judge),
            _chart(found),
            _relative_table(found),
            _count_table(found),
            _unread_table(found),
            _difference_table(found.differences) if found.differences else None,
        ],
    )


# ---- reliability of the judge --------------------------------------------------------------------


def judge_part(judges: Sequence[JudgeAgreement]) -> Part:
    """Return how well judges agree with labels."""
    heading = "Reliability of the judge"
    if not judges:
        return Part(heading, ["The judge was not measured, so its reliability is unknown."])
    verdicts = [
        (judge, name, agreement)
        for judge in judges
        for name, agreement in (("truth", judge.truth), ("salience", judge.salience))
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            judge.judge,
            name,
            confusions(agreement),
            reasons(judge.unread),
            Stacked(count(agreement.n), f"of {count(judge.claims)}"),
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
    sentences = [
        reliability(f"{name} by {judge.judge}", found.kappa) for judge, name, found in verdicts
    ]
    return Part(heading, [Table(headings, rows, caption, range(len(texts))), Bullets(sentences)])


def confusions(agreement: Agreement) -> str:
    """Return how often each verdict of a judge met each label."""
    return reasons({pair.replace(" ", "\u2013"): n for pair, n in agreement.table.items()})


def reliability(of: str, found: Interval | None) -> str:
    """Return whether the verdicts of a judge carry any information, by their kappa."""
    kappa = estimate(found)
    if kappa is None:
        return f"There is no kappa for {of}: do not rely on any number that depends on it."
    spread = f"kappa {decimal(kappa.value, 2)} {bounds(kappa.low, kappa.high, 2)}"
    if kappa.low is None or kappa.low <= 0:
        return f"The {spread} for {of} is no better than chance: do not rely on it."
    return f"The {spread} for {of} is better than chance."


# ---- relative to humans --------------------------------------------------------------------------


def _name(each: SetScores) -> Cell:
    texts = each.texts
    return "humans" if texts.writer == HUMAN else Model(texts.writer, f" {texts.kind}")


def _relative_table(found: SummariesResult) -> Part:
    measures = [(measure, ratio) for measure in JUDGED for ratio in RATIOS]
    rows = [
        (
            _name(each),
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
    return Part("Relative to human summaries", [Table(headings, rows, caption, texts=range(2))])


def _relative_cell(row: SetScores, measure: str, ratio: str) -> Cell:
    fixed = row.texts.writer == HUMAN and ratio == "ratio of sums"
    without = "1 by definition" if fixed else NO_RATIO
    return value_cell(RATIOS[ratio](row.relative[measure]), 2, without)


def _left_out(row: SetScores) -> str:
    counts = {name: row.relative[name].left_out for name in JUDGED}
    counts["no human summary"] = row.without_human
    return reasons({reason: number for reason, number in counts.items() if number})


def _count_table(found: SummariesResult) -> Table:
    rows = [
        (
            _name(each),
            each.written,
            *(value_cell(each.per_text[measure], 2, "none") for measure in MEASURES),
            share_cell(each.precision, "none judged"),
        )
        for each in found.sets
    ]
    measures = [(measure, "per text") for measure in MEASURES]
    caption = "Claims per text, averaged over the texts of a document, then over documents."
    headings = ("summaries by", "texts", *measures, ("precision", "true / judged"))
    return Table(headings, rows, caption)


def _unread_table(found: SummariesResult) -> Part:
    columns: tuple[Column[SetScores], ...] = (
        ("summaries by", _name),
        ("texts not counted", lambda each: reasons(each.left_out)),
        ("passages not parsed", lambda each: reasons(each.unread_passages)),
        ("claims not judged", lambda each: reasons(each.unjudged)),
        ("claims", lambda each: each.claims),
        ("repeated", lambda each: each.repeats),
        ("empty", lambda each: each.empty),
        ("truncated", lambda each: each.cut_off),
    )
    caption = "Repeated claims count once. Text that is not parsed or judged lowers all counts."
    return Part("Missing data", [table(found.sets, columns, caption, texts=range(4))])


def _difference_table(differences: Sequence[SetDifference]) -> Fold:
    rows = [
        (
            f"{_plain(each.a)} {MINUS} {_plain(each.b)}",
            each.documents,
            *(
                value_cell(values[measure], 2, "none", signed=True)
                for values in (each.per_text, each.ratio_of_sums)
                for measure in JUDGED
            ),
        )
        for each in differences
    ]
    details = ("per text", "ratio of sums")
    measures = [(measure, detail) for detail in details for measure in JUDGED]
    caption = "Paired by document; not corrected for the number of comparisons."
    headings = ("comparison", "documents", *measures)
    return Fold("Differences between models and lengths", [Table(headings, rows, caption)])


def _plain(texts: TextSet) -> str:
    return f"{texts.writer} {texts.kind}"


# ---- the chart -----------------------------------------------------------------------------------


def _chart(found: SummariesResult) -> Figure | None:
    """Return false against salient claims, by the first ratio that all sets have."""
    own = [each for each in found.sets if each.texts.writer != HUMAN]
    by_ratio = {
        name: [point for each in own if (point := _point(each, ratio))]
        for name, ratio in RATIOS.items()
    }
    complete = [name for name, points in by_ratio.items() if len(points) == len(own)]
    name = complete[0] if complete else "ratio of sums"
    if not (points := by_ratio[name]):
        return None
    title = "False claims by salient claims of each set of summaries, relative to humans"

    def draw(series: Series) -> Html:
        colored = [replace(each, series=series.get(each.group, 0)) for each in points]
        return scatter(colored, ("salient claims", "false claims"), title)

    return Figure(_caption(name, len(own) - len(points)), draw)


def _point(each: SetScores, ratio: Ratio) -> Point | None:
    x, y = (estimate(ratio(each.relative[name])) for name in ("salient", "false"))
    if x is None or y is None:
        return None
    return Point(_plain(each.texts), 0, each.texts.writer, x, y)


def _caption(ratio: str, missing: int) -> str:
    lost = f" Sets without such a ratio ({missing}) are in the table only." if missing else ""
    return (
        "False claims against salient claims, relative to human summaries (where the dashed lines "
        f"cross); lower right is better. Values are the {ratio}; crosses are 95% intervals, "
        f"clipped at the frame. Dotted lines join the lengths of one model.{lost}"
    )
