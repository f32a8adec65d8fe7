"""Forgetting: general text and benchmark tasks before and after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steep.core.formatting import MINUS, UNKNOWN, bounds, count, decimal, plural
from steep.evaluation.study_results import (
    GeneralTextResult,
    LossDifference,
    ModelTasks,
    TaskDifference,
    TaskScore,
    TasksResult,
)
from steep.report.comparisons import key, p_cell
from steep.report.components import (
    PageSection,
    fold,
    part,
    points_cell,
    section,
    stacked,
    table,
    value_cell,
)
from steep.report.html import Child, Html, el
from steep.report.view_models import ReportData, estimate

BITS, NATS, TASK = 4, 4, 3  # decimals
NOT_MEASURED = "not measured"


def forgetting(run: ReportData) -> PageSection | None:
    """Return the section; None if forgetting was not measured."""
    texts, tasks = run.tables.general_text, run.tables.tasks
    if texts is None and tasks is None:
        return None
    return section(
        "forgetting",
        "Learning and forgetting",
        "Training on a few documents can cost a model other abilities. The same texts and tasks "
        "are measured before and after training, and differences are paired.",
        _summary_table(run),
        _texts_part(run, texts) if texts else None,
        _tasks_part(run, tasks) if tasks else None,
    )


# ---- learned and forgotten, side by side ---------------------------------------------------------


_Change = tuple[Html, Mapping[str, Child]]  # a measure with its unit, and a cell per model


def _summary_table(run: ReportData) -> Html | None:
    """Return one column per trained model: gains on the documents, losses elsewhere."""
    texts, tasks = run.tables.general_text, run.tables.tasks
    differences: list[LossDifference | TaskDifference] = [
        *(texts.differences if texts else ()),
        *(tasks.differences if tasks else ()),
    ]
    if not differences:
        return None
    first = differences[0].b
    changes = [*_learned(run, first), *_forgotten_texts(texts), *_forgotten_tasks(tasks)]
    models = list(dict.fromkeys(each.a for each in differences))
    caption = (
        "Learned: closed-book questions about the documents, in percentage points. Forgotten: an "
        "increase in bits per byte is worse; tasks are in the unit of their metric."
    )
    rows = [
        (measure, *(cells.get(model, NOT_MEASURED) for model in models))
        for measure, cells in changes
    ]
    return table([f"compared with {first}", *models], rows, caption)


def _learned(run: ReportData, first: str) -> Iterator[_Change]:
    tables = run.tables
    for name, found in (
        ("choices by likelihood", tables.likelihood),
        ("generated answers", tables.answers),
        ("short answers, F1", tables.short_answers and tables.short_answers.f1),
    ):
        if found:
            gains = {pair.a: points_cell(pair) for pair in found.pairs if pair.b == first}
            yield stacked(name, "learned, points"), gains


def _forgotten_texts(texts: GeneralTextResult | None) -> Iterator[_Change]:
    if texts and texts.differences:
        cells = {
            each.a: value_cell(each.bits_per_byte, BITS, NOT_MEASURED, signed=True)
            for each in texts.differences
        }
        yield stacked("general text", "forgotten, bits per byte"), cells


def _forgotten_tasks(tasks: TasksResult | None) -> Iterator[_Change]:
    by_metric: dict[tuple[str, str], dict[str, Child]] = {}
    for each in tasks.differences if tasks else ():
        cells = by_metric.setdefault((each.task, each.metric), {})
        cells[each.a] = value_cell(each.difference, TASK, NOT_MEASURED, signed=True)
    for (task, metric), cells in by_metric.items():
        yield stacked(task, f"forgotten, {metric}"), cells


# ---- general text --------------------------------------------------------------------------------


def _texts_part(run: ReportData, texts: GeneralTextResult) -> Html:
    lost = {each.a: each for each in texts.differences}
    rows = [
        (
            key(run, model.name),
            value_cell(model.bits_per_byte, BITS),
            value_cell(model.nats_per_token, NATS),
            *(_change_cells(lost.get(model.name)) if lost else ()),
        )
        for model in texts.models
    ]
    units = ("bits per byte", "nats per token")
    headings = ("model", *units, *(("difference", unit) for unit in units if lost))
    sizes = texts.models[0]
    caption = (
        f"Loss on {plural(sizes.texts, 'text')} of {count(sizes.bytes)} bytes in total, with 95% "
        "intervals over texts. Nats per token are comparable for the same tokenizer only."
    )
    if not lost:
        caption += " One model was measured, so there is no other model to compare it with."
    readings = [el("li", _text_sentence(each)) for each in texts.differences]
    return part(
        "General text",
        table(headings, rows, caption),
        el("ul", *readings, class_="said") if readings else None,
    )


def _change_cells(pair: LossDifference | None) -> tuple[Child, Child]:
    """Return after minus before; the losses of different tokenizers cannot be compared."""
    if pair is None:
        return "before", "before"
    nats = value_cell(pair.nats_per_token, NATS, "other tokenizer", signed=True)
    return value_cell(pair.bits_per_byte, BITS, signed=True), nats


def _text_sentence(pair: LossDifference) -> str:
    found = estimate(pair.bits_per_byte)
    assert found is not None, pair
    size = f"{decimal(found.value, BITS, signed=True)} bits per byte"
    spread = bounds(found.low, found.high, BITS, signed=True)
    if not found.excludes_zero:
        reading = "no significant change"
    elif found.value > 0:
        reading = "worse on general text than before, so something was forgotten"
    else:
        reading = "better on general text than before"
    return f"{pair.a} against {pair.b}: {size} {spread}, {reading}."


# ---- tasks ---------------------------------------------------------------------------------------


def _tasks_part(run: ReportData, tasks: TasksResult) -> Html:
    values = _value_table(run, tasks.models)
    if not tasks.differences:
        return part("Benchmark tasks", values)
    folded = fold("Scores of each model", values)
    return part("Benchmark tasks", _task_table(tasks.differences), folded)


def _task_table(differences: Sequence[TaskDifference]) -> Html:
    rows = [
        (
            f"{each.a} {MINUS} {each.b}",
            each.task,
            each.metric,
            each.difference.n,
            decimal(each.before, TASK),
            decimal(each.after, TASK),
            value_cell(each.difference, TASK, signed=True),
            p_cell(each.p_mcnemar),
        )
        for each in differences
    ]
    difference = ("difference", "95% interval")
    headings = ("comparison", "task", "metric", "n", "before", "after", difference, "McNemar p")
    caption = (
        "Paired by question, in the unit of the metric (for some metrics, lower is better). Not "
        "corrected for the number of comparisons."
    )
    return table(headings, rows, caption, texts=range(3))


def _value_table(run: ReportData, models: Sequence[ModelTasks]) -> Html:
    rows = [
        (key(run, model.name), score.task, score.metric, score.n, _value(score))
        for model in models
        for score in model.scores
    ]
    headings = ("model", "task", "metric", "n", ("value", "standard error"))
    return table(headings, rows, "As reported by lm-evaluation-harness.", texts=range(3))


def _value(score: TaskScore) -> Html:
    below = UNKNOWN if score.stderr is None else f"\u00b1 {decimal(score.stderr, TASK)}"
    return stacked(decimal(score.value, TASK), below)
