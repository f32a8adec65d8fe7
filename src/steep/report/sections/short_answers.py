"""Short answers in free text: exact match, F1, and how likely an accepted answer was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steep.core.formatting import UNKNOWN, count, decimal
from steep.report.components import Column, fold, table, text_column
from steep.report.conclusions import verdict
from steep.report.html import Child, Html, el
from steep.report.measures import compared
from steep.report.sections.accuracies import accuracy_cell, accuracy_table, key
from steep.report.sections.differences import READINGS, difference_cell, holm_cell, pair_name
from steep.report.view_models import Compared, ReportData

METRICS = {"exact_match": "exact match", "f1": "F1"}


def short_answers(run: ReportData, found: Mapping[str, Any]) -> list[Html | None]:
    """Everything about questions that are answered in a few words."""
    scores = {name: compared(found[name]) for name in METRICS}
    lede = (
        "Questions that are answered in a few words. Exact match asks for the words of an accepted "
        "answer, case, articles and punctuation aside; F1 is how far the words overlap."
    )
    return [
        el("h3", "Short answers"),
        el("p", lede, class_="prose"),
        _score_table(run, found, scores),
        _pair_table(scores) if scores["f1"].pairs else None,
        *(
            fold(f"By kind of question, {METRICS[name]}", accuracy_table(run, each))
            for name, each in scores.items()
            if each.kinds
        ),
    ]


def _score_table(run: ReportData, found: Mapping[str, Any], scores: Mapping[str, Compared]) -> Html:
    columns = [
        text_column("model"),
        *(Column(said, f"n = {scores[name].questions}") for name, said in METRICS.items()),
        Column("nats per token", "accepted answer"),
        Column("nats per byte", "accepted answer"),
        Column("empty texts"),
    ]
    rows: list[list[Child]] = []
    for exact, overlap in zip(scores["exact_match"].models, scores["f1"].models, strict=True):
        likely = found["likelihood"].get(exact.name)
        rows.append(
            [
                key(run, exact.name),
                accuracy_cell(exact.overall, show_n=False),
                accuracy_cell(overlap.overall, show_n=False),
                decimal(likely["nats_per_token"], 2) if likely else UNKNOWN,
                decimal(likely["nats_per_byte"], 3) if likely else UNKNOWN,
                count(found["empty"].get(exact.name, 0)),
            ]
        )
    caption = (
        "Nats: the log-likelihood of the likeliest accepted answer, a mean over questions without "
        "an interval; nearer to zero is likelier. A server that tells none leaves them unknown."
    )
    return table(columns, rows, caption)


def _pair_table(scores: Mapping[str, Compared]) -> Html:
    """Both metrics of a pair side by side; only exact match has a test."""
    columns = [
        text_column("comparison"),
        Column("n"),
        Column("exact match", "points, 95% interval"),
        Column("Holm p", "of exact match"),
        text_column("reading of exact match"),
        Column("F1", "points, 95% interval"),
    ]
    rows: list[list[Child]] = [
        [
            pair_name(exact.a, exact.b),
            count(exact.overall.n),
            difference_cell(exact.overall),
            holm_cell(exact),
            READINGS[verdict(exact)],
            difference_cell(overlap.overall),
        ]
        for exact, overlap in zip(scores["exact_match"].pairs, scores["f1"].pairs, strict=True)
    ]
    caption = "The Holm p is corrected over the planned comparisons by exact match."
    return table(columns, rows, caption)
