"""A client of any OpenAI-compatible endpoint: hosted, vLLM, SGLang, llama.cpp, Ollama.

It uses aiohttp instead of the `openai` package, which takes 2 s to import and ten times the
processor time per call, and whose error texts are not ours. Each call is one attempt: a transient
failure (408, 409, 425, 429, 5xx, timeouts, broken connections, broken bodies) is a
`TransientError`, a failure that concerns all calls is a `FatalError`.

Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import aiohttp

from steep.core.calls import Call, Completion, Payable, Usage
from steep.llm.client import CONTEXT_REASON, FatalError, TransientError
from steep.llm.dialect import ENDLESS, Dialect, phrase
from steep.llm.http import CONNECT_TIMEOUT_S, HttpEndpoint
from steep.llm.openai_counts import read_context_window
from steep.llm.openai_errors import (
    UNREACHABLE,
    EndpointUnusable,
    RejectedRequest,
    Reply,
    TooLong,
    UnsupportedParameter,
    advice_on,
)
from steep.llm.openai_wire import ParsedAnswer, parse_json, read_json, read_reply, request_bytes
from steep.llm.prices import Prices

JSON = {"Content-Type": "application/json"}
MOST_UNFOUND = 5  # calls in a row that an endpoint has answered with 403 or 404
USUAL_BYTES_PER_TOKEN = 4.5
CUT_BYTES_PER_TOKEN = 10.0  # no text has so few tokens, unless a part of it was not read
LEAST_CUT_BYTES = 4096  # of a prompt; no server's context is smaller

log = logging.getLogger("steep")
T = TypeVar("T")


class OpenAIClient:
    """Completes one call per request; the scheduler keeps `concurrency` of them in flight.

    Args:
        base_url: Base URL of the endpoint, without `/chat/completions`.
        api_key_env: Environment variable that holds the key; None sends no key.
        concurrency: Maximum number of calls in flight, and of open connections.
        timeout_s: Seconds per attempt.
        prices: Prices of the model, if known.
        section: The configuration section of these fields, for errors.
        bounded: An endpoint that takes no limit on the length of answers is an error, since a hard
            limit on tokens or dollars depends on it.

    Raises:
        UserError: `base_url` is no address of an endpoint, or the environment variable is not set.
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
        bounded: bool = False,
    ) -> None:
        self.http = HttpEndpoint(base_url, api_key_env, section, concurrency)
        self.endpoint = self.http.base_url
        self.concurrency = concurrency
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._prices = prices or Prices()
        self._bounded = bounded
        self._dialect = Dialect()
        self._has_replied = False  # the endpoint has sent anything at all
        self._has_answered = False  # it has completed a call
        self._unfound = 0  # calls in a row answered with 403 or 404
        self._logged: set[str] = set()  # topics that were logged for this endpoint
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
            answer = await self._attempt(
                "chat/completions", call.model, lambda d: request_bytes(call, d), read_reply
            )
        except RejectedRequest as error:
            reason = CONTEXT_REASON if isinstance(error, TooLong) else "error"
            return [self.completion(call, started, ParsedAnswer("", reason, None), error)]
        self._warn_of_oddities(call, answer)
        return [self.completion(call, started, answer)]

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send any other request (`completions`, `embeddings`) in one attempt; return its JSON.

        The body is given in full; it is sent in the dialect of the server. `read_answer` of
        `openai_wire` reads the text in the JSON of a chat or a completion.

        Raises:
            TransientError, FatalError: As `complete` does.
            RejectedRequest: This request will never succeed.
        """

        def phrased(dialect: Dialect) -> bytes:
            return json.dumps(phrase(body, dialect), ensure_ascii=False).encode()

        return await self._attempt(path, str(body.get("model")), phrased, read_json)

    async def context_window(self, model: str) -> int | None:
        """Return the context window of a model in tokens; None if the endpoint does not report it.

        This is optional information, so no failure is an error.
        """
        try:
            reply = await self.http.send("GET", "models", self._timeout)
        except TransientError:
            return None
        return read_context_window(parse_json(reply.body), model) if reply.status == 200 else None

    @property
    def dialect(self) -> Dialect:
        """The form of requests that the endpoint accepts, as far as it is known."""
        return self._dialect

    async def close(self) -> None:
        """Close all connections; another request opens them again."""
        await self.http.close()

    async def _attempt(
        self,
        path: str,
        model: str,
        phrased: Callable[[Dialect], bytes],
        read: Callable[[Reply, Dialect], T],
    ) -> T:
        """Send a request in a dialect that the server understands.

        A new dialect is kept for later requests only once it has succeeded: an objection to one
        request may be about its content.
        """
        known = dialect = self._dialect
        objections: list[str] = []
        while True:
            if self._fatal is not None:  # another call has found that none will succeed
                raise self._fatal
            try:
                result = read(await self._send(path, phrased(dialect), model), dialect)
            except UnsupportedParameter as error:
                objections.append(str(error))
                dialect = error.dialect
                if self._bounded and not dialect.limits_answers:
                    raise self._give_up(model, ENDLESS, error) from None
                if self._dialect != known:  # another call has found a dialect that works
                    known = dialect = self._dialect
            except EndpointUnusable as error:
                if self._has_answered and error.status in (403, 404):
                    self._unfound += 1
                    if self._unfound < MOST_UNFOUND:  # others succeed: it may be about this call
                        raise RejectedRequest(str(error)) from None
                raise self._give_up(model, advice_on(error), error) from None
            except TransientError as error:
                error.args = (self.http.without_key(str(error)),)
                if error.usage is not None:
                    error.cost_usd = self._prices.cost_usd(error.usage)
                raise
            else:
                self._has_answered, self._unfound = True, 0
                if dialect != known and self._dialect == known:
                    self._dialect = dialect
                    change = dialect.difference(known)
                    self._log_once(change, f"{change}, because: {'; '.join(objections)}")
                return result

    async def _send(self, path: str, body: bytes, model: str) -> Reply:
        try:
            reply = await self.http.send("POST", path, self._timeout, data=body, headers=JSON)
        except TransientError as error:
            if not error.sent and not self._has_replied:
                raise self._give_up(model, UNREACHABLE, error) from error
            raise
        self._has_replied = True
        return reply

    def _warn_of_oddities(self, call: Call, answer: ParsedAnswer) -> None:
        """Log once that the model reasons, or that the server seems to truncate prompts."""
        if answer.thought:
            self._log_once(
                "thought",
                "the model reasons before it answers; the reasoning is not part of the texts",
                logging.INFO,
            )
        if answer.usage is None or "cut" in self._logged:
            return
        whole = 0
        for message in call.messages:
            for part in message.parts:
                whole += len(part) if part.isascii() else len(part.encode())
        if whole < CUT_BYTES_PER_TOKEN * answer.usage.prompt_tokens:
            return
        content = "\n".join(message.content for message in call.messages)
        size = len(" ".join(content.split()).encode())  # many blanks may be one token
        if size > max(LEAST_CUT_BYTES, CUT_BYTES_PER_TOKEN * answer.usage.prompt_tokens):
            self._log_once(
                "cut",
                f"it reports {answer.usage.prompt_tokens:,} tokens for a prompt of some "
                f"{size / USUAL_BYTES_PER_TOKEN:,.0f}, so it seems to truncate prompts silently; "
                "raise the context that the server gives the model (num_ctx in Ollama, --ctx-size "
                "in llama.cpp), or set documents.split_tokens",
            )

    def _log_once(self, topic: str, text: str, level: int = logging.WARNING) -> None:
        if topic not in self._logged:
            self._logged.add(topic)
            stage = self.http.section.partition(".")[0]
            log.log(level, "%s: %s: %s", stage, self.endpoint, self.http.without_key(text))

    def completion(
        self,
        sent: Payable,
        started: float,
        answer: ParsedAnswer,
        error: RejectedRequest | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Return the outcome of what was sent at `started`."""
        usage = answer.usage
        return Completion(
            call_id=sent.id,
            text=answer.text,
            finish_reason=answer.finish_reason,
            usage=usage or Usage(),
            cost_usd=self._prices.cost_usd(usage) if usage else None,
            latency_s=time.monotonic() - started,
            endpoint=self.endpoint,
            attempts=1,
            error=error if error is None else self.http.without_key(f"{error} [{self.endpoint}]"),
            result=result,
        )

    def _give_up(self, model: str, advice: tuple[str, str], error: Exception) -> FatalError:
        self._fatal = self.http.fatal(advice, error, f"model '{model}'")
        return self._fatal
