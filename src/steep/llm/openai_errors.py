"""Interpret the errors of OpenAI-compatible servers.

`TransientError`: retry. `RejectedRequest`: this call will never succeed. `EndpointUnusable`: no
call will succeed. `UnsupportedParameter`: another form of the request may succeed.
`ContentFiltered`: a filter refused the text.

The status of the response is only half of it. Gateways send errors with status 200, some providers
report an empty account or a wrong key as 400 and a prompt that is too long as 500; so codes and
words are read too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from steep.llm.client import TransientError
from steep.llm.dialect import Dialect, objects_to_format, weaken

OVERLOADED_STATUSES = frozenset({429, 503, 529})
RETRIED_STATUSES = frozenset({408, 409, 425, 429})  # and all 5xx
LONGEST_MESSAGE = 200
DEEPEST = 6  # levels of an error that are read


class Reply(NamedTuple):
    """An HTTP response, read to its end."""

    status: int
    retry_after: str | None
    body: str | bytes
    date: str | None = None  # the server's clock, if it reports it
    location: str | None = None  # where the server redirects to, if it does

    @property
    def text(self) -> str:
        """The body as text."""
        body = self.body
        return body if isinstance(body, str) else body.decode(errors="replace")


class RejectedRequest(Exception):
    """The server will never answer this call."""


class TooLong(RejectedRequest):
    """The prompt does not fit into the model's context."""


class ContentFiltered(Exception):
    """A filter of the provider refused the prompt or the answer."""


class EndpointUnusable(Exception):
    """The server will answer no call: `status` says whether it is key, model, money or address."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class UnsupportedParameter(Exception):
    """The server objects to the form of the request; `dialect` is the one to try next."""

    def __init__(self, reason: str, dialect: Dialect) -> None:
        super().__init__(reason)
        self.dialect = dialect


def read_error(reply: Reply, value: Any, dialect: Dialect) -> Exception:
    """Return the exception for a failed request in `dialect`.

    Args:
        reply: The reply; gateways send errors with status 200, too.
        value: The JSON of its error; None where it has none.
        dialect: The form of the request.
    """
    error, status = error_of(value), reply.status
    code = str(error.get("code") or error.get("type") or error.get("status") or "").lower()
    # The name of a refused parameter comes first.
    words = f"{error.get('param') or ''} {' '.join(_words(error))} {code}".lower().strip()
    if status == 200:
        status = _status_of(error, words)
    reason = _reason(reply, error, status, code)
    if 300 <= status < 400:
        return EndpointUnusable(reason, status)
    if status < 500 and status != 429 and _FILTER.search(words):
        return ContentFiltered(reason)
    if status in (400, 413, 422, 500) and _TOO_LONG.search(words):
        return TooLong(reason)
    if status == 402 or code in _NO_MONEY or _NO_CREDIT.search(words):
        return EndpointUnusable(reason, 402)
    if status in (400, 403) and _USED_UP.search(words):
        return EndpointUnusable(reason, 402)
    if status in (400, 403) and _WRONG_KEY.search(words):
        return EndpointUnusable(reason, 401)
    if status in (401, 403, 404):
        return EndpointUnusable(reason, status)
    if code == "json_validate_failed":  # Groq: what was sampled is no JSON
        return TransientError(reason)
    if status in (500, 501) and objects_to_format(words):
        return _objection(words, dialect, TransientError(reason))
    if status in RETRIED_STATUSES or status >= 500:
        wait_s = _wait_s(reply.retry_after, reply.date)
        return TransientError(reason, wait_s=wait_s, overloaded=status in OVERLOADED_STATUSES)
    return _objection(words, dialect, RejectedRequest(reason))


def error_of(value: Any) -> Mapping[str, Any]:
    """Find the error in a reply.

    Servers write `{"error": {...}}`, `{"error": "..."}`, the fields at the top level, or, as Gemini
    does, a list that holds one of these.
    """
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") or value if isinstance(value, Mapping) else {}
    return error if isinstance(error, Mapping) else {"message": str(error)}


def short(text: str) -> str:
    """Return a text in one line, cut to a readable length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."


def _reason(reply: Reply, error: Mapping[str, Any], status: int, code: str) -> str:
    """Return the reason for the user."""
    message, inside = _message(error), ""
    if reply.status == 200:
        inside = "200 with an error, "
    elif reply.location and 300 <= status < 400:
        message = f"it redirects to {reply.location.split('?')[0].rpartition('@')[2]}"
    else:
        message = message or reply.text
    return f"HTTP {inside}{status}: {short(message) or code or 'no explanation'}"


def _message(error: Mapping[str, Any]) -> str:
    said = error.get("message")
    if not isinstance(said, str) or not said:
        said = " ".join(_words({key: error.get(key) for key in ("message", "detail", "errors")}))
    metadata = error.get("metadata")  # where OpenRouter keeps what the provider said
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    return f"{said} ({raw})" if raw else said


def _objection(words: str, dialect: Dialect, otherwise: Exception) -> Exception:
    plainer = weaken(dialect, words)
    return otherwise if plainer is None else UnsupportedParameter(str(otherwise), plainer)


def _words(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield all texts of an error, without what it repeats of the request."""
    if depth > DEEPEST:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if value and all(isinstance(each, str | int) for each in value):  # the place of a field
            yield ".".join(map(str, value))
        else:
            for each in value:
                yield from _words(each, depth + 1)
    elif isinstance(value, Mapping):
        for key in _SAID:
            yield from _words(value.get(key), depth + 1)


def _status_of(error: Mapping[str, Any], words: str) -> int:
    """Return the status that an error inside a success should have had; 500 if unknown."""
    for key in ("code", "status", "status_code", "http_status"):
        value = str(error.get(key) or "")
        if value.isascii() and value.isdigit() and 400 <= int(value[:6]) < 600:
            return int(value)
    return next((status for pattern, status in _STATUS_WORDS if pattern.search(words)), 500)


def _wait_s(retry_after: str | None, date: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date, which is compared with the server's own clock.

    Our own clock may be wrong by a year, so it is not used; without the server's clock, and for
    unreadable values, our own back-off decides.
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


_NO_MONEY = frozenset({
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "arrearage",
    "insufficient_credits", "insufficient_balance", "credit_exhausted", "payment_required",
    "exceeded_current_quota_error", "insufficient_user_quota", "credits_exhausted",
})  # fmt: skip
_NO_CREDIT = re.compile(
    r"insufficient_quota|credit balance|insufficient[_ ](?:account )?(?:credits?|balance|funds)"
    r"|not enough (?:credits?|balance|funds)|out of (?:credits?|funds)|no (?:remaining )?credits?"
    r"|credits? (?:\w+ )?(?:exhausted|used up|depleted)|purchase (?:more )?credits"
    r"|payment required|billing hard limit|account (?:is )?overdue|arrearage|余额不足|欠费"
)
# With status 429 these may be limits of a minute.
_USED_UP = re.compile(
    r"usage limits?|spend(?:ing)? (?:limit|cap)|(?:monthly|billing) (?:limit|quota)"
    r"|exceeded your (?:\w+ )?quota|quota (?:\w+ )?(?:exceeded|exhausted)|insufficient[_ ]quota"
)
_WRONG_KEY = re.compile(r"api[_ ]key not valid|(?:invalid|incorrect|wrong)[_ ]api[_ -]?key")
_FILTER = re.compile(
    r"content[_ ]?filter|content[_ ]policy|content management policy|data_?inspection_?failed"
    r"|responsibleaipolicy|inappropriate content|moderation|flagged|safety (?:filter|system)"
    r"|prohibited_content"
)
_TOO_LONG = re.compile(
    r"context[_ ](?:length|size|window)|maximum context|(?:prompt|input) is too long"
    r"|too many (?:input |prompt )?tokens|max_model_len|(?:prompt|input) tokens? .{0,30}exceed"
    r"|exceeds? .{0,40}(?:token limit|number of tokens)|input token count"
)
_STATUS_WORDS = (
    (re.compile(r"rate[_ -]?limit|too[_ ]many[_ ]requests|resource_exhausted|throttl"), 429),
    (re.compile(r"overload|unavailable|no capacity"), 503),
    (re.compile(r"authentication|unauthori[sz]ed|(?:invalid|incorrect)[_ ]api[_ -]?key"), 401),
    (re.compile(r"invalid_request|unsupported|not supported|context_length|content_filter"), 400),
)
_SAID = (
    "param", "code", "type", "loc", "message", "msg", "detail", "details", "error", "errors",
    "reason", "status", "metadata", "raw", "innererror",
)  # fmt: skip

# The problem and the hint of errors that end a run; `section` is that of the configuration.
UNREACHABLE = (
    "The endpoint does not answer.",
    "start the server, or correct {section}.base_url; the same command continues",
)
BATCHES_UNREACHABLE = (
    "The batch API does not answer.",
    "run the same command again later; batches continue at the provider meanwhile",
)
_REDIRECTED = (
    "The endpoint sends requests elsewhere.",
    "set {section}.base_url to the address that it names, ending like https://host/v1",
)
_UNUSABLE = {
    401: (
        "The endpoint does not accept the key.",
        "put a valid key into an environment variable, and its name into {section}.api_key_env",
    ),
    402: (
        "The account has no quota or money left.",
        "top it up and run the same command again; it continues where it was",
    ),
    403: (
        "The endpoint forbids access.",
        "check that the key may use this model",
    ),
    404: (
        "The endpoint does not know this model, or there is no such address.",
        "correct {section}.model, or {section}.base_url (most end in /v1)",
    ),
}
_BATCHES_UNUSABLE = {
    403: (
        "The endpoint forbids the use of its batch API.",
        "check that the key may upload files, create batches and use this model in them",
    ),
    404: (
        "The endpoint has no batch API, or does not know this model or address.",
        "set generate.engine to openai, or correct generate.model or generate.base_url (most end "
        "in /v1)",
    ),
}


def advice_on(error: EndpointUnusable, *, batches: bool = False) -> tuple[str, str]:
    """Return the problem and the hint for the user; `batches` is the batch API of an endpoint."""
    table = _UNUSABLE | _BATCHES_UNUSABLE if batches else _UNUSABLE
    return table.get(error.status, _REDIRECTED)
