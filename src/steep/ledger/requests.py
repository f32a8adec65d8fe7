"""The table `requests` of the ledger: requests of evaluations, judges and searches.

A request that has ended is never sent again; a failed one is, by the next run. `held_tokens` and
`held_usd` are what a request counts against limits: its usage, or, where the endpoint does not
report it, the most that it can have used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from steep.core.calls import Completion, Message, Usage
from steep.core.ids import canonical_json
from steep.ledger.budget import Reservation
from steep.ledger.ledger import Ledger
from steep.ledger.queries import FailureGroup
from steep.ledger.records import has_failed
from steep.ledger.rows import now_utc, pack, unpack
from steep.llm.requests import Kind, Request

_COLUMNS = (
    "id", "purpose", "endpoint", "kind", "model", "parts", "parameters", "status", "finish_reason",
    "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd", "held_tokens", "held_usd",
    "latency_s", "attempts", "error", "finished_at", "result",
)  # fmt: skip
_ADDED = ("attempts", "held_tokens", "held_usd")  # earlier attempts may have cost something, too
_INSERT = (
    f"INSERT INTO requests ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{each} = excluded.{each}" for each in _COLUMNS if each not in ("id", *_ADDED))
    + "".join(f", {each} = requests.{each} + excluded.{each}" for each in _ADDED)
    + " WHERE requests.status = 'failed'"
)
_COMPLETION = (
    "id, finish_reason, prompt_tokens, cached_tokens, completion_tokens, cost_usd, latency_s, "
    "endpoint, attempts, error, result"
)


class Ended(NamedTuple):
    """A request, how it ended, and what it counts against limits."""

    request: Request
    completion: Completion
    held: Reservation


@dataclass(frozen=True, slots=True)
class PurposeCost:
    """The usage of all requests for one purpose.

    Attributes:
        requests: Completed requests.
        failed: Failed requests.
        known_usd: Dollars, as far as they are known.
        unpriced: Completed requests whose cost is not known.
    """

    purpose: str
    model: str
    requests: int
    failed: int
    usage: Usage
    known_usd: float
    unpriced: int


class FullRequest(NamedTuple):
    """A request with its outcome."""

    request: Request
    completion: Completion
    status: str
    finished_at: str


def record(ledger: Ledger, ended: Sequence[Ended]) -> None:
    """Record how requests ended: all of them or (killed, disk full) none."""
    now = now_utc()
    with ledger.writing():
        for request, completion, held in ended:
            named = ledger.parts.keep([Message("user", request.parts)])
            usage = completion.usage
            ledger.connection.execute(
                _INSERT,
                (
                    *(request.id, request.purpose, request.endpoint, request.kind, request.model),
                    *(named, canonical_json(request.parameters)),
                    "failed" if has_failed(completion) else "done",
                    completion.finish_reason,
                    *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens),
                    *(completion.cost_usd, held.tokens, held.cost_usd or 0.0),
                    *(completion.latency_s, completion.attempts, completion.error, now),
                    pack(json.dumps(completion.result, ensure_ascii=False)),
                ),
            )


def completed(ledger: Ledger, ids: Iterable[str]) -> dict[str, Completion]:
    """Return the completions of the requests that have succeeded, by id."""
    rows = ledger.select_ids(f"status, {_COMPLETION}", ids, "requests")
    return {row[1]: _completion(row[1:]) for row in rows if row[0] == "done"}


def held(ledger: Ledger) -> Reservation:
    """Return what all requests count against limits."""
    query = "SELECT total(held_tokens), total(held_usd) FROM requests"
    ((tokens, cost_usd),) = ledger.select(query)
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
        "sum(cached_tokens), sum(completion_tokens), total(cost_usd), "
        "sum(cost_usd IS NULL AND status = 'done') FROM requests GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [
        PurposeCost(purpose, model, done, failed, Usage(*tokens), known_usd, unpriced)
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
        f"SELECT {_COMPLETION}, purpose, kind, model, parts, parameters, status, finished_at "
        "FROM requests WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
    )
    rows = list(ledger.select(query, (id_start, id_start + "g")))  # after the last digit, f
    return _full(ledger, rows[0]) if len(rows) == 1 else None


def _full(ledger: Ledger, row: Sequence[Any]) -> FullRequest:
    purpose, kind, model, named, parameters, status, finished_at = row[11:]
    (message,) = ledger.parts.read(named)
    wanted: Kind = kind
    parts, settings = message.parts, json.loads(parameters)
    request = Request(purpose, row[7], wanted, model, parts, settings)
    return FullRequest(request, _completion(row[:11]), status, finished_at)


def _completion(row: Sequence[Any]) -> Completion:
    call_id, finish_reason, prompt, cached, answer, cost_usd, latency_s, *rest = row
    endpoint, attempts, error, packed = rest
    result: Mapping[str, Any] | None = json.loads(unpack(packed))
    return Completion(
        call_id=call_id,
        text=str(result.get("text", "")) if result else "",
        finish_reason=finish_reason,
        usage=Usage(prompt, cached, answer),
        cost_usd=cost_usd,
        latency_s=latency_s,
        endpoint=endpoint,
        attempts=attempts,
        error=error,
        result=result,
    )
