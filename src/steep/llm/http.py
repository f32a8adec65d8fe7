"""What all HTTP clients of an endpoint share: address, key, session, and the errors that end a run.

Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from steep.llm.address import LOOPBACK, address, checked_url, key_headers, read_key
from steep.llm.client import FatalError, TransientError
from steep.llm.openai_errors import EndpointUnusable, Reply

CONNECT_TIMEOUT_S = 20.0


@lru_cache(maxsize=64)
def _url(base_url: str, path: str) -> URL:
    return URL(address(base_url, path))


class HttpEndpoint:
    """An endpoint: its address, its key, and one session for all requests.

    The key is read from the environment, sent to the endpoint, and removed from every error text.

    Raises:
        UserError: `base_url` is no address of an endpoint, or the environment variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        api_key_env: str | None,
        section: str = "generate",
        connections: int = 100,
    ) -> None:
        self.base_url, self.section = checked_url(base_url, section), section
        self._api_key_env = api_key_env
        self._key = read_key(api_key_env, self.base_url, section)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    def address(self, path: str) -> URL:
        """Return the address of a request."""
        return _url(self.base_url, path)

    def session(self) -> aiohttp.ClientSession:
        """Return the session; the first call opens it, inside the event loop that uses it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=key_headers(self._key, self.base_url),
                # Proxies of the environment are used, but no proxy can reach our own loopback.
                trust_env=urlsplit(self.base_url).hostname not in LOOPBACK,
                connector=aiohttp.TCPConnector(limit=self._connections),
            )
        return self._session

    async def send(
        self, method: str, path: str, timeout: aiohttp.ClientTimeout, **options: Any
    ) -> Reply:
        """Send one request and return the reply; redirects are not followed.

        Raises:
            TransientError: There is no reply.
        """
        began = False  # to answer with success
        try:
            async with self.session().request(
                method, self.address(path), timeout=timeout, allow_redirects=False, **options
            ) as response:
                began = response.status == 200
                return reply_of(response, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise no_reply(error, timeout.total, billed=began) from error

    async def close(self) -> None:
        """Close all connections; another request opens them again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def without_key(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self._key, "***") if self._key else text

    def fatal(
        self, advice: tuple[str, str], error: Exception, subject: str | None = None
    ) -> FatalError:
        """Return the error that ends a run, with the problem and the hint in `advice`."""
        problem, hint = (text.format(section=self.section) for text in advice)
        no_key = f"none ({self.section}.api_key_env)"
        key = f"key from {f'${self._api_key_env}' if self._api_key_env else no_key}"
        where = ", ".join(filter(None, [self.base_url, subject, key]))
        # Messages about a wrong key often quote the key, in part or whole.
        secret = isinstance(error, EndpointUnusable) and error.status == 401
        found = "HTTP 401" if secret else self.without_key(str(error))
        return FatalError(problem, where=where, found=found, hint=hint)


def no_reply(
    error: aiohttp.ClientError | TimeoutError, timeout_s: float | None, *, billed: bool = False
) -> TransientError:
    """Return the failure of a connection that was not made, broke, or was silent for too long."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return TransientError(f"no connection: {error}", answered=False, sent=False)
    if isinstance(error, TimeoutError):
        problem = f"no answer within {timeout_s:g} s"
        return TransientError(problem, overloaded=True, answered=False, billed=billed)
    problem = f"connection broken: {error or type(error).__name__}"
    return TransientError(problem, answered=False, billed=billed)


def reply_of(response: aiohttp.ClientResponse, content: str | bytes) -> Reply:
    """Return a response in the form that `openai_wire` reads."""
    get = response.headers.get
    return Reply(response.status, get("Retry-After"), content, get("Date"), get("Location"))
