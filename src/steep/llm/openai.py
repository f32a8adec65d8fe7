"""A client of any OpenAI-compatible endpoint: hosted, vLLM, SGLang, llama.cpp, Ollama.

It talks HTTP with aiohttp and not through the `openai` package: one request a call needs none of
its 2 s of imports nor of its ten times higher cost a call, and error texts are ours to decide. Each
call is one attempt; what can pass is a `TransientError` (408, 409, 425, 429, 5xx, timeouts, broken
connections, broken bodies), what concerns all calls is a `FatalError`, at once.

The key is read from the environment, sent to the endpoint, and removed from every error text.
Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.llm.client import CONTEXT_REASON, FatalError, TransientError
from steep.llm.openai_wire import (
    Answer,
    Dialect,
    Hopeless,
    Misunderstood,
    Rejected,
    Reply,
    TooLong,
    read_json,
    read_reply,
    request_bytes,
)
from steep.llm.prices import Prices

CONNECT_TIMEOUT_S = 20.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OpenAIClient:
    """Completes one call a request; the scheduler keeps `concurrency` of them in flight.

    Args:
        base_url: Of the endpoint, up to and without `/chat/completions`.
        api_key_env: Name of the environment variable that holds the key; None sends none.
        concurrency: Calls in flight at once at most, and connections kept open.
        timeout_s: Of one attempt.
        prices: Prices of the model, if known.
        section: Of the configuration, for errors: where these fields stand.

    Raises:
        UserError: `base_url` is no such address, or the environment variable is not set.
    """

    batch_size = 1

    def __init__(
        self,
        base_url: str,
        *,
        api_key_env: str | None = None,
        concurrency: int = 16,
        timeout_s: float = 300.0,
        prices: Prices | None = None,
        section: str = "generate",
    ) -> None:
        self.endpoint = checked_url(base_url, section)
        self._url = URL(f"{self.endpoint}/chat/completions")
        self.concurrency = concurrency
        self._api_key_env = api_key_env
        self._key = read_key(api_key_env, self.endpoint, section)
        self._section = section
        self._timeout_s = timeout_s
        self._prices = prices or Prices()
        self._dialect = Dialect()
        self._session: aiohttp.ClientSession | None = None
        self._has_replied = False  # the endpoint has sent anything at all
        self._has_answered = False  # it has completed a call
        self._fatal: FatalError | None = None

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete one call, with one attempt.

        Raises:
            TransientError: Another attempt may succeed.
            FatalError: The endpoint will complete no call at all.
        """
        (call,) = calls
        started = time.monotonic()
        try:
            answer = await self._attempt(call)
        except Rejected as error:
            reason = CONTEXT_REASON if isinstance(error, TooLong) else "error"
            return [self._completion(call, started, error=str(error), error_reason=reason)]
        except TransientError as error:
            error.args = (self._without_key(str(error)),)
            raise
        self._has_answered = True
        return [self._completion(call, started, answer)]

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send any other request (`completions`, `embeddings`), with one attempt; the JSON it gets.

        Raises:
            TransientError, FatalError: As `complete` does.
            Rejected: This request will never succeed.
            Misunderstood: The server knows other parameters.
        """
        if self._fatal is not None:
            raise self._fatal
        model, data = str(body.get("model")), json.dumps(body, ensure_ascii=False).encode()
        try:
            reply = await self._send(URL(f"{self.endpoint}/{path}"), data, model)
            value = read_json(reply, self._dialect)
        except Hopeless as error:
            raise self._give_up(model, HOPELESS.get(error.status, _ODD), error) from None
        except TransientError as error:
            error.args = (self._without_key(str(error)),)
            raise
        self._has_answered = True
        return value

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _attempt(self, call: Call) -> Answer:
        """Send the call, in words that the server understands."""
        while True:
            if self._fatal is not None:  # another call found out that none will succeed
                raise self._fatal
            dialect = self._dialect
            try:
                reply = await self._send(self._url, request_bytes(call, dialect), call.model)
                return read_reply(reply, dialect)
            except Misunderstood as error:
                if self._dialect == dialect:
                    self._dialect = error.dialect
            except Hopeless as error:
                if self._has_answered and error.status in (403, 404):
                    raise Rejected(str(error)) from None  # others pass, so it is about this call
                raise self._give_up(call.model, HOPELESS.get(error.status, _ODD), error) from None

    async def _send(self, url: URL, body: bytes, model: str) -> Reply:
        session = self._open_session()
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            silence = TransientError(f"no connection: {error}", answered=False, sent=False)
            if not self._has_replied:
                raise self._give_up(model, UNREACHABLE, silence) from error
            raise silence from error
        except TimeoutError as error:
            problem = f"no answer within {self._timeout_s:g} s"
            raise TransientError(problem, overloaded=True, answered=False) from error
        except aiohttp.ClientError as error:
            problem = f"connection broken: {error or type(error).__name__}"
            raise TransientError(problem, answered=False) from error
        self._has_replied = True
        if response.status == 200:
            return Reply(200, None, content)
        headers = response.headers
        return Reply(response.status, headers.get("Retry-After"), content, headers.get("Date"))

    def _open_session(self) -> aiohttp.ClientSession:
        """One session for all calls, opened inside the event loop that uses it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.concurrency),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S
                ),
                headers={
                    "Content-Type": "application/json",
                    **({"Authorization": f"Bearer {self._key}"} if self._key else {}),
                },
                # Proxies of the environment are honoured, but no proxy can reach our own loopback.
                trust_env=urlsplit(self.endpoint).hostname not in LOOPBACK,
            )
        return self._session

    def _completion(
        self,
        call: Call,
        started: float,
        answer: Answer | None = None,
        error: str | None = None,
        error_reason: str = "error",
    ) -> Completion:
        usage = answer.usage if answer else None
        return Completion(
            call_id=call.id,
            text=answer.text if answer else "",
            finish_reason=answer.finish_reason if answer else error_reason,
            usage=usage or Usage(),
            cost_usd=self._prices.cost_usd(usage) if usage else None,
            latency_s=time.monotonic() - started,
            endpoint=self.endpoint,
            attempts=1,
            error=None if error is None else f"{self._without_key(error)} [{self.endpoint}]",
        )

    def _give_up(self, model: str, advice: tuple[str, str], error: Exception) -> FatalError:
        problem, hint = (text.format(section=self._section) for text in advice)
        none = f"none ({self._section}.api_key_env)"
        key = f"${self._api_key_env}" if self._api_key_env else none
        # What a server says about a wrong key tends to quote the key, in part or whole.
        secret = isinstance(error, Hopeless) and error.status == 401
        found = "HTTP 401" if secret else self._without_key(str(error))
        where = f"{self.endpoint}, model '{model}', key from {key}"
        self._fatal = FatalError(str(UserError(problem, where=where, found=found, hint=hint)))
        return self._fatal

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


UNREACHABLE = (
    "The endpoint does not answer.",
    "start the server, or correct {section}.base_url; the same command continues",
)
_ODD = (
    "The endpoint sends requests elsewhere.",
    "set {section}.base_url to the address that it names, ending like https://host/v1",
)
HOPELESS: dict[int | None, tuple[str, str]] = {
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


def checked_url(base_url: str, section: str | None = "generate") -> str:
    """Return the address without its last slash; `section` of the configuration has it.

    Raises:
        UserError: It is no address of an endpoint, or holds a password.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise UserError(
            "This is not the address of an endpoint.",
            where=_field(section, "base_url"),
            expected="like http://localhost:8000/v1",
            found=base_url.rpartition("@")[2],
        )
    if "@" in parts.netloc:
        raise UserError(
            "The address holds a user name or password, which would end up in records.",
            where=_field(section, "base_url"),
            hint="put the key into an environment variable, and name the variable instead",
        )
    return base_url.rstrip("/")


def read_key(
    api_key_env: str | None, endpoint: str, section: str | None = "generate"
) -> str | None:
    """Return the key in an environment variable, or None if none is named.

    Raises:
        UserError: The variable is not set.
    """
    if api_key_env is None:
        return None
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise UserError(
            f"The environment variable {api_key_env} is not set, or empty.",
            where=_field(section, "api_key_env"),
            expected=f"the key of {endpoint}",
            hint=f"export {api_key_env}=..., or name no variable if no key is needed",
        )
    return key


def _field(section: str | None, name: str) -> str | None:
    """A field as errors name it; None where no section has it."""
    return f"{section}.{name}" if section else None
