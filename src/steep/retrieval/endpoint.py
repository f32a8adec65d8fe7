"""JSON is posted to an endpoint, several requests at once, and posted again where that may help.

Replies are judged as those of generators are (`llm.openai_wire`): what can pass is tried
again after a pause that doubles, or after the one that the server asks for; all else stops at once.

The key is read from the environment, sent to the endpoint, and removed from every error text.
Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from steep.core.errors import UserError
from steep.llm.address import LOOPBACK, address, checked_url, read_key
from steep.llm.client import TransientError
from steep.llm.openai import CONNECT_TIMEOUT_S
from steep.llm.openai_wire import Dialect, Hopeless, Misunderstood, Rejected, Reply, read_reply

LONGEST_PAUSE_S = 60.0


class Endpoint:
    """An address that takes JSON and answers with it.

    Args:
        base_url: Without the last part of the path, which says what is asked for.
        api_key_env: Name of the environment variable that holds the key; None sends none.
        concurrency: Requests in flight at once at most.
        timeout_s: Of one attempt.
        max_attempts: Until a request is given up.
        pause_s: Before the second attempt; it doubles with each.

    Raises:
        UserError: `base_url` is no such address, or the environment variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        api_key_env: str | None = None,
        concurrency: int = 4,
        timeout_s: float = 60.0,
        max_attempts: int = 6,
        pause_s: float = 1.0,
    ) -> None:
        self.base_url = checked_url(base_url, None)
        self._api_key_env = api_key_env
        self._key = read_key(api_key_env, self.base_url, None)
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._max_attempts, self._pause_s = max_attempts, pause_s
        self._has_replied = False  # it has sent anything at all

    def post_all(self, path: str, bodies: Sequence[Any]) -> list[Any]:
        """The replies to all bodies, in their order.

        Raises:
            UserError: One of them cannot be answered.
        """
        return asyncio.run(self._post_all(path, bodies))

    def failure(self, path: str, found: object, hint: str) -> UserError:
        """What to tell the user; the key is in none of it."""
        text = str(found).replace(self._key, "***") if self._key else str(found)
        key = f", key from ${self._api_key_env}" if self._api_key_env else ""
        where = f"{self.base_url}/{path}{key}"
        return UserError("The endpoint gave no usable answer.", where=where, found=text, hint=hint)

    async def _post_all(self, path: str, bodies: Sequence[Any]) -> list[Any]:
        free = asyncio.Semaphore(self._concurrency)
        async with self._session() as session:

            async def one(body: Any) -> Any:
                async with free:
                    return await self._post(session, path, json.dumps(body).encode())

            return await asyncio.gather(*map(one, bodies))

    async def _post(self, session: aiohttp.ClientSession, path: str, body: bytes) -> Any:
        pause_s = self._pause_s
        for attempt in range(1, self._max_attempts + 1):
            try:
                return await self._attempt(session, path, body)
            except (Hopeless, Rejected, Misunderstood) as error:
                refused = isinstance(error, Hopeless) and error.status == 401
                # What a server says about a wrong key tends to quote it, in part or whole.
                found = "HTTP 401" if refused else error
                raise self.failure(path, found, "check address, model and key") from None
            except TransientError as error:
                if attempt == self._max_attempts:
                    found = f"{error}, after {attempt} attempts"
                    hint = "run the same command again: what was answered is kept"
                    raise self.failure(path, found, hint) from None
                await asyncio.sleep(min(error.wait_s or pause_s, LONGEST_PAUSE_S))
                pause_s *= 2

    async def _attempt(self, session: aiohttp.ClientSession, path: str, body: bytes) -> Any:
        url = URL(address(self.base_url, path))
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                content = await response.read()
        except TimeoutError as error:
            raise TransientError(f"no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            problem = f"no connection, or a broken one: {error or type(error).__name__}"
            if not self._has_replied and isinstance(error, aiohttp.ClientConnectorError):
                raise self.failure(path, problem, "start it, or correct its address") from None
            raise TransientError(problem) from error
        self._has_replied = True
        if response.status != 200:
            headers = response.headers
            retry_after, date = headers.get("Retry-After"), headers.get("Date")
            read_reply(Reply(response.status, retry_after, content, date), Dialect())
        try:
            return json.loads(content)
        except ValueError as error:
            raise TransientError(f"malformed reply: {content[:60]!r}") from error

    def _session(self) -> aiohttp.ClientSession:
        key = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            headers={"Content-Type": "application/json", **key},
            # Proxies of the environment are honoured, but no proxy can reach our own loopback.
            trust_env=urlsplit(self.base_url).hostname not in LOOPBACK,
        )
