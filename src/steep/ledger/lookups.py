"""What the ledger says of a document, an entity, a call or a failure, as `--json` prints it.

What is not known is None, never zero.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from steep.core.errors import UserError
from steep.ledger import queries, requests
from steep.ledger.ledger import Ledger
from steep.ledger.queries import Sums
from steep.ledger.records import IMPORT_ENDPOINT, CallRecord


def documents_of(ledger: Ledger, limit: int) -> dict[str, Any]:
    """What each document in the ledger cost, the most expensive first."""
    costs = queries.document_costs(ledger)
    return {
        "documents": [_cost(each) for each in costs[:limit]],
        "of": len(costs),
        "total": spending(queries.together(each.sums for each in costs)),
    }


def document_of(ledger: Ledger, document_id: str, limit: int) -> dict[str, Any]:
    """Return what one document cost, and its first calls.

    Raises:
        UserError: The ledger holds nothing on it.
    """
    cost = queries.document_cost(ledger, document_id)
    entries = cost.sums.calls + cost.imported
    if not entries:
        raise UserError(
            f"The ledger holds nothing on a document '{document_id}'.",
            where=ledger.path,
            hint="steep status --documents lists those that it knows",
        )
    records = queries.calls_of_document(ledger, document_id, limit)
    return {
        **_cost(cost),
        "calls": [_brief(each) for each in records],
        "of": entries,
    }


def entity_of(ledger: Ledger, entity: str, limit: int) -> dict[str, Any]:
    """The first texts about an entity, with the messages that asked for them.

    Raises:
        UserError: There is no text about it.
    """
    found = queries.about(ledger, entity, limit)
    if not found.total:
        near = queries.entities_like(ledger, entity)
        raise UserError(
            f"No text in the ledger is about '{entity}'.",
            where=ledger.path,
            expected=f"an entity, e.g. {', '.join(near)}" if near else "an entity of a document",
        )
    texts = [
        {**_brief(record), "messages": _messages(ledger, record), "text": record.text}
        for record in found.records
    ]
    return {"entity": entity, "texts": texts, "of": found.total}


def failed_of(ledger: Ledger, limit: int) -> dict[str, Any]:
    """Why calls gave no whole answer: failed, skipped, refused, cut off or without text."""
    groups = [*queries.failures(ledger), *requests.failures(ledger)]
    return {
        "reasons": [group._asdict() for group in groups[:limit]],
        "of": len(groups),
        "calls": sum(group.calls for group in groups),
    }


def call_of(ledger: Ledger, call_id: str) -> dict[str, Any]:
    """All about one call.

    Raises:
        UserError: The ledger does not know it, or more than one begins like that.
    """
    if (asked := requests.find(ledger, call_id)) is not None:
        return _request(asked)
    record, _, sampling, batch = queries.full_call(ledger, call_id)
    completion = record.completion
    return {
        **_brief(record),
        "recipe": record.recipe,
        "sample": record.sample,
        "model": record.model,
        "sampling": sampling,
        "finish_reason": completion.finish_reason,
        "usage": asdict(completion.usage),
        "latency_s": completion.latency_s,
        "endpoint": completion.endpoint,
        "attempts": completion.attempts,
        "batch": batch,
        "messages": _messages(ledger, record),
        "text": record.text,
    }


def spending(sums: Sums) -> dict[str, Any]:
    """Return the tokens and dollars of some calls."""
    return {
        "usage": asdict(sums.usage),
        "cost_usd": None if sums.unpriced else sums.known_usd,
        "known_usd": sums.known_usd,
        "unpriced": sums.unpriced,
    }


def batches(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the open batches, with the calls that wait in each."""
    waiting = queries.waiting_calls(ledger)
    return [{**asdict(batch), "waiting": waiting.get(batch.token, 0)} for batch in ledger.batches()]


def _request(asked: requests.FullRequest) -> dict[str, Any]:
    """All about a request of an evaluation, a judge or a search."""
    request, completion = asked.request, asked.completion
    return {
        "call_id": request.id,
        "purpose": request.purpose,
        "kind": request.kind,
        "model": request.model,
        "parameters": request.parameters,
        "status": asked.status,
        "finish_reason": completion.finish_reason,
        "usage": asdict(completion.usage),
        "cost_usd": completion.cost_usd,
        "latency_s": completion.latency_s,
        "endpoint": completion.endpoint,
        "attempts": completion.attempts,
        "error": completion.error,
        "recorded_at": asked.finished_at,
        "parts": list(request.parts),
        "result": completion.result,
    }


def _cost(cost: queries.DocumentCost) -> dict[str, Any]:
    return {
        "document_id": cost.document_id,
        "counts": dict(cost.sums.counts),
        "imported": cost.imported,
        **spending(cost.sums),
    }


def _brief(record: CallRecord) -> dict[str, Any]:
    completion = record.completion
    return {
        "call_id": record.call_id,
        "document_id": record.document_id,
        "stage": record.stage,
        "subset": record.subset,
        "status": record.status,
        "imported": completion.endpoint == IMPORT_ENDPOINT,
        "cost_usd": completion.cost_usd,
        "error": completion.error,
        "recorded_at": record.finished_at,
    }


def _messages(ledger: Ledger, record: CallRecord) -> list[dict[str, str]]:
    messages = ledger.messages_of(record.call_id) or ()
    return [{"role": each.role, "content": each.content} for each in messages]
