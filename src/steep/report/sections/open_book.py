"""Open book: what retrieval found, what models make of it, and how far the documents carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steep.core.formatting import UNKNOWN, count, decimal, interval, listing, p_value, percent
from steep.report.charts import Axis, WhiskerGroup, whisker_chart
from steep.report.components import (
    Column,
    PageSection,
    figure,
    section,
    stacked,
    table,
    text_column,
)
from steep.report.html import Child, Html, el
from steep.report.measures import compared, estimate
from steep.report.sections.accuracies import PERCENT_TICKS, accuracy_whisker, key
from steep.report.sections.differences import comparison, difference_cell
from steep.report.sections.grid import grid
from steep.report.sections.results import skipped_questions
from steep.report.view_models import Estimate, ModelScore, ReportData

VARIANTS = {"likelihood": "the likeliest option", "answers": "what they write"}
GAINS = {
    "over_closed_book": "open book over closed book",
    "under_whole_document": "the whole document over open book",
}
ORDER = "closed book", "open book", "whole document"


def open_book(run: ReportData) -> PageSection | None:
    """Retrieval, the grid of ways to show, and gains; None where it was not measured."""
    found = run.measured.get("open_book")
    if not found:
        return None
    variant = VARIANTS.get(found["method"], found["method"])
    opening = (
        "The same questions with chunks of the documents in the prompt, as a search engine finds "
        f"them; models are scored by {variant}. Intervals are 95%, clustered by document."
    )
    if any(cell["chunk_characters"] is None for cell in found["cells"]):
        opening += " The whole document instead of chunks shows what perfect retrieval would give."
    listed = (
        None
        if any(map(run.measured.get, ("likelihood", "answers", "short_answers")))
        else (skipped_questions(run))
    )
    return section(
        "open-book",
        "Open book",
        opening,
        _chart(run, found),
        _gain_table(run, found),
        *_comparison(run, found),
        _retrieval_table(found["retrieval"]),
        *grid(run, found),
        listed,
    )


# ---- closed book, open book, whole document ------------------------------------------------------


def _chart(run: ReportData, found: Mapping[str, Any]) -> Html | None:
    """One group a model; only ways that have a figure."""
    variants = _variants(run, found)
    if not variants:
        return None
    groups = [_group(run, name, known) for name, known in variants.items()]
    shown = [variant for variant in ORDER if any(variant in known for known in variants.values())]
    title = f"Accuracy of each model: {listing(shown)}"
    caption = f"{title}, with 95% intervals."
    if len({each.n for known in variants.values() for each in known.values()}) > 1:
        caption += " Numbers of questions differ: a gain is taken on the same questions only."
    chance = found.get("chance")
    label = "" if chance is None else f"guessing {percent(chance, 0)}"
    axis = Axis(0, 1, PERCENT_TICKS, chance, label)
    picture = whisker_chart(groups, axis, title)
    return figure(picture, caption)


def _variants(run: ReportData, found: Mapping[str, Any]) -> dict[str, dict[str, Estimate]]:
    """What is known of each model: closed book, at its best cell, with the whole document."""
    closed = _closed(run, found["method"])
    asked = _overall(compared(found["compared"]).models) if found["compared"] else {}
    whole = {
        cell["model"]: estimate(cell, "accuracy")
        for cell in found["cells"]
        if cell["chunk_characters"] is None
    }
    variants = {}
    for name in dict.fromkeys(cell["model"] for cell in found["cells"]):
        figures = zip(ORDER, (closed.get(name), asked.get(name), whole.get(name)), strict=True)
        if known := {variant: each for variant, each in figures if each}:
            variants[name] = known
    return variants


def _group(run: ReportData, name: str, known: Mapping[str, Estimate]) -> WhiskerGroup:
    sizes = {each.n for each in known.values()}
    series = run.series.get(name, 0)
    rows = [
        accuracy_whisker(variant if len(sizes) == 1 else f"{variant}, n = {each.n}", series, each)
        for variant, each in known.items()
    ]
    return WhiskerGroup(name, f"n = {sizes.pop()}" if len(sizes) == 1 else "n differs", rows)


def _closed(run: ReportData, method: str) -> dict[str, Estimate | None]:
    """Closed-book accuracies that were found in the same way."""
    table = run.measured.get(method)
    return _overall(compared(table).models) if table else {}


def _overall(models: Sequence[ModelScore]) -> dict[str, Estimate | None]:
    return {model.name: model.overall for model in models}


def _gain_table(run: ReportData, found: Mapping[str, Any]) -> Html | None:
    rows: list[list[Child]] = []
    for name, said in GAINS.items():
        for model, row in found[name].items():
            gain = estimate(row, "difference")
            assert gain is not None, row
            rows.append(
                [
                    key(run, model),
                    said,
                    count(gain.n),
                    difference_cell(gain),
                    p_value(row["p"]),
                ]
            )
    if not rows:
        return None
    columns = [
        text_column("model"),
        text_column("gain of"),
        Column("n"),
        Column("difference", "points, 95% interval"),
        Column("p", "clustered"),
    ]
    caption = "On the same questions, asked both ways. Nothing is corrected for several models."
    return table(columns, rows, caption)


def _comparison(run: ReportData, found: Mapping[str, Any]) -> list[Html]:
    if found["compared"] is None:
        text = (
            "No way of showing is singled out: without a validation split the best of many would "
            "look better than it is."
        )
        return [el("p", text, class_="prose")]
    measure = f"{VARIANTS.get(found['method'], found['method'])} after retrieved chunks"
    return comparison(run, compared(found["compared"]), measure)


# ---- retrieval -----------------------------------------------------------------------------------


def _retrieval_table(retrieval: Sequence[Mapping[str, Any]]) -> Html | None:
    """Recall and mean reciprocal rank: of the right document, and of a text with the answer."""
    if not retrieval:
        return None
    recalls = list(retrieval[0]["document"]["recall"])
    columns = [
        text_column("chunks of"),
        text_column("found"),
        Column("chunks"),
        Column("n"),
        *(Column(f"recall@{k}") for k in recalls),
        Column("MRR"),
    ]
    rows: list[list[Child]] = [
        _retrieval_row(each, said, each[what])
        for each in retrieval
        for what, said in (("document", "the document"), ("answer", "the answer"))
        if each[what]
    ]
    return el(
        "div", el("h3", "What was found"), table(columns, rows, _retrieval_caption(retrieval))
    )


def _retrieval_row(each: Mapping[str, Any], said: str, ranks: Mapping[str, Any]) -> list[Child]:
    return [
        f"{count(each['chunk_characters'])} characters",
        said,
        count(each["chunks"]) if "chunks" in each else UNKNOWN,
        count(ranks["n"]),
        *(
            stacked(percent(recall["value"]), interval(recall["low"], recall["high"]))
            for recall in ranks["recall"].values()
        ),
        decimal(ranks["mrr"]["value"], 3),
    ]


def _retrieval_caption(retrieval: Sequence[Mapping[str, Any]]) -> str:
    """What recall is, and what it cannot reach."""
    said = (
        "Recall@k: the share of questions with the right one among the first k chunks. MRR: the "
        "mean of 1 / the rank of the first right one."
    )
    lost = {each["chunk_characters"]: each["answers_in_no_chunk"] for each in retrieval}
    blank = {each["chunk_characters"]: each.get("blank", 0) for each in retrieval}
    for size, number in lost.items():
        if number:
            said += f" {count(number)} answers stand in no chunk of {count(size)} characters."
    for size, number in blank.items():
        if number:
            said += (
                f" {count(number)} chunks of {count(size)} characters hold no word to search for."
            )
    return said
