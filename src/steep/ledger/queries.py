"""Queries of the ledger: the cost of a document, texts about an entity, failures and reasons.

Everything here only reads, and works beside a running generation. Rows are counted by SQLite or
pass one at a time, so that a million calls take a second or two; texts are read only for the few
calls that are shown. Functions named `*_of` return plain data for JSON; what is not known is None,
never zero.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.core.words import words_of
from steep.ledger import requests
from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT, CallRecord, FailureGroup, LedgerStatus
from steep.ledger.rows import REASONING
from steep.llm.client import CONTEXT_REASON

CALL_ID_DIGITS = 32
NO_USAGE = Usage()
# Those that differ from call to call: not HTTP's status, nor the endpoint at the end.
_NUMBERS = re.compile(r"\b(?<!HTTP )\d[\d,.]*(?![^\[\]]*\]$)")
_UNANSWERED = "('failed', 'submitted')"  # as the partial index has it, or it is not used
_SUMS = (
    "count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), total(cost_usd), "
    f"sum(cost_usd IS NULL AND status NOT IN {_UNANSWERED} AND status != 'skipped'), "
    f"total({REASONING.format(table='calls')})"
)


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of a set of calls."""

    counts: Mapping[LedgerStatus, int] = field(default_factory=dict)
    usage: Usage = NO_USAGE
    known_usd: float = 0.0
    unpriced: int = 0  # answers whose cost is not known

    @property
    def calls(self) -> int:
        """The number of calls."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """Return the tokens and dollars."""
        return {
            "usage": asdict(self.usage),
            "cost_usd": None if self.unpriced else self.known_usd,
            "known_usd": self.known_usd,
            "unpriced": self.unpriced,
        }


@dataclass(frozen=True, slots=True)
class DocumentCost:
    """The calls about a document, and the number of its imported texts."""

    document_id: str
    sums: Sums
    imported: int

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        counts = {"counts": dict(self.sums.counts), "imported": self.imported}
        return {"document_id": self.document_id, **counts, **self.sums.as_json()}


def paid(ledger: Ledger) -> tuple[Sums, int]:
    """Return the sums of the whole ledger, and the number of imported texts."""
    query = f"SELECT status, endpoint = '{IMPORT_ENDPOINT}', {_SUMS} FROM calls GROUP BY 1, 2"
    rows = list(ledger.select(query))
    imported = sum(row[2] for row in rows if row[1])
    return _added_up([(row[0], *row[2:]) for row in rows if not row[1]]), imported


def documents_of(ledger: Ledger, limit: int) -> dict[str, Any]:
    """Return the cost of each document in the ledger, the most expensive first."""
    costs = document_costs(ledger)
    shown = [each.as_json() for each in costs[:limit]]
    return {"documents": shown, "of": len(costs), "total": paid(ledger)[0].as_json()}


def document_costs(ledger: Ledger) -> list[DocumentCost]:
    """Return the cost of every document in the ledger, the most expensive first."""
    # By the index it would jump from row to row: four times slower than once through the table.
    return sorted(_costs(ledger, "NOT INDEXED"), key=_cheapness)


def document_cost(ledger: Ledger, document_id: str) -> DocumentCost:
    """Return the cost of one document; zeros if the ledger has no calls about it."""
    found = _costs(ledger, "WHERE document_id = ?", document_id)
    return next(iter(found), DocumentCost(document_id, Sums(), 0))


def recipes_cost(ledger: Ledger, recipes: Sequence[str]) -> float | None:
    """Return the cost of all calls of some recipes; None if that of any text is unknown."""
    marks = ", ".join("?" * len(recipes))
    unknown = f"(cost_usd IS NULL OR endpoint = '{IMPORT_ENDPOINT}')"
    query = (
        f"SELECT total(cost_usd), sum({unknown} AND status NOT IN {_UNANSWERED} AND status != "
        f"'skipped') FROM calls WHERE recipe IN ({marks})"
    )
    ((known_usd, unpriced),) = ledger.select(query, tuple(recipes))
    return None if unpriced else float(known_usd)


def _costs(ledger: Ledger, chosen: str, *values: str) -> list[DocumentCost]:
    query = (
        f"SELECT document_id, endpoint = '{IMPORT_ENDPOINT}', status, {_SUMS} "
        f"FROM calls {chosen} GROUP BY 1, 2, 3"
    )
    rows: dict[str, list[Any]] = {}
    imported: Counter[str] = Counter()
    for document_id, is_imported, *row in ledger.select(query, values):
        own = rows.setdefault(document_id, [])
        if is_imported:
            imported[document_id] += row[1]
        else:
            own.append(row)
    return [DocumentCost(each, _added_up(rows[each]), imported[each]) for each in rows]


def document_of(
    ledger: Ledger, document_id: str, limit: int, *, may_be_empty: bool = False
) -> dict[str, Any]:
    """Return the cost of one document, and its first calls.

    Raises:
        UserError: The ledger holds nothing on it, unless `may_be_empty`.
    """
    cost = document_cost(ledger, document_id)
    entries = cost.sums.calls + cost.imported
    if not entries and not may_be_empty:
        raise UserError(
            f"The ledger holds nothing on a document '{document_id}'.",
            where=ledger.path,
            hint="steep status --documents lists those that it knows",
        )
    records = calls_of_document(ledger, document_id, limit)
    return {**cost.as_json(), "calls": [_brief(each) for each in records], "of": entries}


def calls_of_document(ledger: Ledger, document_id: str, limit: int) -> list[CallRecord]:
    """Return the first calls and imported texts about a document, in the order of the ledger."""
    query = "SELECT id FROM calls WHERE document_id = ? ORDER BY rowid LIMIT ?"
    return _records(ledger, [row[0] for row in ledger.select(query, (document_id, limit))])


def entity_of(ledger: Ledger, entity: str, limit: int) -> dict[str, Any]:
    """Return the first texts about an entity, with the messages that asked for them.

    Raises:
        UserError: There is no text about it.
    """
    records, total = about(ledger, entity, limit)
    if not total:
        near = entities_like(ledger, entity)
        raise UserError(
            f"No text in the ledger is about '{entity}'.",
            where=ledger.path,
            expected=f"an entity, e.g. {', '.join(near)}" if near else "an entity of a document",
        )
    texts = [
        {**_brief(record), "messages": _messages(ledger, record), "text": record.text}
        for record in records
    ]
    return {"entity": entity, "texts": texts, "of": total}


def about(ledger: Ledger, entity: str, limit: int) -> tuple[list[CallRecord], int]:
    """Return the first texts about an entity, ignoring case, and the number of all.

    The entities of imported texts are unknown.
    """
    wanted = _folded(entity)
    query = (
        f"SELECT id FROM calls WHERE status NOT IN {_UNANSWERED} "
        "AND status NOT IN ('skipped', 'empty', 'reasoning') AND names(subset)"
    )
    # The quick look spares most rows the reading of their JSON.
    literal = json.dumps(entity.split()[0] if entity.split() else "", ensure_ascii=False)[1:-1]
    first_word = literal.casefold()

    def names(subset: str) -> bool:
        if first_word not in subset.casefold():
            return False
        return any(_folded(name) == wanted for name in json.loads(subset))

    ledger.connection.create_function("names", 1, names, deterministic=True)
    first: list[str] = []
    total = 0
    for (call_id,) in ledger.select(query):
        total += 1
        if len(first) < limit:
            first.append(call_id)
    return _records(ledger, first), total


def entities_like(ledger: Ledger, entity: str, limit: int = 5) -> list[str]:
    """Return the most frequent entities that share a word with a name, as suggestions."""
    words = set(words_of(entity))
    known: Counter[str] = Counter()
    query = "SELECT subset, count(*) FROM calls WHERE subset != '[]' GROUP BY subset"
    for subset, calls in ledger.select(query):
        for name in json.loads(subset):
            known[name] += calls
    near = ((name, calls) for name, calls in known.items() if words & set(words_of(name)))
    return [name for name, _ in sorted(near, key=lambda each: (-each[1], each[0]))[:limit]]


def failed_of(ledger: Ledger, limit: int) -> dict[str, Any]:
    """Return why calls gave no whole answer: failed, skipped, refused, cut off or without text."""
    groups = [*failures(ledger), *requests.failures(ledger)]
    return {
        "reasons": [group._asdict() for group in groups[:limit]],
        "of": len(groups),
        "calls": sum(group.calls for group in groups),
    }


def failures(ledger: Ledger) -> list[FailureGroup]:
    """Return why calls have no complete answer, failures first, then by frequency."""
    calls: Counter[tuple[str, str]] = Counter()
    documents: dict[tuple[str, str], set[str]] = {}
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for status, error, document_id, call_id in _unanswered(ledger):
        reason = error or "no reason is known"
        group = (status, without_numbers(reason))
        calls[group] += 1
        documents.setdefault(group, set()).add(document_id)
        first.setdefault(group, (reason, call_id))
    return [
        FailureGroup(group[0], first[group][0], number, len(documents[group]), first[group][1])
        for group, number in sorted(
            calls.items(), key=lambda each: (each[0][0] not in ("failed", "skipped"), -each[1])
        )
    ]


def beyond_context(ledger: Ledger) -> frozenset[str]:
    """Return the ids of documents that exceed the context of the model, as its endpoint reports."""
    query = (
        f"SELECT DISTINCT document_id FROM calls WHERE status IN {_UNANSWERED} "
        "AND status = 'failed' AND finish_reason = ?"
    )
    return frozenset(row[0] for row in ledger.select(query, (CONTEXT_REASON,)))


def call_of(ledger: Ledger, id_start: str) -> dict[str, Any]:
    """Return everything about a call or request, by its id or the first digits of it.

    Raises:
        UserError: The ledger does not know it, or several ids begin like that.
    """
    if (asked := requests.find(ledger, id_start)) is not None:
        return _request(asked)
    query = "SELECT id, sampling, batch FROM calls WHERE id >= ? AND id < ? ORDER BY id LIMIT 4"
    rows = list(ledger.select(query, (id_start, id_start + "g")))  # after the last digit, f
    if len(rows) != 1:
        raise UserError(
            "Several calls have ids like this." if rows else "There is no call with this id.",
            where=ledger.path,
            expected=f"an id of {CALL_ID_DIGITS} digits, or enough of its first ones",
            found=", ".join(row[0] for row in rows) or id_start,
        )
    ((call_id, sampling, batch),) = rows
    (record,) = _records(ledger, [call_id])
    return {
        **_brief(record),
        "recipe": record.recipe,
        "sample": record.sample,
        "model": record.model,
        "sampling": json.loads(sampling),
        **_outcome(record.completion),
        "batch": batch,
        "messages": _messages(ledger, record),
        "text": record.text,
    }


class Uncounted(NamedTuple):
    """Similar calls whose tokens the endpoint did not count."""

    longest: Call  # the one with the longest prompt
    calls: int
    completion_tokens: int  # of their texts, as we counted them
    refused: bool  # without any text, so that they have written nothing


def uncounted(ledger: Ledger) -> Iterator[Uncounted]:
    """Yield the answers that came without a believable count, those of a document together."""
    query = (
        "SELECT id, count(*), sum(completion_tokens), "
        "status = 'refused' AND completion_tokens = 0 AS refused, max(length(messages)) FROM calls "
        f"WHERE prompt_tokens = 0 AND endpoint != '{IMPORT_ENDPOINT}' "
        f"AND status NOT IN {_UNANSWERED} AND status != 'skipped' "
        "GROUP BY document_id, stage, model, sampling, refused"
    )
    for call_id, calls, tokens, refused, _ in ledger.select(query):
        yield Uncounted(ledger.call(call_id), calls, tokens, bool(refused))


def batches(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the open batches, with the number of calls that wait in each."""
    query = (
        f"SELECT batch, count(*) FROM calls WHERE status IN {_UNANSWERED} "
        "AND status = 'submitted' GROUP BY batch"
    )
    waiting = dict(ledger.select(query))
    return [{**asdict(batch), "waiting": waiting.get(batch.token, 0)} for batch in ledger.batches()]


def _unanswered(ledger: Ledger) -> Iterator[tuple[str, str | None, str, str]]:
    columns = "status, error, document_id, id FROM calls"
    failed = f"SELECT {columns} WHERE status IN {_UNANSWERED} AND status = 'failed' ORDER BY rowid"
    yield from ledger.select(failed)
    yield from ledger.select(f"SELECT {columns} WHERE status = 'skipped'")
    ended = "status, 'finish reason: ' || finish_reason, document_id, id FROM calls"
    partly = "('refused', 'truncated', 'empty', 'reasoning')"
    yield from ledger.select(f"SELECT {ended} WHERE status IN {partly} ORDER BY rowid")


@lru_cache(maxsize=1024)
def without_numbers(reason: str) -> str:
    """Return a reason with each number replaced by 0, so that like ones are counted together."""
    return _NUMBERS.sub("0", reason)


def _added_up(rows: Sequence[Sequence[Any]]) -> Sums:
    """Sums of rows of a status and `_SUMS`."""
    return Sums(
        counts={row[0]: row[1] for row in rows},
        usage=Usage(*(int(sum(row[column] for row in rows)) for column in (2, 3, 4, 7))),
        known_usd=sum(row[5] for row in rows),
        unpriced=sum(row[6] for row in rows),
    )


def _cheapness(cost: DocumentCost) -> tuple[float, int, str]:
    usage = cost.sums.usage
    return -cost.sums.known_usd, -usage.prompt_tokens - usage.completion_tokens, cost.document_id


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _records(ledger: Ledger, call_ids: Sequence[str]) -> list[CallRecord]:
    found = ledger.get_many(call_ids)
    return [found[call_id] for call_id in call_ids]


def _request(asked: requests.FullRequest) -> dict[str, Any]:
    """Return everything about a request of an evaluation, a judge or a search."""
    request, completion = asked.request, asked.completion
    return {
        "call_id": request.id,
        "purpose": request.purpose,
        "kind": request.kind,
        "model": request.model,
        "parameters": request.parameters,
        "status": asked.status,
        **_outcome(completion),
        "cost_usd": completion.cost_usd,
        "error": completion.error,
        "recorded_at": asked.finished_at,
        "parts": list(request.parts),
        "result": completion.result,
    }


def _outcome(completion: Completion) -> dict[str, Any]:
    names = ("finish_reason", "usage", "latency_s", "endpoint", "attempts")
    return {name: asdict(completion)[name] for name in names}


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
