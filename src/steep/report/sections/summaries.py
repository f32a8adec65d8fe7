"""Summaries from memory: the judge first, then false and salient claims beside people's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steep.core.formatting import MINUS, bounds, count, decimal, interval, percent, reasons
from steep.report.components import (
    Column,
    PageSection,
    figure,
    figure_cell,
    fold,
    section,
    stacked,
    table,
    text_column,
)
from steep.report.html import Child, Html, el
from steep.report.measures import mean
from steep.report.scatter import Point, scatter
from steep.report.sections.accuracies import key
from steep.report.view_models import HUMAN, Estimate, ReportData

MEASURES = ("claims", "true", "false", "salient", "cosmetic")
READINGS = {"mean_of_ratios": "the mean of ratios", "ratio_of_sums": "the ratio of sums"}
NO_RATIO = "no ratio"


def summaries(run: ReportData) -> PageSection | None:
    """What models write of a document from memory; None where they were not asked."""
    found = run.measured.get("summaries")
    if not found:
        return None
    opening = (
        "Every model writes summaries of the documents from memory. A judge takes them and "
        "people's own apart into claims and says of each whether the document bears it out, and of "
        "a true one whether it matters (salient) or not (cosmetic)."
    )
    return section(
        "summaries",
        "Summaries from memory",
        opening,
        _judge_part(found["judge"]),
        _picture(run, found["sets"]),
        _relative_table(run, found["sets"]),
        _count_table(run, found["sets"]),
        _unread_table(run, found["sets"]),
        _difference_table(found["differences"]) if found["differences"] else None,
    )


# ---- how far the judge can be believed -----------------------------------------------------------


def _judge_part(judges: Sequence[Mapping[str, Any]]) -> Html:
    heading = el("h3", "How far the judge can be believed")
    if not judges:
        return el("div", heading, el("p", "The judge was not measured, so nobody knows."))
    columns = [
        text_column("judge"),
        text_column("asked"),
        Column("claims"),
        Column("agrees with us"),
        Column("Cohen's kappa"),
        text_column("us, the judge"),
        text_column("not read"),
    ]
    rows = [_judge_row(judge, name) for judge in judges for name in ("truth", "salience")]
    caption = (
        "On claims about invented stories that come with labels. Kappa is 0 for a judge that "
        "guesses or always says the same, and 1 for one that agrees throughout; "
        "what it lacks to 1 is error in all that follows."
    )
    said = [el("li", _belief(judge, name)) for judge in judges for name in ("truth", "salience")]
    return el("div", heading, table(columns, rows, caption), el("ul", *said, class_="said"))


def _judge_row(judge: Mapping[str, Any], name: str) -> list[Child]:
    each = judge[name]
    agrees = mean(each["accuracy"])
    return [
        judge["judge"],
        name,
        stacked(count(each["n"]), f"of {count(judge['claims'])}"),
        stacked(percent(agrees.value), interval(agrees.low, agrees.high)) if agrees else "none",
        figure_cell(mean(each["kappa"]), 2, "does not exist"),
        reasons({_said(said): number for said, number in each["table"].items()}),
        reasons(judge["unread"]),
    ]


def _said(pair: str) -> str:
    return pair.replace(" ", "\u2013")


def _belief(judge: Mapping[str, Any], name: str) -> str:
    """Whether its verdicts carry anything at all."""
    kappa = mean(judge[name]["kappa"])
    of = f"{name} by {judge['judge']}"
    if kappa is None:
        return f"No kappa for {of}: take nothing that rests on it for measured."
    spread = f"kappa {decimal(kappa.value, 2)} {bounds(kappa.low, kappa.high, 2)}"
    if kappa.low is None or kappa.low <= 0:
        return f"The {spread} for {of} is no better than guessing: take nothing from it."
    return f"The {spread} for {of} is better than guessing."


# ---- beside people's -----------------------------------------------------------------------------


def _name(run: ReportData, texts: Mapping[str, Any]) -> Html:
    if texts["writer"] == HUMAN:
        return el("span", "people", class_="key")
    return el("span", key(run, texts["writer"]), f" {texts['kind']}")


def _relative_table(run: ReportData, sets: Sequence[Mapping[str, Any]]) -> Html:
    columns = [
        text_column("texts of"),
        Column("documents"),
        Column("false", "mean of ratios"),
        Column("false", "ratio of sums"),
        Column("salient", "mean of ratios"),
        Column("salient", "ratio of sums"),
        text_column("documents left out"),
    ]
    rows: list[list[Child]] = []
    for each in sets:
        beside = each["relative"]
        cells = [
            figure_cell(mean(beside[measure][reading]), 2, _without(each["texts"], reading))
            for measure in ("false", "salient")
            for reading in READINGS
        ]
        left_out = {name: beside[name]["left_out"] for name in ("false", "salient")}
        left_out["no person's text"] = each["without_human"]
        missing = reasons({reason: number for reason, number in left_out.items() if number})
        rows.append([_name(run, each["texts"]), count(each["documents"]), *cells, missing])
    caption = (
        "Claims beside those of people's summaries of the same document, which are 1. The mean of "
        "ratios leaves out documents where people claim nothing false (or nothing salient); the "
        "ratio of sums leaves out none. People are held against one another. Intervals are 95%, "
        "over documents."
    )
    return el("div", el("h3", "Beside what people wrote"), table(columns, rows, caption))


def _without(texts: Mapping[str, Any], reading: str) -> str:
    """The sum of people's claims beside itself is 1, whatever they wrote."""
    return "1, always" if (texts["writer"], reading) == (HUMAN, "ratio_of_sums") else NO_RATIO


def _count_table(run: ReportData, sets: Sequence[Mapping[str, Any]]) -> Html:
    columns = [
        text_column("texts of"),
        Column("texts"),
        *(Column(name, "a text") for name in MEASURES),
        Column("precision", "true of those judged"),
    ]
    rows: list[list[Child]] = []
    for each in sets:
        precise = mean(each["precision"])
        share = (
            stacked(percent(precise.value), interval(precise.low, precise.high))
            if precise
            else "none judged"
        )
        counts = [figure_cell(mean(each["per_text"][name]), 2, "none") for name in MEASURES]
        rows.append([_name(run, each["texts"]), count(each["written"]), *counts, share])
    caption = "Claims a text, averaged over a document's texts and then over documents."
    return table(columns, rows, caption)


def _unread_table(run: ReportData, sets: Sequence[Mapping[str, Any]]) -> Html:
    """What makes counts too low: texts, passages and claims that have no verdict."""
    columns = [
        text_column("texts of"),
        Column("claims"),
        Column("repeated"),
        Column("empty"),
        Column("cut off"),
        text_column("texts not counted"),
        text_column("passages not read"),
        text_column("claims not judged"),
    ]
    rows: list[list[Child]] = [
        [
            _name(run, each["texts"]),
            *(count(each[name]) for name in ("claims", "repeats", "empty", "cut_off")),
            *(reasons(each[name]) for name in ("left_out", "unread_passages", "unjudged")),
        ]
        for each in sets
    ]
    caption = "A repeated claim counts once. What is not read or judged makes counts too low."
    return el("div", el("h3", "What could not be read"), table(columns, rows, caption))


def _difference_table(differences: Sequence[Mapping[str, Any]]) -> Html:
    columns = [
        text_column("comparison"),
        Column("documents"),
        Column("false", "a text"),
        Column("salient", "a text"),
        Column("false", "ratio of sums"),
        Column("salient", "ratio of sums"),
    ]
    rows: list[list[Child]] = [
        [
            f"{_plain(each['a'])} {MINUS} {_plain(each['b'])}",
            count(each["documents"]),
            *(
                figure_cell(mean(each[reading][name]), 2, "none", signed=True)
                for reading in ("per_text", "ratio_of_sums")
                for name in ("false", "salient")
            ),
        ]
        for each in differences
    ]
    caption = "Paired by document. Nothing is corrected for the number of comparisons."
    return fold("Differences between models and lengths", table(columns, rows, caption))


def _plain(texts: Mapping[str, Any]) -> str:
    return f"{texts['writer']} {texts['kind']}"


# ---- the picture ---------------------------------------------------------------------------------


def _picture(run: ReportData, sets: Sequence[Mapping[str, Any]]) -> Html | None:
    """False by salient claims, relative to people, under a reading that all sets have."""
    own = [each for each in sets if each["texts"]["writer"] != HUMAN]
    for reading, said in READINGS.items():
        points = [_point(run, each, reading) for each in own]
        known = [point for point in points if point is not None]
        if known and len(known) == len(points):
            return figure(_drawn(known), _caption(said, 0))
    known = [point for each in own if (point := _point(run, each, "ratio_of_sums"))]
    return figure(_drawn(known), _caption(said, len(own) - len(known))) if known else None


def _point(run: ReportData, each: Mapping[str, Any], reading: str) -> Point | None:
    found: list[Estimate | None] = [
        mean(each["relative"][name][reading]) for name in ("salient", "false")
    ]
    x, y = found
    if x is None or y is None:
        return None
    texts = each["texts"]
    return Point(_plain(texts), run.series.get(texts["writer"], 0), texts["writer"], x, y)


def _drawn(points: Sequence[Point]) -> Html:
    title = "False claims by salient claims of each set of summaries, relative to people's"
    return scatter(points, ("salient claims", "false claims"), title)


def _caption(reading: str, missing: int) -> str:
    lost = f" {missing} without such a ratio are in the table only." if missing else ""
    return (
        "False claims against salient ones, relative to people's summaries, whose place is where "
        f"the dashed lines cross; to the right and down is better. By {reading}; crosses are 95% "
        "intervals, cut at the frame. A line joins the lengths that one model wrote." + lost
    )
