"""A client of any OpenAI-compatible endpoint: hosted, vLLM, SGLang, llama.cpp, Ollama.

It talks HTTP with aiohttp and not through the `openai` package: one request a call needs none of
its 2 s of imports, and retries, waits and error texts are ours to decide. Only what can pass is
tried again (408, 409, 425, 429, 5xx, timeouts, broken connections, broken bodies), after growing,
jittered pauses or as long as Retry-After says. What concerns all calls is a `FatalError`, at once.

The key is read from the environment, sent to the endpoint, and removed from every error text.
Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.llm.client import FatalError
from steep.llm.openai_wire import (
    Answer,
    Dialect,
    Hopeless,
    Misunderstood,
    Rejected,
    Reply,
    Transient,
    read_reply,
    request_body,
)
from steep.llm.prices import Prices

CONNECT_TIMEOUT_S = 20.0
LONGEST_PAUSE_S = 60.0  # of our own; a server may ask for longer
LONGEST_WAIT_S = 900.0  # a server that asks for longer is not going to answer this call
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Unanswered(Transient):
    """No reply came at all; `unreachable` when there was not even a connection."""

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


class OpenAIClient:
    """Completes one call a request; the scheduler keeps `concurrency` of them in flight.

    Args:
        base_url: Of the endpoint, up to and without `/chat/completions`.
        api_key_env: Name of the environment variable that holds the key; None sends none.
        concurrency: Calls in flight at once, and connections kept open.
        timeout_s: Of one attempt.
        max_attempts: Tries of a call before it counts as failed.
        prices: Prices of the model, if known.
        pause_s: The first pause before a retry; each next one is twice as long, and all are
            shortened by chance so that calls that failed together do not come back together.

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
        max_attempts: int = 6,
        prices: Prices | None = None,
        pause_s: float = 1.0,
    ) -> None:
        self.endpoint = _checked_url(base_url)
        self.concurrency = concurrency
        self._api_key_env = api_key_env
        self._key = _read_key(api_key_env, self.endpoint)
        self._timeout_s = timeout_s
        self._max_attempts = max_attempts
        self._prices = prices or Prices()
        self._pause_s = pause_s
        self._dialect = Dialect()
        self._session: aiohttp.ClientSession | None = None
        self._has_replied = False  # the endpoint has sent anything at all
        self._has_answered = False  # it has completed a call
        self._unanswered_calls = 0  # given up without a reply since the last reply
        self._fatal: FatalError | None = None

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete the calls, in the order given.

        Raises:
            FatalError: The endpoint will complete no call at all.
        """
        return list(await asyncio.gather(*(self._complete(call) for call in calls)))

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _complete(self, call: Call) -> Completion:
        attempt = 0
        while True:
            attempt += 1
            started = time.monotonic()
            try:
                answer = await self._attempt(call)
            except Rejected as error:
                return self._completion(call, attempt, started, error=str(error))
            except Transient as error:
                wait_s = self._pause(attempt) if error.wait_s is None else error.wait_s
                if attempt == self._max_attempts or wait_s > LONGEST_WAIT_S:
                    self._check_alive(call, error)
                    return self._completion(call, attempt, started, error=str(error))
                await asyncio.sleep(wait_s)
            else:
                self._has_answered = True
                return self._completion(call, attempt, started, answer)

    async def _attempt(self, call: Call) -> Answer:
        """Send the call once, in words that the server understands."""
        while True:
            if self._fatal is not None:  # another call found out that none will succeed
                raise self._fatal
            dialect = self._dialect
            try:
                return read_reply(await self._send(request_body(call, dialect), call), dialect)
            except Misunderstood as error:
                if self._dialect == dialect:
                    self._dialect = error.dialect
            except Hopeless as error:
                if self._has_answered and error.status in (403, 404):
                    raise Rejected(str(error)) from None  # others pass, so it is about this call
                raise self._give_up(call, _HOPELESS.get(error.status, _ODD), error) from None

    async def _send(self, body: dict[str, Any], call: Call) -> Reply:
        session = self._open_session()
        try:
            async with session.post(
                f"{self.endpoint}/chat/completions", json=body, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            silence = _Unanswered(f"no connection: {error}", unreachable=True)
            if not self._has_replied:
                raise self._give_up(call, _UNREACHABLE, silence) from error
            raise silence from error
        except TimeoutError as error:
            raise _Unanswered(f"no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise _Unanswered(f"connection broken: {error or type(error).__name__}") from error
        self._has_replied, self._unanswered_calls = True, 0
        wait = response.headers.get("Retry-After")
        return Reply(response.status, wait, content.decode(errors="replace"))

    def _open_session(self) -> aiohttp.ClientSession:
        """One session for all calls, opened inside the event loop that uses it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.concurrency),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S
                ),
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                # Proxies of the environment are honoured, but no proxy can reach our own loopback.
                trust_env=urlsplit(self.endpoint).hostname not in LOOPBACK,
            )
        return self._session

    def _pause(self, attempt: int) -> float:
        longest_s = min(LONGEST_PAUSE_S, self._pause_s * 2.0 ** (attempt - 1))
        return random.uniform(longest_s / 2, longest_s)

    def _check_alive(self, call: Call, error: Transient) -> None:
        """Tell an endpoint that is gone, which concerns all calls, from one call's bad luck."""
        if not isinstance(error, _Unanswered):
            return
        self._unanswered_calls += 1
        long_silence = self._unanswered_calls > self.concurrency
        if error.unreachable or long_silence or not self._has_replied:
            raise self._give_up(call, _UNREACHABLE, error)

    def _completion(
        self,
        call: Call,
        attempts: int,
        started: float,
        answer: Answer | None = None,
        error: str | None = None,
    ) -> Completion:
        usage = answer.usage if answer else None
        return Completion(
            call_id=call.id,
            text=answer.text if answer else "",
            finish_reason=answer.finish_reason if answer else "error",
            usage=usage or Usage(),
            cost_usd=self._prices.cost_usd(usage) if usage else None,
            latency_s=time.monotonic() - started,
            endpoint=self.endpoint,
            attempts=attempts,
            error=None if error is None else f"{self._without_key(error)} [{self.endpoint}]",
        )

    def _give_up(self, call: Call, advice: tuple[str, str], error: Exception) -> FatalError:
        problem, hint = advice
        key = f"${self._api_key_env}" if self._api_key_env else "none (generate.api_key_env)"
        # What a server says about a wrong key tends to quote the key, in part or whole.
        secret = isinstance(error, Hopeless) and error.status == 401
        found = "HTTP 401" if secret else self._without_key(str(error))
        where = f"{self.endpoint}, model '{call.model}', key from {key}"
        self._fatal = FatalError(str(UserError(problem, where=where, found=found, hint=hint)))
        return self._fatal

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


_UNREACHABLE = (
    "The endpoint does not answer.",
    "start the server, or correct generate.base_url; the same command continues",
)
_ODD = (
    "The endpoint sends requests elsewhere.",
    "set generate.base_url to the address that it names, ending like https://host/v1",
)
_HOPELESS = {
    401: (
        "The endpoint does not accept the key.",
        "put a valid key into the environment variable that generate.api_key_env names",
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
        "correct generate.model, or generate.base_url (most end in /v1)",
    ),
}


def _checked_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise UserError(
            "This is not the address of an endpoint.",
            where="generate.base_url",
            expected="like http://localhost:8000/v1",
            found=base_url.rpartition("@")[2],
        )
    if "@" in parts.netloc:
        raise UserError(
            "The address holds a user name or password, which would end up in the ledger.",
            where="generate.base_url",
            hint="name an environment variable with the key in generate.api_key_env instead",
        )
    return base_url.rstrip("/")


def _read_key(api_key_env: str | None, endpoint: str) -> str | None:
    if api_key_env is None:
        return None
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise UserError(
            f"The environment variable {api_key_env} is not set, or empty.",
            where="generate.api_key_env",
            expected=f"the key of {endpoint}",
            hint=f"export {api_key_env}=..., or set generate.api_key_env to null if none is needed",
        )
    return key
