"""What lm-evaluation-harness counted, question by question, so that two models compare paired.

The harness itself compares two models by their standard errors, as if they had answered different
questions. They answered the same, so the difference is taken on each question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steep.core.files import read_parquet, write_parquet

if TYPE_CHECKING:
    from steep.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What one question gave. `weight` is its bytes or words where the metric is a ratio of sums.

    `metric` is the harness's name, with that of the filter after a comma where it has one.
    """

    task: str
    question_id: str
    metric: str
    value: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """After less before: the mean of the rows' values (a ratio of sums where they have weights).

    `p_mcnemar` is there where every value is right or wrong.
    """

    task: str
    metric: str
    before: float
    after: float
    difference: Interval
    p_mcnemar: float | None


def compare_tasks(after: Sequence[TaskRow], before: Sequence[TaskRow]) -> list[TaskDifference]:
    """Compare two models on each task and metric.

    Raises:
        ValueError: They did not answer the same questions.
    """
    groups_after, groups_before = _by_metric(after), _by_metric(before)
    if groups_after.keys() != groups_before.keys():
        odd = groups_after.keys() ^ groups_before.keys()
        raise ValueError(f"only one of the models has {sorted(odd)[:3]}")
    return [_difference(rows, groups_before[key]) for key, rows in groups_after.items()]


def _by_metric(rows: Sequence[TaskRow]) -> dict[tuple[str, str], list[TaskRow]]:
    groups: dict[tuple[str, str], list[TaskRow]] = {}
    for row in rows:
        groups.setdefault((row.task, row.metric), []).append(row)
    return groups


def _difference(after: Sequence[TaskRow], before: Sequence[TaskRow]) -> TaskDifference:
    from steep.evaluation.statistics import mcnemar_exact

    ids, others = ([(row.question_id, row.weight) for row in rows] for rows in (after, before))
    if ids != others:
        raise ValueError(f"other questions of '{after[0].task}' after ({len(ids)}) than before")
    a, b = ([row.value for row in rows] for rows in (after, before))
    weight = sum(row.weight for row in after)
    right_or_wrong = {*a, *b} <= {0.0, 1.0} and weight == len(after)
    return TaskDifference(
        after[0].task,
        after[0].metric,
        before=sum(b) / weight,
        after=sum(a) / weight,
        difference=_interval(after, before),
        p_mcnemar=mcnemar_exact([x == 1 for x in a], [x == 1 for x in b])
        if right_or_wrong
        else None,
    )


def _interval(after: Sequence[TaskRow], before: Sequence[TaskRow]) -> Interval:
    from steep.evaluation.bootstrap import bootstrap_interval, ratio_difference
    from steep.evaluation.statistics import paired_difference

    ids = [row.question_id for row in after]
    pairs = [(x.value, y.value) for x, y in zip(after, before, strict=True)]
    if all(row.weight == 1 for row in after) and all(0 <= min(p) <= max(p) <= 1 for p in pairs):
        return paired_difference([a for a, _ in pairs], [b for _, b in pairs], ids)
    columns = [[a, row.weight, b, row.weight] for row, (a, b) in zip(after, pairs, strict=True)]
    return bootstrap_interval(columns, ids, ratio_difference)


def write_task_rows(path: Path, rows: Sequence[TaskRow]) -> None:
    """Write rows as Parquet, atomically."""
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("task", "question_id", "metric")]
    schema = pa.schema([*texts, ("value", pa.float64()), ("weight", pa.float64())])
    write_parquet(path, [asdict(row) for row in rows], schema)


def read_task_rows(path: Path) -> list[TaskRow]:
    """Read what `write_task_rows` wrote."""
    return [TaskRow(**row) for row in read_parquet(path)]
