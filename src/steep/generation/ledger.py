"""The ledger: every call that was ever made in a project, what came back, and what it cost.

    with Ledger(project.ledger_path) as ledger:
        ledger.record([(call, completion), ...])

Calls are found by their content (`Call.id`), so a text is never bought twice. Message parts are
kept once each: ten thousand calls about a document store its text one time. A call that failed may
be recorded again by a later attempt; any other is final.

Measured on one busy core: 1.2 kB a text of 2,200 characters, 1,000 calls a second recorded one by
one and 2,600 in batches of 64.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from steep.core.calls import STATUSES, Call, Completion, Message, Status, Usage
from steep.core.ids import canonical_json, stable_hash
from steep.generation.records import (
    IMPORT_ENDPOINT,
    ImportedText,
    Record,
    Spending,
    status_of,
)
from steep.generation.store import connect, sqlite_errors, transaction, writer_lock

IDS_A_QUERY = 500  # SQLite may be built with a limit of 999 parameters

_RECORD = (
    "id, recipe, stage, document_id, subset, sample, model, status, finish_reason, prompt_tokens, "
    "cached_tokens, completion_tokens, cost_usd, latency_s, endpoint, attempts, error, "
    "finished_at, text"
)
_WRITTEN = (*_RECORD.split(", "), "sampling", "messages")
_INSERT = (
    f"INSERT INTO calls ({', '.join(_WRITTEN)}) VALUES ({', '.join('?' * len(_WRITTEN))}) "
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _WRITTEN if name != "id")
    + " WHERE calls.status = 'failed'"
)


class Ledger:
    """The calls of a project, open for one writer, or with `read_only` beside one.

    Raises:
        UserError: Another process writes it; the file is no ledger or cannot be read or written;
            there is none yet to read.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        with ExitStack() as stack:
            if not read_only:
                stack.enter_context(writer_lock(path))
            with sqlite_errors(path):
                self._connection = connect(path, write=not read_only)
            stack.callback(self._connection.close)
            self._resources = stack.pop_all()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the next writer in."""
        self._resources.close()

    def record(self, pairs: Sequence[tuple[Call, Completion]]) -> None:
        """Write how calls ended, all of them or (killed, disk full) none."""
        with sqlite_errors(self.path), transaction(self._connection):
            for call, completion in pairs:
                assert call.id == completion.call_id, "a completion was paired with another's call"
                messages = [
                    [message.role, [self._keep_part(part) for part in message.parts]]
                    for message in call.messages
                ]
                self._insert(
                    (call.recipe, call.stage, call.document_id, list(call.subset), call.sample),
                    (call.model, asdict(call.sampling), messages),
                    completion,
                )

    def record_imported(self, texts: Sequence[ImportedText]) -> int:
        """Write texts that somebody else generated; return how many were not there before."""
        with sqlite_errors(self.path), transaction(self._connection):
            return sum(
                self._insert(
                    (text.recipe, IMPORT_ENDPOINT, text.document_id, [], text.sample),
                    (text.model, {}, []),
                    text.completion,
                )
                for text in texts
            )

    def get(self, call_id: str) -> Record | None:
        """Return what is known of a call."""
        return self.get_many([call_id]).get(call_id)

    def get_many(self, call_ids: Iterable[str]) -> dict[str, Record]:
        """Return what is known of calls, by id; unknown ones are left out."""
        rows = self._select_ids(_RECORD, call_ids)
        return {row[0]: _record(row) for row in rows}

    def statuses(self, call_ids: Iterable[str]) -> dict[str, Status]:
        """Return how calls ended, by id, without reading their texts."""
        return dict(self._select_ids("id, status", call_ids))

    def messages_of(self, call_id: str) -> tuple[Message, ...] | None:
        """Return the messages of a call as they were sent; an imported text has none."""
        found = list(self._select_ids("messages", [call_id]))
        if not found:
            return None
        return tuple(
            Message(role, tuple(self._part(part) for part in parts))
            for role, parts in json.loads(found[0][0])
        )

    def imported(self) -> Iterator[Record]:
        """All imported texts, in an order that does not depend on when they came."""
        query = f"SELECT {_RECORD} FROM calls WHERE endpoint = '{IMPORT_ENDPOINT}' "
        rows = self._select(query + "ORDER BY recipe, document_id, model, sample, id")
        return (_record(row) for row in rows)

    def totals(self) -> Mapping[Status, int]:
        """Count all calls by how they ended, imported texts among them."""
        counts = dict(self._select("SELECT status, count(*) FROM calls GROUP BY status"))
        return {status: counts.get(status, 0) for status in STATUSES}

    def usage(self) -> Spending:
        """Sum tokens and cost of all calls; of failed calls the cost is not known to anybody."""
        query = (
            "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0), "
            "coalesce(sum(completion_tokens), 0), coalesce(sum(cost_usd), 0.0), "
            "coalesce(sum(cost_usd IS NULL AND status != 'failed'), 0) FROM calls"
        )
        prompt, cached, completion, cost_usd, unknown = next(self._select(query))
        return Spending(Usage(prompt, cached, completion), None if unknown else cost_usd)

    def _insert(
        self,
        what: tuple[str, str, str, list[str], int],
        how: tuple[str, Any, Any],
        completion: Completion,
    ) -> int:
        """Write one row unless a final one is there; return the number of rows written."""
        recipe, stage, document_id, subset, sample = what
        model, sampling, messages = how
        usage = completion.usage
        values = (
            *(completion.call_id, recipe, stage, document_id, canonical_json(subset), sample),
            *(model, status_of(completion), completion.finish_reason),
            *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens),
            *(completion.cost_usd, completion.latency_s, completion.endpoint),
            *(completion.attempts, completion.error, datetime.now(UTC).isoformat("T", "seconds")),
            *(_pack(completion.text), canonical_json(sampling), canonical_json(messages)),
        )
        return self._connection.execute(_INSERT, values).rowcount

    def _keep_part(self, text: str) -> str:
        part = stable_hash(text)
        if not self._connection.execute("SELECT 1 FROM parts WHERE hash = ?", (part,)).fetchone():
            self._connection.execute("INSERT INTO parts VALUES (?, ?)", (part, _pack(text)))
        return part

    def _part(self, part: str) -> str:
        ((text,),) = self._connection.execute("SELECT text FROM parts WHERE hash = ?", (part,))
        return _unpack(text)

    def _select_ids(self, columns: str, call_ids: Iterable[str]) -> Iterator[Any]:
        remaining = iter(call_ids)
        while some := list(itertools.islice(remaining, IDS_A_QUERY)):
            marks = ", ".join("?" * len(some))
            yield from self._select(f"SELECT {columns} FROM calls WHERE id IN ({marks})", some)

    def _select(self, query: str, values: Sequence[str] = ()) -> Iterator[Any]:
        with sqlite_errors(self.path):
            yield from self._connection.execute(query, values)


def _record(row: sqlite3.Row) -> Record:
    call_id, recipe, stage, document_id, subset, sample, model, status, *rest = row
    finish_reason, prompt, cached, completion_tokens, cost_usd, latency_s, *rest = rest
    endpoint, attempts, error, finished_at, text = rest
    completion = Completion(
        call_id=call_id,
        text=_unpack(text),
        finish_reason=finish_reason,
        usage=Usage(prompt, cached, completion_tokens),
        cost_usd=cost_usd,
        latency_s=latency_s,
        endpoint=endpoint,
        attempts=attempts,
        error=error,
    )
    return Record(
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


def _pack(text: str) -> bytes:
    return zlib.compress(text.encode())


def _unpack(data: bytes) -> str:
    return zlib.decompress(data).decode()
