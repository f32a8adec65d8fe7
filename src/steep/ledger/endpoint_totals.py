"""What each endpoint and model was asked, and how long it took: calls and requests together."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from steep.core.calls import Usage
from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT
from steep.ledger.rows import REASONING

QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class EndpointTotals:
    """The calls and requests of a project to one model at one endpoint.

    Attributes:
        answered: Those that have an answer; `failed` ones have none.
        attempts: Of all of them, repeated ones included.
        known_usd: Their cost as far as it is known; `unpriced` answers have none.
        latency_s: The `QUANTILES` of the seconds of the answered ones; empty where they are not
            known, as in a provider's batch.
    """

    endpoint: str
    model: str
    answered: int
    failed: int
    attempts: int
    usage: Usage
    known_usd: float
    unpriced: int
    latency_s: tuple[float, ...]


def endpoint_totals(ledger: Ledger) -> list[EndpointTotals]:
    """Return the totals of every endpoint and model, the most answers first."""
    failed = "status IN ('failed', 'skipped')"
    sums = (
        f"sum(NOT {failed}), sum({failed}), sum(attempts), sum(prompt_tokens), "
        "sum(cached_tokens), sum(completion_tokens), total({reasoning}), total(cost_usd), "
        f"sum(cost_usd IS NULL AND NOT {failed})"
    )
    ended = f"endpoint != '{IMPORT_ENDPOINT}' AND status != 'submitted'"
    seconds = _seconds(ledger, f"{ended} AND NOT {failed} AND latency_s > 0")
    rows: defaultdict[tuple[str, str], list[Sequence[float]]] = defaultdict(list)
    for table in ("calls", "requests"):
        own = sums.format(reasoning=REASONING.format(table=table))
        query = f"SELECT endpoint, model, {own} FROM {table} WHERE {ended} GROUP BY 1, 2"
        for endpoint, model, *numbers in ledger.select(query):
            rows[endpoint, model].append(numbers)
    found = [_totals(names, both, seconds.get(names)) for names, both in rows.items()]
    return sorted(found, key=lambda each: (-each.answered, each.endpoint, each.model))


def _totals(
    names: tuple[str, str], rows: Sequence[Sequence[float]], seconds: array[float] | None
) -> EndpointTotals:
    """Return the totals of the rows of calls and of requests."""
    answered, failed, attempts, *tokens, known_usd, unpriced = map(sum, zip(*rows, strict=True))
    return EndpointTotals(
        *names,
        answered=int(answered),
        failed=int(failed),
        attempts=int(attempts),
        usage=Usage(*map(int, tokens)),
        known_usd=known_usd,
        unpriced=int(unpriced),
        latency_s=_quantiles(seconds) if seconds else (),
    )


def _seconds(ledger: Ledger, chosen: str) -> dict[tuple[str, str], array[float]]:
    found: defaultdict[tuple[str, str], array[float]] = defaultdict(lambda: array("d"))
    for table in ("calls", "requests"):
        query = f"SELECT endpoint, model, latency_s FROM {table} WHERE {chosen}"
        for endpoint, model, latency_s in ledger.select(query):
            found[endpoint, model].append(latency_s)
    return dict(found)


def _quantiles(values: array[float]) -> tuple[float, ...]:
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in QUANTILES)
