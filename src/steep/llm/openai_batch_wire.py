"""OpenAI's file-based batch API as pure functions: what is uploaded, and how to read what returns.

A batch is a file with one request a line, each under a name of ours (`custom_id`, the call's id).
The answers come in two files, one for the requests that were answered and one for those that were
not, in any order; a request that was never begun (batch expired or cancelled) may be in neither.
What each line holds is what the chat API would have replied, so `openai_wire` reads it.

How the requests were phrased is kept in the batch's metadata at the provider, beside our token:
another process may read the answers, and must know what the server objected to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from steep.core.calls import Call
from steep.llm.client import TransientError
from steep.llm.dialect import TEMPLATE_KEY, Dialect
from steep.llm.openai_errors import EndpointUnusable, RejectedRequest, Reply, UnsupportedParameter
from steep.llm.openai_wire import ParsedAnswer, parse_json, read_reply, request_bytes

MOST_REQUESTS = 50_000  # of one batch; OpenAI's documented limit
MOST_BYTES = 200_000_000  # of one batch's file; likewise
SHOWN_REASONS = 3
CHAT = "/v1/chat/completions"
WINDOW = "24h"  # the only one there is
TOKEN_KEY, DIALECT_KEY = "steep", "dialect"
_DIALECT = TypeAdapter(Dialect)
ENDED = frozenset({"completed", "expired", "cancelled"})
_NEVER_BEGUN = {
    "batch_expired": "the batch expired before this call was processed",
    "batch_cancelled": "the batch was cancelled before this call was processed",
}


class QueueFull(Exception):
    """The provider's queue for this account is full; try again later."""


class BatchRefused(Exception):
    """The provider refuses this batch for good."""


class BatchUnknown(Exception):
    """The provider does not know this batch."""


class FileGone(Exception):
    """The provider no longer keeps this file."""


class Objection(NamedTuple):
    """Why a whole batch was refused; `line` is of its file, from 1."""

    code: str
    message: str
    line: int | None

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.message or 'no explanation'}" + (f" ({self.code})" * bool(self.code))


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as the provider describes it.

    `status` is validating, failed, in_progress, finalizing, completed, expired, cancelling or
    cancelled.
    """

    id: str
    status: str
    answered: int  # calls, so far
    token: str | None  # our name for it, from its metadata
    dialect: Dialect  # the form of its requests
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    objections: tuple[Objection, ...] = ()  # why it failed

    @property
    def no_room(self) -> bool:
        """Whether it was refused only because the provider's queue was full."""
        said = (f"{each.code} {each.message}" for each in self.objections)
        return self.refused and any(map(speaks_of_full_queue, said))

    @property
    def refused(self) -> bool:
        """Whether the provider refused it as a whole; nothing was answered or charged."""
        return self.status == "failed" and self.output_file_id is None

    @property
    def reasons(self) -> str:
        """The reasons of the refusal, in one line."""
        shown = [str(each) for each in self.objections[:SHOWN_REASONS]]
        more = len(self.objections) - len(shown)
        return "; ".join(shown or ["no reason given"]) + (f"; {more} more" if more else "")


class Item(NamedTuple):
    """The result of one call of a batch: an answer, or the reason why there is none.

    `error` is one of `RejectedRequest`, `TransientError`, `UnsupportedParameter` and
    `EndpointUnusable`.
    """

    call_id: str
    answer: ParsedAnswer | None
    error: Exception | None


def speaks_of_full_queue(text: str) -> bool:
    """Return whether an objection says that too many tokens are queued already."""
    lowered = text.lower()
    return "token_limit_exceeded" in lowered or "enqueued token" in lowered


def parse_reply(reply: Reply) -> Any:
    """Return the JSON of a successful reply to a request about files or batches.

    Raises:
        TransientError, RejectedRequest, EndpointUnusable: The request failed.
    """
    if 200 <= reply.status < 300:
        value = parse_json(reply.body)
        if value is None:
            raise TransientError("malformed reply: no JSON")
        return value
    try:
        read_reply(reply, Dialect())
    except UnsupportedParameter as error:  # of what is in a chat request, which this was not
        raise RejectedRequest(str(error)) from None
    raise RejectedRequest(f"HTTP {reply.status}")


def request_line(call: Call, dialect: Dialect) -> bytes:
    """Return the line of a batch's file for a call.

    Providers of batches refuse options of the chat template, and say so only hours later.
    """
    if call.sampling.reasoning_effort == "none":
        dialect = replace(dialect, without=dialect.without | {TEMPLATE_KEY})
    head = f'{{"custom_id":"{call.id}","method":"POST","url":"{CHAT}","body":'
    return b"%b%b}\n" % (head.encode(), request_bytes(call, dialect))


def batch_request(input_file_id: str, token: str, dialect: Dialect) -> dict[str, Any]:
    """Return the request that creates a batch from an uploaded file."""
    return {
        "input_file_id": input_file_id,
        "endpoint": CHAT,
        "completion_window": WINDOW,
        "metadata": {TOKEN_KEY: token, DIALECT_KEY: _DIALECT.dump_json(dialect).decode()},
    }


def read_batch(value: Any) -> RemoteBatch:
    """Read a batch object.

    Raises:
        TransientError: It is not one.
    """
    if not isinstance(value, Mapping) or not value.get("id") or not value.get("status"):
        raise TransientError("malformed reply: not a batch")
    counts, errors = value.get("request_counts"), value.get("errors")
    listed = errors.get("data") if isinstance(errors, Mapping) else errors
    metadata = value.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    return RemoteBatch(
        id=str(value["id"]),
        status=str(value["status"]).lower(),
        answered=int(counts.get("completed") or 0) if isinstance(counts, Mapping) else 0,
        token=known.get(TOKEN_KEY),
        dialect=_dialect(known),
        input_file_id=value.get("input_file_id"),
        output_file_id=value.get("output_file_id") or None,
        error_file_id=value.get("error_file_id") or None,
        objections=tuple(map(_objection, listed if isinstance(listed, list) else ())),
    )


def read_item(line: bytes, dialect: Dialect) -> Item | None:
    """Read a line of an answer file; return None if it names no call."""
    value = parse_json(line)
    if not isinstance(value, dict) or not isinstance(value.get("custom_id"), str):
        return None
    try:
        return Item(value["custom_id"], _answer(value, dialect), None)
    except (RejectedRequest, TransientError, UnsupportedParameter, EndpointUnusable) as error:
        return Item(value["custom_id"], None, error)


def _answer(value: Mapping[str, Any], dialect: Dialect) -> ParsedAnswer:
    response, error = value.get("response"), value.get("error")
    status = response.get("status_code") if isinstance(response, Mapping) else None
    if not isinstance(response, Mapping) or not isinstance(status, int) or status < 200:
        # Status 0 has been seen in batches that were said to be all completed.
        raise TransientError(_reason(error))
    return read_reply(Reply(status, None, json.dumps(response.get("body"))), dialect)


def _reason(error: Any) -> str:
    """Return why a call of a batch has no response at all."""
    if not isinstance(error, Mapping):
        return "the batch holds no response to this call"
    code = str(error.get("code") or "")
    return _NEVER_BEGUN.get(code) or f"no response: {error.get('message') or code}"


def _dialect(metadata: Mapping[str, Any]) -> Dialect:
    """Return the dialect of a batch; the default if its metadata is not ours."""
    try:
        return _DIALECT.validate_json(str(metadata.get(DIALECT_KEY)))
    except ValidationError:
        return Dialect()


def _objection(value: Any) -> Objection:
    if not isinstance(value, Mapping):
        return Objection("", str(value), None)
    line, code, message = (value.get(name) for name in ("line", "code", "message"))
    return Objection(str(code or ""), str(message or ""), line if isinstance(line, int) else None)
