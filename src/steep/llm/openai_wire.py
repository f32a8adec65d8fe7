"""The OpenAI chat API as pure functions: a call becomes a request body, a reply becomes a verdict.

Servers that call themselves compatible differ in what they understand, so a request is phrased in a
`Dialect` that is weakened when the server objects: `response_format` goes from json_schema over
json_object to nothing (recipes check what they get anyway), and `max_tokens` is renamed for models
that insist on `max_completion_tokens`.

A reply is one of four: an `Answer`, or one of three exceptions that say who must act.
`TransientError`: try again; `Rejected`: this call will never succeed; `Hopeless`: no call will.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import pydantic_core

from steep.core.calls import Call, Sampling, Usage
from steep.llm.client import TransientError

NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
OVERLOADED_STATUSES = frozenset({429, 503, 529})
RETRIED_STATUSES = frozenset({408, 409, 425, 429})  # and all 5xx
LONGEST_MESSAGE = 200
REFUSAL_REASON = "refusal"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half an emoji, where a text was cut: no UTF-8


class Rejected(Exception):
    """The server will never answer this call."""


class TooLong(Rejected):
    """The prompt exceeds the context of the model."""


class Hopeless(Exception):
    """The server will answer no call: `status` says whether it is key, model, money or address."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests to a server must be phrased."""

    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    length_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


class Misunderstood(Exception):
    """The server objects to the phrasing; `dialect` is the one to try next."""

    def __init__(self, reason: str, dialect: Dialect) -> None:
        super().__init__(reason)
        self.dialect = dialect


class Answer(NamedTuple):
    """What a successful reply holds; `usage` is None when the server does not count."""

    text: str
    finish_reason: str
    usage: Usage | None


class Reply(NamedTuple):
    """An HTTP response, read to its end. `date` is the server's clock, if it tells it."""

    status: int
    retry_after: str | None
    body: str | bytes
    date: str | None = None


def request_body(call: Call, dialect: Dialect) -> dict[str, Any]:
    """Phrase a call. Its seed follows from its id: a repeated call asks for the same text."""
    return {
        **_parameters(call.model, call.stage, call.sampling, dialect),
        "seed": _seed(call),
        "messages": [{"role": m.role, "content": m.content} for m in call.messages],
    }


def request_bytes(call: Call, dialect: Dialect) -> bytes:
    """The body of `request_body` as JSON, put together from pieces that many calls share."""
    messages = ",".join(f'{{"role":"{m.role}","content":"{m.in_json}"}}' for m in call.messages)
    frame = _frame(call.model, call.stage, call.sampling, dialect)
    return f'{frame},"seed":{_seed(call)},"messages":[{messages}]}}'.encode()


@lru_cache(maxsize=64)
def _frame(model: str, stage: str, sampling: Sampling, dialect: Dialect) -> str:
    """The parameters as JSON, without the last bracket."""
    parameters = _parameters(model, stage, sampling, dialect)
    return json.dumps(parameters, ensure_ascii=False, separators=(",", ":"))[:-1]


def _parameters(model: str, stage: str, sampling: Sampling, dialect: Dialect) -> dict[str, Any]:
    """All of a body that does not depend on the messages."""
    body: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        dialect.length_key: sampling.max_tokens,
    }
    if sampling.frequency_penalty:
        body["frequency_penalty"] = sampling.frequency_penalty
    if sampling.json_schema is not None:
        if dialect.response_format == "json_schema":
            schema = json.loads(sampling.json_schema)
            wanted = {"name": stage, "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif dialect.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
    return body


def _seed(call: Call) -> int:
    return int(call.id[:8], 16) >> 1  # 31 bits: some servers keep a signed 32-bit integer


def read_reply(reply: Reply, dialect: Dialect) -> Answer:
    """Return the answer in a reply to a request phrased in `dialect`.

    Raises:
        TransientError, Rejected, Hopeless, Misunderstood: There is none.
    """
    value = _parse_json(reply.body)
    if reply.status == 200:
        return _answer(value)
    error = _error_of(value)
    _raise_if_not_the_request(reply, error)
    if _code(error) == "content_filter":  # how Azure says that it refuses a prompt
        return Answer("", "content_filter", None)
    raise _objection(reply, error, dialect)


def read_json(reply: Reply, dialect: Dialect) -> Any:
    """Return the JSON object of a successful reply, whatever was asked.

    Raises:
        TransientError, Rejected, Hopeless, Misunderstood: There is none.
    """
    value = _parse_json(reply.body)
    if reply.status != 200:
        error = _error_of(value)
        _raise_if_not_the_request(reply, error)
        raise _objection(reply, error, dialect)
    if not isinstance(value, Mapping):
        raise TransientError("malformed reply: no JSON object")
    return value


def _raise_if_not_the_request(reply: Reply, error: Mapping[str, Any]) -> None:
    """Raise for an error that key, model, money, address or time are to blame for."""
    reason = _reason(reply, error)
    if reply.status in (401, 402, 403, 404) or 300 <= reply.status < 400:
        raise Hopeless(reason, reply.status)
    if _code(error) in NO_MONEY:
        raise Hopeless(reason, 402)
    if reply.status in RETRIED_STATUSES or reply.status >= 500:
        wait_s = _wait_s(reply.retry_after, reply.date)
        raise TransientError(reason, wait_s=wait_s, overloaded=reply.status in OVERLOADED_STATUSES)


def _objection(
    reply: Reply, error: Mapping[str, Any], dialect: Dialect
) -> Misunderstood | Rejected:
    """What the server has against the request: its phrasing, or all of it."""
    reason = _reason(reply, error)
    said = f"{_code(error)} {_message(reply, error)} {error.get('param')}".lower()
    if _code(error) == "context_length_exceeded":
        return TooLong(reason)
    weaker = _weaken(dialect, said)
    return Rejected(reason) if weaker is None else Misunderstood(reason, weaker)


def _code(error: Mapping[str, Any]) -> str:
    return str(error.get("code") or error.get("type") or "")


def _message(reply: Reply, error: Mapping[str, Any]) -> str:
    return _short(str(error.get("message") or _as_text(reply.body)))


def _reason(reply: Reply, error: Mapping[str, Any]) -> str:
    explanation = _message(reply, error) or _code(error) or "no explanation"
    return f"HTTP {reply.status}: {explanation}"


def _parse_json(body: str | bytes) -> Any:
    try:
        return pydantic_core.from_json(body)  # a third of the time of the standard library
    except ValueError:
        pass
    try:
        return json.loads(_as_text(body))  # it also takes half an emoji, which is no Unicode
    except ValueError:
        return None


def _as_text(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode(errors="replace")


def _answer(value: Any) -> Answer:
    try:
        choice = value["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        found = _error_of(value).get("message") or "not a chat completion"
        raise TransientError(f"malformed reply: {_short(str(found))}", billed=True) from None
    if not text and isinstance(refusal, str) and refusal:
        return Answer(refusal, REFUSAL_REASON, _usage(value.get("usage")))
    if text is not None and not isinstance(text, str):
        kind = type(text).__name__
        raise TransientError(f"malformed reply: content is a {kind}", billed=True)
    return Answer(
        _unicode(text or ""),
        str(choice.get("finish_reason") or "unknown"),
        _usage(value.get("usage")),
    )


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    return Usage(
        _count(value.get("prompt_tokens")), _count(cached), _count(value.get("completion_tokens"))
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _error_of(value: Any) -> Mapping[str, Any]:
    """Servers write `{"error": {...}}`, `{"error": "..."}`, or the fields at the top level."""
    error = value.get("error", value) if isinstance(value, Mapping) else {}
    if isinstance(error, Mapping):
        return error
    return {"message": str(error)}


def _wait_s(retry_after: str | None, date: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date, which is compared with the server's own clock.

    Our own clock may be wrong by a year, so it is never asked; without the server's, and for what
    cannot be read, our own back-off decides.
    """
    if retry_after is None:
        return None
    try:
        wait_s = float(retry_after)
        return max(0.0, wait_s) if math.isfinite(wait_s) else None
    except ValueError:
        pass
    try:
        until, now = parsedate_to_datetime(retry_after), parsedate_to_datetime(date or "")
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _weaken(dialect: Dialect, objection: str) -> Dialect | None:
    if "max_completion_tokens" in objection and dialect.length_key == "max_tokens":
        return replace(dialect, length_key="max_completion_tokens")
    formats = ("response_format", "json_schema", "json_object", "guided")
    if any(word in objection for word in formats):
        if dialect.response_format == "json_schema":
            return replace(dialect, response_format="json_object")
        if dialect.response_format == "json_object":
            return replace(dialect, response_format="none")
    return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."
