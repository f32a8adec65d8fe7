"""Convert calls, outcomes and imported texts to and from rows of the table `calls`."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from typing import Any

from steep.core.calls import Call, Completion, Message, Sampling, Usage, in_json, sampling_json
from steep.ledger.records import (
    IMPORT_ENDPOINT,
    CallRecord,
    ImportedText,
    SubmittedBatch,
    status_of,
)

TEXT_LEVEL = 1  # of zlib: a third of the time of level 6, and a tenth more space

RECORD = (
    "id, recipe, stage, document_id, subset, sample, model, status, finish_reason, prompt_tokens, "
    "cached_tokens, completion_tokens, cost_usd, latency_s, endpoint, attempts, error, "
    "finished_at, text"
)
WRITTEN = (*RECORD.split(", "), "sampling", "messages", "batch")
STATUS, BATCH = WRITTEN.index("status"), WRITTEN.index("batch")
INSERT = (
    f"INSERT INTO calls ({', '.join(WRITTEN)}) VALUES ({', '.join('?' * len(WRITTEN))}) "
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in WRITTEN if name not in ("id", "attempts"))
    + ", attempts = calls.attempts + excluded.attempts"  # those of earlier runs
    + " WHERE calls.status IN ('failed', 'submitted')"
)
# Record the outcome of a call that waits in a batch.
INGEST = (
    "UPDATE calls SET status = ?, prompt_tokens = ?, cached_tokens = ?, completion_tokens = ?, "
    "cost_usd = ?, finished_at = ?, text = ?, batch = NULL, finish_reason = ?, latency_s = ?, "
    "endpoint = ?, error = ?, attempts = attempts + ? WHERE id = ? AND status = 'submitted'"
)
# Turn a call that has ended into a failed one.
FAIL = (
    "UPDATE calls SET status = 'failed', finish_reason = ?, prompt_tokens = 0, cached_tokens = 0, "
    "completion_tokens = 0, cost_usd = NULL, error = ?, text = ? WHERE id = ?"
)
FILL_SLOT = (
    "INSERT OR IGNORE INTO slots SELECT ?, ?, id, status, prompt_tokens, cached_tokens, "
    "completion_tokens, cost_usd FROM calls WHERE id = ? AND status NOT IN ('failed', 'submitted')"
)
FILL_NEW_SLOT = "INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

Row = tuple[Any, ...]


def row_of(call: Call, completion: Completion, messages: str, now: str) -> Row:
    """Return the values of `WRITTEN`; `messages` is the result of `Parts.keep`."""
    assert call.id == completion.call_id, "a completion was paired with another's call"
    subset = f"[{','.join(quoted(name) for name in call.subset)}]"
    return _values(
        (call.recipe, call.stage, call.document_id, subset, call.sample, call.model),
        completion,
        now,
        (sampling_json(call.sampling), messages),
    )


def waiting_row(call: Call, messages: str, batch: SubmittedBatch) -> Row:
    """Return the row of a call that waits in a batch."""
    nothing_yet = Completion(call.id, "", "", Usage(), None, 0.0, batch.endpoint, 0)
    row = list(row_of(call, nothing_yet, messages, batch.submitted_at))
    row[STATUS], row[BATCH] = "submitted", batch.token
    return tuple(row)


def ingested_row(completion: Completion) -> Row:
    """Return the values of `INGEST`."""
    usage = completion.usage
    return (
        status_of(completion),
        *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, completion.cost_usd),
        *(now_utc(), pack(completion.text), completion.finish_reason, completion.latency_s),
        *(completion.endpoint, completion.error, completion.attempts, completion.call_id),
    )


def imported_row(text: ImportedText, now: str) -> Row:
    """Return the row of a text that was generated elsewhere."""
    what = (text.recipe, IMPORT_ENDPOINT, text.document_id, "[]", text.sample, text.model)
    return _values(what, text.completion, now, ("{}", "[]"))


def _values(
    what: tuple[str, str, str, str, int, str],
    completion: Completion,
    now: str,
    how: tuple[str, str],
) -> Row:
    usage = completion.usage
    return (
        *(completion.call_id, *what, status_of(completion), completion.finish_reason),
        *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens),
        *(completion.cost_usd, completion.latency_s, completion.endpoint),
        *(completion.attempts, completion.error, now, pack(completion.text)),
        *(*how, None),
    )


def record_of(row: Row) -> CallRecord:
    """Read the values of `RECORD`."""
    call_id, recipe, stage, document_id, subset, sample, model, status, *rest = row
    finish_reason, prompt, cached, completion_tokens, cost_usd, latency_s, *rest = rest
    endpoint, attempts, error, finished_at, text = rest
    completion = Completion(
        call_id=call_id,
        text=unpack(text),
        finish_reason=finish_reason,
        usage=Usage(prompt, cached, completion_tokens),
        cost_usd=cost_usd,
        latency_s=latency_s,
        endpoint=endpoint,
        attempts=attempts,
        error=error,
    )
    return CallRecord(
        call_id=call_id,
        recipe=recipe,
        stage=stage,
        document_id=document_id,
        subset=tuple(json.loads(subset)),
        sample=sample,
        model=model,
        status=status,
        completion=completion,
        finished_at=finished_at,
    )


CALL = "id, recipe, stage, document_id, subset, sample, model, sampling"


def call_of(row: Row, messages: tuple[Message, ...]) -> Call:
    """Read the values of `CALL`."""
    _, recipe, stage, document_id, subset, sample, model, sampling = row
    return Call(
        recipe=recipe,
        stage=stage,
        document_id=document_id,
        subset=tuple(json.loads(subset)),
        sample=sample,
        model=model,
        messages=messages,
        sampling=Sampling(**json.loads(sampling)),
    )


def quoted(text: str) -> str:
    """Return a text as a JSON string."""
    return f'"{in_json(text)}"'


def now_utc() -> str:
    """Return the time stamp of a row; nothing is computed from it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def pack(text: str) -> bytes:
    """Compress a text."""
    return zlib.compress(text.encode(), TEXT_LEVEL)


def unpack(data: bytes) -> str:
    """Decompress a text."""
    return zlib.decompress(data).decode()
