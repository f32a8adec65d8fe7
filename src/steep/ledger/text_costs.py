"""What texts have cost, by what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT


class OutcomeCost(NamedTuple):
    """The calls of texts with the same outcome; imported texts are not counted."""

    reason: str  # why the texts were rejected; empty for passages
    calls: int
    completion_tokens: int
    known_usd: float
    unpriced: int  # calls whose cost is not known


def cost_of_texts(ledger: Ledger, reason: str, call_ids: Iterable[str]) -> OutcomeCost:
    """Sum the calls with these ids; ids that the ledger does not have are no calls."""
    columns = (
        f"total(endpoint != '{IMPORT_ENDPOINT}'), total(completion_tokens), total(cost_usd), "
        "total(cost_usd IS NULL)"
    )
    sums = [0.0, 0.0, 0.0, 0.0]
    for row in ledger.select_ids(columns, call_ids):
        sums = [before + new for before, new in zip(sums, row, strict=True)]
    calls, tokens, known_usd, unpriced = sums
    return OutcomeCost(reason, int(calls), int(tokens), known_usd, int(unpriced))
