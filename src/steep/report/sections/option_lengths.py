"""Choices by likelihood: do short or long options win, and what if several options are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steep.core.formatting import percent, plural
from steep.report.components import Column, table, text_column
from steep.report.conclusions import NORMALIZERS, normalizer_name
from steep.report.html import Child, Html, el
from steep.report.sections.accuracies import key
from steep.report.view_models import ReportData


def several_right(found: Mapping[str, Any]) -> Html | None:
    """What it takes where several options are right; None where no question has several."""
    if not (number := found.get("several_right")):
        return None
    told = (
        " A likelihood is told how many they are: that many of the likeliest options are chosen."
        if "normalizer" in found
        else ""
    )
    many = plural(number, "question")
    text = f"Of {many} several options are right, and exactly these must be chosen.{told}"
    return el("p", text, class_="prose")


def length_table(run: ReportData) -> Html | None:
    """How often each normalizer chooses the shortest and the longest option."""
    found = run.measured["likelihood"].get("lengths")
    if found is None:
        return None
    names = [name for name in NORMALIZERS if name in next(iter(found["models"].values()))]
    columns = [text_column("")]
    for name in names:
        short = normalizer_name(name).replace("log-likelihood ", "")
        columns.append(Column(short.replace("log-likelihood", "sum"), "shortest / longest"))
    rows: list[list[Child]] = [["the right option", *([_shares(found["gold"])] * len(names))]]
    rows += [
        [key(run, model), *(_shares(shares[name]) for name in names)]
        for model, shares in found["models"].items()
    ]
    caption = (
        "How often the right, and the chosen, option is the shortest or the longest of its "
        f"question (n = {found['n']}, one right option each, lengths in characters). A measure "
        "that chooses short or long options much more often than they are right follows length, "
        "not knowledge."
    )
    return el("div", el("h3", "Short and long options"), table(columns, rows, caption))


def _shares(each: Mapping[str, float]) -> str:
    return f"{percent(each['shortest'], 0)} / {percent(each['longest'], 0)}"
