"""The table `requests` of the ledger: requests of evaluations, judges and searches.

A request that has ended is never sent again; a failed one is, by the next run. `held_tokens` and
`held_usd` are what a request counts against limits: its usage, or, where the endpoint does not
report it, the most that it can have used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.calls import Completion, Message, Usage
from steep.core.ids import canonical_json
from steep.ledger.budget import Reservation
from steep.ledger.ledger import Ledger
from steep.ledger.records import FailureGroup, has_failed
from steep.ledger.rows import (
    COMPLETION,
    INSERT_REQUEST,
    REASONING,
    Row,
    completion_of,
    ended,
    now_utc,
    unpack,
)
from steep.llm.requests import Request


class Ended(NamedTuple):
    """A request, how it ended, and what it counts against limits."""

    request: Request
    completion: Completion
    held: Reservation


@dataclass(frozen=True, slots=True)
class PurposeCost:
    """The usage of all requests for one purpose."""

    purpose: str
    model: str
    requests: int  # completed
    failed: int
    usage: Usage
    known_usd: float
    unpriced: int  # completed requests whose cost is not known


class FullRequest(NamedTuple):
    """A request with its outcome."""

    request: Request
    completion: Completion
    status: str
    finished_at: str


def record(ledger: Ledger, requests: Sequence[Ended]) -> None:
    """Record how requests ended: all of them or (killed, disk full) none."""
    now = now_utc()
    with ledger.writing():
        rows = [
            (
                *ended(
                    completion,
                    "failed" if has_failed(completion) else "done",
                    now,
                    json.dumps(completion.result, ensure_ascii=False),
                ),
                *(held.tokens, held.cost_usd or 0.0, request.purpose, request.kind, request.model),
                ledger.parts.keep([Message("user", request.parts)]),
                canonical_json(request.parameters),
            )
            for request, completion, held in requests
        ]
        ledger.connection.executemany(INSERT_REQUEST, rows)
        ledger.put_reasoning(completion for _, completion, _ in requests)


def completed(ledger: Ledger, ids: Iterable[str]) -> dict[str, Completion]:
    """Return the completions of the requests that have succeeded, by id."""
    rows = ledger.select_ids(f"status, {COMPLETION}, result", ids, "requests")
    return {row[1]: _completion(row[1:]) for row in rows if row[0] == "done"}


def held(ledger: Ledger, purpose: str | None = None) -> Reservation:
    """Return what all requests, or those for one purpose, count against limits."""
    query = (
        "SELECT total(held_tokens), total(held_usd) FROM requests "
        "WHERE purpose = ifnull(?, purpose)"
    )
    ((tokens, cost_usd),) = ledger.select(query, (purpose,))
    return Reservation(int(tokens), cost_usd)


def unpriced(ledger: Ledger, endpoint: str, model: str) -> Usage:
    """Sum the tokens of completed requests to a model whose price was not known."""
    query = (
        "SELECT total(prompt_tokens), total(cached_tokens), total(completion_tokens) FROM requests "
        "WHERE endpoint = ? AND model = ? AND status = 'done' AND cost_usd IS NULL"
    )
    (row,) = ledger.select(query, (endpoint, model))
    return Usage(*map(int, row))


def costs(ledger: Ledger) -> list[PurposeCost]:
    """Return what was spent on each purpose, by model."""
    query = (
        "SELECT purpose, model, sum(status = 'done'), sum(status = 'failed'), sum(prompt_tokens), "
        f"sum(cached_tokens), sum(completion_tokens), total({REASONING.format(table='requests')})"
        ", total(cost_usd), sum(cost_usd IS NULL AND status = 'done') FROM requests "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [
        PurposeCost(purpose, model, done, failed, Usage(*map(int, tokens)), known_usd, unpriced)
        for purpose, model, done, failed, *tokens, known_usd, unpriced in ledger.select(query)
    ]


def failures(ledger: Ledger) -> list[FailureGroup]:
    """Return why requests failed, the most frequent reason first."""
    query = (
        "SELECT error, count(*), min(id) FROM requests WHERE status = 'failed' "
        "GROUP BY purpose, error ORDER BY 2 DESC"
    )
    return [
        FailureGroup("failed", reason or "no reason is known", number, 0, example)
        for reason, number, example in ledger.select(query)
    ]


def find(ledger: Ledger, id_start: str) -> FullRequest | None:
    """Return the request whose id begins in a given way; None if there is not exactly one."""
    query = (
        f"SELECT {COMPLETION}, result, status, finished_at, purpose, endpoint, kind, model, parts, "
        "parameters FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
    )
    rows = list(ledger.select(query, (id_start, id_start + "g")))  # after the last digit, f
    if len(rows) != 1:
        return None
    status, finished_at, purpose, endpoint, kind, model, named, parameters = rows[0][11:]
    (message,) = ledger.parts.read(named)
    parts, settings = message.parts, json.loads(parameters)
    request = Request(purpose, endpoint, kind, model, parts, settings)
    return FullRequest(request, _completion(rows[0][:11]), status, finished_at)


def _completion(row: Row) -> Completion:
    result = json.loads(unpack(row[-1]))
    return completion_of(row[:-1], str(result.get("text", "")) if result else "", result)
