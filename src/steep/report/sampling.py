"""Which passages a page shows: drawn by a seeded rule, spread over documents, never by looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from steep.core.ids import stable_hash
from steep.report.view_models import RAW_RECIPE, RejectedSample, SamplePassage

SEED = "report"
Row = TypeVar("Row")


def sample_passages(passages: Sequence[SamplePassage], wanted: int) -> list[SamplePassage]:
    """Synthetic passages, as many documents as possible; raw ones only where nothing else is."""
    synthetic = [passage for passage in passages if passage.recipe != RAW_RECIPE]
    pool = synthetic or list(passages)
    return _spread(pool, wanted, lambda row: row.document_id, lambda row: row.id)


def sample_rejected(rows: Sequence[RejectedSample], wanted: int) -> list[RejectedSample]:
    """Texts that were rejected, as many reasons as possible."""
    return _spread(rows, wanted, lambda row: row.reason, lambda row: f"{row.call_id}:{row.index}")


def _spread(
    rows: Sequence[Row],
    wanted: int,
    group_of: Callable[[Row], Hashable],
    identity: Callable[[Row], str],
) -> list[Row]:
    """Take the first of every group, then the second, in an order drawn from the rows' own ids."""
    shuffled = sorted(rows, key=lambda row: stable_hash([SEED, identity(row)]))
    turns: defaultdict[Hashable, int] = defaultdict(int)
    keyed = []
    for row in shuffled:
        keyed.append((turns[group_of(row)], row))
        turns[group_of(row)] += 1
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])[:wanted]]
