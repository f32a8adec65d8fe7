"""Forgetting: general text and benchmark tasks before and after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from steep.core.formatting import UNKNOWN, bounds, count, decimal, plural
from steep.evaluation.study_results import (
    GeneralTextResult,
    LossDifference,
    ModelLoss,
    ModelTasks,
    TaskDifference,
    TaskScore,
    TasksResult,
)
from steep.report.blocks import (
    Bullets,
    Cell,
    Column,
    Fold,
    Model,
    PageSection,
    Part,
    Stacked,
    Table,
    points_cell,
    table,
    value_cell,
)
from steep.report.comparisons import p_cell, pair_name
from steep.report.results import ResultTables, estimate

BITS, NATS, TASK = 4, 4, 3  # decimals
NOT_MEASURED = "not measured"


def forgetting(tables: ResultTables) -> PageSection | None:
    """Return the section; None if forgetting was not measured."""
    texts, tasks = tables.general_text, tables.tasks
    if texts is None and tasks is None:
        return None
    return PageSection(
        "forgetting",
        "Learning and forgetting",
        "Training on a few documents can cost a model other abilities. The same texts and tasks "
        "are measured before and after training, and differences are paired.",
        [
            _summary_table(tables),
            _texts_part(texts) if texts else None,
            _tasks_part(tasks) if tasks else None,
        ],
    )


# ---- learned and forgotten, side by side ---------------------------------------------------------

_Change = tuple[Stacked, Mapping[str, Cell]]  # a measure with its unit, and a cell per model


def _summary_table(tables: ResultTables) -> Table | None:
    """Return one column per trained model: gains on the documents, losses elsewhere."""
    texts, tasks = tables.general_text, tables.tasks
    differences: list[LossDifference | TaskDifference] = [
        *(texts.differences if texts else ()),
        *(tasks.differences if tasks else ()),
    ]
    if not differences:
        return None
    first = differences[0].b
    changes = [*_learned(tables, first), *_forgotten_texts(texts), *_forgotten_tasks(tasks)]
    models = list(dict.fromkeys(each.a for each in differences))
    caption = (
        "Learned: closed-book questions about the documents, in percentage points. Forgotten: an "
        "increase in bits per byte is worse; tasks are in the unit of their metric."
    )
    rows = [
        (measure, *(cells.get(model, NOT_MEASURED) for model in models))
        for measure, cells in changes
    ]
    return Table([f"compared with {first}", *models], rows, caption, one_kind=False)


def _learned(tables: ResultTables, first: str) -> Iterator[_Change]:
    for name, found in (
        ("choices by likelihood", tables.likelihood),
        ("generated answers", tables.answers),
        ("short answers, F1", tables.short_answers and tables.short_answers.f1),
    ):
        if found:
            gains = {pair.a: points_cell(pair) for pair in found.pairs if pair.b == first}
            yield Stacked(name, "learned, points"), gains


def _forgotten_texts(texts: GeneralTextResult | None) -> Iterator[_Change]:
    if texts and texts.differences:
        cells = {
            each.a: value_cell(each.bits_per_byte, BITS, NOT_MEASURED, signed=True)
            for each in texts.differences
        }
        yield Stacked("general text", "forgotten, bits per byte"), cells


def _forgotten_tasks(tasks: TasksResult | None) -> Iterator[_Change]:
    by_metric: dict[tuple[str, str], dict[str, Cell]] = {}
    for each in tasks.differences if tasks else ():
        cells = by_metric.setdefault((each.task, each.metric), {})
        cells[each.a] = value_cell(each.difference, TASK, NOT_MEASURED, signed=True)
    for (task, metric), cells in by_metric.items():
        yield Stacked(task, f"forgotten, {metric}"), cells


# ---- general text --------------------------------------------------------------------------------


def _texts_part(texts: GeneralTextResult) -> Part:
    lost = {each.a: each for each in texts.differences}
    columns: list[Column[ModelLoss]] = [
        ("model", lambda model: Model(model.name)),
        ("bits per byte", lambda model: value_cell(model.bits_per_byte, BITS)),
        ("nats per token", lambda model: value_cell(model.nats_per_token, NATS)),
    ]
    sizes = texts.models[0]
    caption = (
        f"Loss on {plural(sizes.texts, 'text')} of {count(sizes.bytes)} bytes in total, with 95% "
        "intervals over texts. Nats per token are comparable for the same tokenizer only."
    )
    if lost:
        columns += [
            (("difference", "bits per byte"), lambda model: _bits_lost(lost.get(model.name))),
            (("difference", "nats per token"), lambda model: _nats_lost(lost.get(model.name))),
        ]
    else:
        caption += " One model was measured, so there is no other model to compare it with."
    sentences = [_text_sentence(each) for each in texts.differences]
    found = table(texts.models, columns, caption)
    return Part("General text", [found, Bullets(sentences) if sentences else None])


def _bits_lost(pair: LossDifference | None) -> Cell:
    return "before" if pair is None else value_cell(pair.bits_per_byte, BITS, signed=True)


def _nats_lost(pair: LossDifference | None) -> Cell:
    """Return after minus before; the losses of different tokenizers cannot be compared."""
    if pair is None:
        return "before"
    return value_cell(pair.nats_per_token, NATS, "other tokenizer", signed=True)


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


def _tasks_part(tasks: TasksResult) -> Part:
    values = _value_table(tasks.models)
    if not tasks.differences:
        return Part("Benchmark tasks", [values])
    folded = Fold("Scores of each model", [values])
    return Part("Benchmark tasks", [_task_table(tasks.differences), folded])


def _task_table(differences: Sequence[TaskDifference]) -> Table:
    columns: tuple[Column[TaskDifference], ...] = (
        ("comparison", pair_name),
        ("task", lambda each: each.task),
        ("metric", lambda each: each.metric),
        ("n", lambda each: each.difference.n),
        ("before", lambda each: decimal(each.before, TASK)),
        ("after", lambda each: decimal(each.after, TASK)),
        (
            ("difference", "95% interval"),
            lambda each: value_cell(each.difference, TASK, signed=True),
        ),
        ("McNemar p", lambda each: p_cell(each.p_mcnemar)),
    )
    caption = (
        "Paired by question, in the unit of the metric (for some metrics, lower is better). Not "
        "corrected for the number of comparisons."
    )
    return table(differences, columns, caption, texts=range(3))


def _value_table(models: Sequence[ModelTasks]) -> Table:
    rows = [
        (Model(model.name), score.task, score.metric, score.n, _value(score))
        for model in models
        for score in model.scores
    ]
    headings = ("model", "task", "metric", "n", ("value", "standard error"))
    return Table(headings, rows, "As reported by lm-evaluation-harness.", texts=range(3))


def _value(score: TaskScore) -> Stacked:
    below = UNKNOWN if score.stderr is None else f"\u00b1 {decimal(score.stderr, TASK)}"
    return Stacked(decimal(score.value, TASK), below)
