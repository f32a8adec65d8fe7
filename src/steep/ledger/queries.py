"""Queries of the ledger: the cost of a document, texts about an entity, failures and reasons.

    with Ledger(project.ledger_path, read_only=True) as ledger:
        for cost in queries.document_costs(ledger): ...

Everything here only reads, and works beside a running generation. Rows are counted by SQLite or
pass one at a time, so that a million calls are answered for in a second or two; texts are read only
for the few calls that are shown.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from steep.core.calls import Call, Message, Usage
from steep.core.errors import UserError
from steep.core.words import words_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import IMPORT_ENDPOINT, CallRecord, LedgerStatus
from steep.llm.client import CONTEXT_REASON

CALL_ID_DIGITS = 32
NO_USAGE = Usage()
# Those that differ from call to call: not HTTP's status, nor the endpoint at the end.
_NUMBERS = re.compile(r"\b(?<!HTTP )\d[\d,.]*(?![^\[\]]*\]$)")
_UNANSWERED = "('failed', 'submitted')"  # as the partial index has it, or it is not used
_SUMS = (
    "count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens), total(cost_usd), "
    f"sum(cost_usd IS NULL AND status NOT IN {_UNANSWERED} AND status != 'skipped')"
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


@dataclass(frozen=True, slots=True)
class DocumentCost:
    """The calls about a document, and the number of its imported texts."""

    document_id: str
    sums: Sums
    imported: int


class FailureGroup(NamedTuple):
    """Calls without a complete answer for the same reason, apart from numbers in it."""

    status: str
    reason: str  # as the first of them tells it
    calls: int
    documents: int  # that they are about
    example: str  # the id of the first of them


class FullCall(NamedTuple):
    """A call with its messages; `batch` is the provider batch in which it waits."""

    record: CallRecord
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]
    batch: str | None


class PaidTotals(NamedTuple):
    """The sums of the whole ledger, and the number of imported texts."""

    sums: Sums
    imported: int


def bought(ledger: Ledger) -> PaidTotals:
    """Return the sums of the whole ledger."""
    query = f"SELECT status, endpoint = '{IMPORT_ENDPOINT}', {_SUMS} FROM calls GROUP BY 1, 2"
    rows = list(ledger.select(query))
    imported = sum(row[2] for row in rows if row[1])
    return PaidTotals(_added_up([(row[0], *row[2:]) for row in rows if not row[1]]), imported)


def document_costs(ledger: Ledger) -> list[DocumentCost]:
    """Return the cost of every document in the ledger, the most expensive first."""
    # By the index it would jump from row to row: four times slower than once through the table.
    return sorted(_costs(ledger, "NOT INDEXED"), key=_cheapness)


def document_cost(ledger: Ledger, document_id: str) -> DocumentCost:
    """Return the cost of one document; zeros if the ledger has no calls about it."""
    found = _costs(ledger, "WHERE document_id = ?", document_id)
    return next(iter(found), DocumentCost(document_id, Sums(), 0))


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


def together(several: Iterable[Sums]) -> Sums:
    """Return the total of sums."""
    counts: Counter[LedgerStatus] = Counter()
    prompt = cached = completion = unpriced = 0
    known_usd = 0.0
    for sums in several:
        counts.update(sums.counts)
        prompt += sums.usage.prompt_tokens
        cached += sums.usage.cached_tokens
        completion += sums.usage.completion_tokens
        known_usd += sums.known_usd
        unpriced += sums.unpriced
    return Sums(counts, Usage(prompt, cached, completion), known_usd, unpriced)


def calls_of_document(ledger: Ledger, document_id: str, limit: int) -> list[CallRecord]:
    """Return the first calls and imported texts about a document, in the order of the ledger."""
    query = "SELECT id FROM calls WHERE document_id = ? ORDER BY rowid LIMIT ?"
    return _records(ledger, [row[0] for row in ledger.select(query, (document_id, limit))])


class EntityCalls(NamedTuple):
    """The first records found, and the total number."""

    records: list[CallRecord]
    total: int


def about(ledger: Ledger, entity: str, limit: int) -> EntityCalls:
    """Return texts about an entity, ignoring case; the entities of imported texts are unknown."""
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
    return EntityCalls(_records(ledger, first), total)


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


def failures(ledger: Ledger) -> list[FailureGroup]:
    """Return why calls have no complete answer, failures first, then by frequency."""
    calls: Counter[tuple[str, str]] = Counter()
    documents: dict[tuple[str, str], set[str]] = {}
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for status, error, document_id, call_id in _unanswered(ledger):
        reason = error or "no reason is known"
        group = (status, _without_numbers(reason))
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
    """Return the ids of documents that exceed the context of the model, as its endpoint says."""
    query = (
        f"SELECT DISTINCT document_id FROM calls WHERE status IN {_UNANSWERED} "
        "AND status = 'failed' AND finish_reason = ?"
    )
    return frozenset(row[0] for row in ledger.select(query, (CONTEXT_REASON,)))


def full_call(ledger: Ledger, call_id: str) -> FullCall:
    """Return a call by its id or the first digits of it.

    Raises:
        UserError: The ledger does not know it, or several ids begin like that.
    """
    query = "SELECT id, sampling, batch FROM calls WHERE id >= ? AND id < ? ORDER BY id LIMIT 4"
    rows = list(ledger.select(query, (call_id, call_id + "g")))  # after the last digit, f
    if len(rows) != 1:
        raise UserError(
            "Several calls have ids like this." if rows else "There is no call with this id.",
            where=ledger.path,
            expected=f"an id of {CALL_ID_DIGITS} digits, or enough of its first ones",
            found=", ".join(row[0] for row in rows) or call_id,
        )
    (found_id, sampling, batch) = rows[0]
    record = ledger.get(found_id)
    assert record is not None, "a call vanished while it was read"
    return FullCall(record, ledger.messages_of(found_id) or (), json.loads(sampling), batch)


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


def waiting_calls(ledger: Ledger) -> dict[str, int]:
    """Return the number of calls that wait in each provider batch, by the batch's token."""
    query = (
        f"SELECT batch, count(*) FROM calls WHERE status IN {_UNANSWERED} "
        "AND status = 'submitted' GROUP BY batch"
    )
    return dict(ledger.select(query))


def _unanswered(ledger: Ledger) -> Iterator[tuple[str, str | None, str, str]]:
    columns = "status, error, document_id, id FROM calls"
    failed = f"SELECT {columns} WHERE status IN {_UNANSWERED} AND status = 'failed' ORDER BY rowid"
    yield from ledger.select(failed)
    yield from ledger.select(f"SELECT {columns} WHERE status = 'skipped'")
    ended = "status, 'finish reason: ' || finish_reason, document_id, id FROM calls"
    partly = "('refused', 'truncated', 'empty', 'reasoning')"
    yield from ledger.select(f"SELECT {ended} WHERE status IN {partly} ORDER BY rowid")


@lru_cache(maxsize=1024)
def _without_numbers(reason: str) -> str:
    return _NUMBERS.sub("0", reason)


def _added_up(rows: Sequence[Sequence[Any]]) -> Sums:
    """Sums of rows of a status and `_SUMS`."""
    return Sums(
        counts={row[0]: row[1] for row in rows},
        usage=Usage(*(sum(row[column] for row in rows) for column in (2, 3, 4))),
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
