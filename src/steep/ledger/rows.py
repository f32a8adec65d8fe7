"""Convert calls, requests and their outcomes to and from rows of the ledger's tables."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from steep.core.calls import Call, Completion, Message, Sampling, Usage, sampling_json
from steep.core.ids import canonical_json, stable_hash
from steep.ledger.records import (
    CORPUS_STAGE,
    IMPORT_ENDPOINT,
    IMPORTED_FROM,
    CallRecord,
    ImportedText,
    SubmittedBatch,
    status_of,
)

TEXT_LEVEL = 1  # of zlib: a third of the time of level 6, and a tenth more space
SHORT_PART = 400  # characters; shorter parts vary from call to call and stand in the call's row
MOST_REMEMBERED = 64

Row = tuple[Any, ...]

COMPLETION = (  # in the tables of calls and of requests alike
    "id, finish_reason, prompt_tokens, cached_tokens, completion_tokens, cost_usd, latency_s, "
    "endpoint, attempts, error"
)
CALL = "recipe, stage, document_id, subset, sample, model, sampling, messages"
REASONING = "(SELECT tokens FROM reasoning WHERE reasoning.id = {table}.id)"
RECORD = (
    f"{COMPLETION}, status, finished_at, text, recipe, stage, document_id, subset, sample, model, "
    + REASONING.format(table="calls")
)
_ENDED = f"{COMPLETION}, status, finished_at"
_WRITTEN = f"{_ENDED}, text, {CALL}, batch"
STATUS, BATCH = _WRITTEN.split(", ").index("status"), -1


def _upsert(table: str, columns: str, added: Sequence[str], replaced: str) -> str:
    """Return the statement that writes a row, or replaces one with a status in `replaced`.

    In the columns in `added`, what stood there before is added to what is written.
    """
    names = columns.split(", ")
    changes = [
        f"{name} = excluded.{name}" + f" + {table}.{name}" * (name in added) for name in names[1:]
    ]
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT (id) DO UPDATE SET {', '.join(changes)} WHERE {table}.status IN {replaced}"
    )


INSERT = _upsert("calls", _WRITTEN, ["attempts"], "('failed', 'submitted')")
INSERT_REQUEST = _upsert(
    "requests",
    f"{_ENDED}, result, held_tokens, held_usd, purpose, kind, model, parts, parameters",
    ["attempts", "held_tokens", "held_usd"],
    "('failed')",
)
_INGESTED = [f"{name} = ?" + " + attempts" * (name == "attempts") for name in _ENDED.split(", ")]
# Record the outcome of a call that waits in a batch; the id comes twice.
INGEST = (
    f"UPDATE calls SET {', '.join(_INGESTED)}, text = ?, batch = NULL "
    "WHERE id = ? AND status = 'submitted'"
)


def ended(completion: Completion, status: str, now: str, text: str) -> Row:
    """Return the columns of an outcome: `COMPLETION`, status, time and text."""
    usage = completion.usage
    return (
        *(completion.call_id, completion.finish_reason),
        *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, completion.cost_usd),
        *(completion.latency_s, completion.endpoint, completion.attempts, completion.error),
        *(status, now, pack(text)),
    )


def row_of(call: Call, completion: Completion, messages: str, now: str) -> Row:
    """Return the row of a call that has ended; `messages` is the result of `Parts.keep`."""
    assert call.id == completion.call_id, "a completion was paired with another's call"
    subset = f"[{','.join(map(canonical_json, call.subset))}]"
    return (
        *ended(completion, status_of(completion), now, completion.text),
        *(call.recipe, call.stage, call.document_id, subset, call.sample, call.model),
        *(sampling_json(call.sampling), messages, None),
    )


def waiting_row(call: Call, messages: str, batch: SubmittedBatch) -> Row:
    """Return the row of a call that waits in a batch."""
    nothing_yet = Completion(call.id, "", "", Usage(), None, 0.0, batch.endpoint, 0)
    row = list(row_of(call, nothing_yet, messages, batch.submitted_at))
    row[STATUS], row[BATCH] = "submitted", batch.token
    return tuple(row)


def ingested_row(completion: Completion) -> Row:
    """Return the values of `INGEST`."""
    status = status_of(completion)
    return (*ended(completion, status, now_utc(), completion.text), completion.call_id)


def imported_row(text: ImportedText, now: str) -> Row:
    """Return the row of a text that was generated elsewhere."""
    source = canonical_json({IMPORTED_FROM: text.source} if text.source else {})
    return (
        *ended(text.completion, status_of(text.completion), now, text.text),
        *(text.recipe, CORPUS_STAGE if text.passage_id else IMPORT_ENDPOINT, text.document_id),
        *(canonical_json(text.subset), text.sample, text.model, source, "[]", None),
    )


def completion_of(row: Row, text: str, result: Mapping[str, Any] | None = None) -> Completion:
    """Return the completion in the columns `COMPLETION`."""
    call_id, finish_reason, prompt, cached, answer, cost_usd, latency_s, endpoint, *rest = row
    usage, (attempts, error) = Usage(prompt, cached, answer), rest
    return Completion(
        call_id, text, finish_reason, usage, cost_usd, latency_s, endpoint, attempts, error, result
    )


def record_of(row: Row) -> CallRecord:
    """Read the columns `RECORD`."""
    status, finished_at, text, recipe, stage, document_id, subset, sample, *rest = row[10:]
    (model, reasoning), completion = rest, completion_of(row[:10], unpack(text))
    return CallRecord(
        call_id=row[0],
        recipe=recipe,
        stage=stage,
        document_id=document_id,
        subset=tuple(json.loads(subset)),
        sample=sample,
        model=model,
        status=status,
        completion=replace(
            completion, usage=replace(completion.usage, reasoning_tokens=reasoning or 0)
        ),
        finished_at=finished_at,
    )


class Parts:
    """The table `parts`, which holds long parts of messages once: many calls send one document.

    A call's row holds the hashes of its long parts and the text of the short ones.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._named: dict[str, str] = {}  # long parts that were written, and what names them

    def keep(self, messages: Sequence[Message]) -> str:
        """Write the long parts, in the caller's transaction; return JSON that names them all."""
        named = (f'["{each.role}",[{",".join(map(self._name, each.parts))}]]' for each in messages)
        return f"[{','.join(named)}]"

    def read(self, named: str) -> tuple[Message, ...]:
        """Return the messages that `keep` was given."""
        return tuple(
            Message(role, tuple(self._text(part) for part in parts))
            for role, parts in json.loads(named)
        )

    def call_of(self, row: Row) -> Call:
        """Read the columns `CALL`."""
        recipe, stage, document_id, subset, sample, model, sampling, named = row
        messages, settings = self.read(named), Sampling(**json.loads(sampling))
        subjects = tuple(json.loads(subset))
        return Call(recipe, stage, document_id, subjects, sample, model, messages, settings)

    def forget(self) -> None:
        """Forget which parts were written: a transaction has failed."""
        self._named.clear()

    def _name(self, text: str) -> str:
        if len(text) <= SHORT_PART:
            return f"[{canonical_json(text)}]"
        if text not in self._named:
            if len(self._named) >= MOST_REMEMBERED:
                self._named.clear()
            part, packed = stable_hash(text), pack(text)
            self._connection.execute("INSERT OR IGNORE INTO parts VALUES (?, ?)", (part, packed))
            self._named[text] = f'"{part}"'
        return self._named[text]

    def _text(self, part: Any) -> str:
        if isinstance(part, list):
            return str(part[0])
        ((text,),) = self._connection.execute("SELECT text FROM parts WHERE hash = ?", (part,))
        return unpack(text)


def now_utc() -> str:
    """Return the time stamp of a row; nothing is computed from it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def pack(text: str) -> bytes:
    """Compress a text."""
    return zlib.compress(text.encode(), TEXT_LEVEL)


def unpack(data: bytes) -> str:
    """Decompress a text."""
    return zlib.decompress(data).decode()
