"""What was forgotten, beside what was learned: general text and tasks of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steep.core.formatting import UNKNOWN, bounds, count, decimal, p_value, plural
from steep.report.components import (
    Column,
    PageSection,
    figure_cell,
    fold,
    section,
    stacked,
    table,
    text_column,
)
from steep.report.html import Child, Html, el
from steep.report.measures import compared, mean
from steep.report.sections.accuracies import key
from steep.report.sections.differences import difference_cell, pair_name
from steep.report.view_models import Compared, Estimate, ReportData

BITS, NATS, TASK = 4, 4, 3  # decimals
NOT_MEASURED = "not measured"


def forgetting(run: ReportData) -> PageSection | None:
    """Losses and tasks before and after; None where neither was measured."""
    texts, tasks = run.measured.get("general_text"), run.measured.get("tasks")
    if not texts and not tasks:
        return None
    opening = (
        "Training on a few documents can cost a model what it could do before. The same texts and "
        "tasks are measured before and after, and differences are paired."
    )
    return section(
        "forgetting",
        "Learned and forgotten",
        opening,
        _balance(run, texts, tasks),
        _texts_part(run, texts) if texts else None,
        _tasks_part(run, tasks) if tasks else None,
    )


# ---- learned and forgotten, side by side ---------------------------------------------------------


def _balance(
    run: ReportData, texts: Mapping[str, Any] | None, tasks: Mapping[str, Any] | None
) -> Html | None:
    """A column a trained model: what it gained on the documents, what it lost elsewhere."""
    first = (texts or tasks or {})["models"][0]["name"]
    differences = [*(texts or {}).get("differences", ()), *(tasks or {}).get("differences", ())]
    models = list(dict.fromkeys(each["a"] for each in differences))
    if not models:
        return None
    rows = [
        *_learned(run, models, first),
        *_lost_on_texts(texts, models),
        *_lost_on_tasks(tasks, models),
    ]
    columns = [text_column(f"compared with {first}"), *(Column(name) for name in models)]
    caption = (
        "Learned: closed-book questions about the documents, in percentage points. Forgotten: "
        "above zero for bits per byte is worse; tasks are in the unit of their metric."
    )
    return table(columns, rows, caption)


def _learned(run: ReportData, models: Sequence[str], first: str) -> list[list[Child]]:
    rows: list[list[Child]] = []
    for said, found in _closed_book(run):
        gains = {pair.a: pair.overall for pair in found.pairs if pair.b == first}
        cells = [difference_cell(gains[name]) if name in gains else NOT_MEASURED for name in models]
        rows.append([stacked(said, "learned, points"), *cells])
    return rows


def _closed_book(run: ReportData) -> list[tuple[str, Compared]]:
    answers, short = run.measured.get("answers"), run.measured.get("short_answers")
    return [
        *([("choices by likelihood", run.scores.compared)] if run.scores else ()),
        *([("written answers", compared(answers))] if answers else ()),
        *([("short answers, F1", compared(short["f1"]))] if short else ()),
    ]


def _lost_on_texts(texts: Mapping[str, Any] | None, models: Sequence[str]) -> list[list[Child]]:
    if not texts or not texts["differences"]:
        return []
    lost = {each["a"]: mean(each["bits_per_byte"]) for each in texts["differences"]}
    cells = [figure_cell(lost.get(name), BITS, NOT_MEASURED, signed=True) for name in models]
    return [[stacked("general text", "forgotten, bits per byte"), *cells]]


def _lost_on_tasks(tasks: Mapping[str, Any] | None, models: Sequence[str]) -> list[list[Child]]:
    by_metric: dict[tuple[str, str], dict[str, Estimate | None]] = {}
    for each in (tasks or {}).get("differences", ()):
        metric = by_metric.setdefault((each["task"], each["metric"]), {})
        metric[each["a"]] = mean(each["difference"])
    return [
        [
            stacked(task, f"forgotten, {metric}"),
            *(figure_cell(found.get(name), TASK, NOT_MEASURED, signed=True) for name in models),
        ]
        for (task, metric), found in by_metric.items()
    ]


# ---- general text --------------------------------------------------------------------------------


def _texts_part(run: ReportData, texts: Mapping[str, Any]) -> Html:
    lost = {each["a"]: each for each in texts["differences"]}
    columns = [
        text_column("model"),
        Column("bits per byte"),
        Column("nats per token"),
        *(Column("difference", unit) for unit in ("bits per byte", "nats per token") if lost),
    ]
    rows: list[list[Child]] = []
    for model in texts["models"]:
        pair = lost.get(model["name"])
        rows.append(
            [
                key(run, model["name"]),
                figure_cell(mean(model["bits_per_byte"]), BITS, UNKNOWN),
                figure_cell(mean(model["nats_per_token"]), NATS, UNKNOWN),
                *(_difference_cells(pair) if lost else ()),
            ]
        )
    sizes = texts["models"][0]
    caption = (
        f"Loss on {plural(sizes['texts'], 'text')} of {count(sizes['bytes'])} bytes in all, with "
        "95% intervals over texts. Nats a token compare models of one tokenizer only."
    )
    if not lost:
        caption += " One model was measured, so there is nothing to compare it with."
    said = [el("li", _text_sentence(each)) for each in texts["differences"]]
    return el(
        "div",
        el("h3", "General text"),
        table(columns, rows, caption),
        el("ul", *said, class_="said") if said else None,
    )


def _difference_cells(pair: Mapping[str, Any] | None) -> list[Child]:
    """After less before; tokens of another tokenizer cannot be compared."""
    if pair is None:
        return ["before", "before"]
    return [
        figure_cell(mean(pair["bits_per_byte"]), BITS, UNKNOWN, signed=True),
        figure_cell(mean(pair["nats_per_token"]), NATS, "other tokens", signed=True),
    ]


def _text_sentence(pair: Mapping[str, Any]) -> str:
    found = mean(pair["bits_per_byte"])
    assert found is not None, pair
    size = f"{decimal(found.value, BITS, signed=True)} bits per byte"
    spread = bounds(found.low, found.high, BITS, signed=True)
    name = f"{pair['a']} against {pair['b']}: {size} {spread}, "
    if not found.excludes_zero:
        return name + "so nothing can be told forgotten or gained."
    if found.value > 0:
        return name + "so it predicts general text worse than before: something was forgotten."
    return name + "so it predicts general text better than before."


# ---- tasks ---------------------------------------------------------------------------------------


def _tasks_part(run: ReportData, tasks: Mapping[str, Any]) -> Html:
    values = _task_values(run, tasks)
    return el(
        "div",
        el("h3", "Tasks of others"),
        _task_differences(tasks) if tasks["differences"] else None,
        fold("What the harness says of each model", values) if tasks["differences"] else values,
    )


def _task_differences(tasks: Mapping[str, Any]) -> Html:
    columns = [
        text_column("comparison"),
        text_column("task"),
        text_column("metric"),
        Column("n"),
        Column("before"),
        Column("after"),
        Column("difference", "95% interval"),
        Column("McNemar p"),
    ]
    rows: list[list[Child]] = []
    for each in tasks["differences"]:
        found = mean(each["difference"])
        rows.append(
            [
                pair_name(each["a"], each["b"]),
                each["task"],
                each["metric"],
                count(found.n) if found else UNKNOWN,
                decimal(each["before"], TASK),
                decimal(each["after"], TASK),
                figure_cell(found, TASK, UNKNOWN, signed=True),
                "none" if each["p_mcnemar"] is None else p_value(each["p_mcnemar"]),
            ]
        )
    caption = (
        "Paired by question, in the unit of the metric; whether more is better is the metric's own "
        "affair. Nothing is corrected for the number of comparisons."
    )
    return table(columns, rows, caption)


def _task_values(run: ReportData, tasks: Mapping[str, Any]) -> Html:
    columns = [
        text_column("model"),
        text_column("task"),
        text_column("metric"),
        Column("n"),
        Column("value", "standard error"),
    ]
    rows: list[list[Child]] = [
        [
            key(run, model["name"]),
            row["task"],
            row["metric"],
            count(row["n"]),
            stacked(
                decimal(row["value"], TASK),
                "unknown" if row["stderr"] is None else f"\u00b1 {decimal(row['stderr'], TASK)}",
            ),
        ]
        for model in tasks["models"]
        for row in model["scores"]
    ]
    return table(columns, rows, "As lm-evaluation-harness counts them.")
