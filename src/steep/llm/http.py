"""What all HTTP clients of an endpoint share: address, key, session, and the errors that end a run.

Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from steep.llm.address import LOOPBACK, address, checked_url, key_headers, read_key
from steep.llm.client import FatalError
from steep.llm.openai_errors import EndpointUnusable
from steep.llm.openai_wire import Reply

CONNECT_TIMEOUT_S = 20.0


class HttpEndpoint:
    """An endpoint: its address, its key, and one session for all requests.

    The key is read from the environment, sent to the endpoint, and removed from every error text.

    Args:
        base_url: Of the endpoint, up to and without the path of a request.
        api_key_env: Name of the environment variable that holds the key; None sends none.
        section: The configuration section that holds these fields, for errors.
        connections: Kept open at most.

    Raises:
        UserError: `base_url` is no such address, or the environment variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        api_key_env: str | None,
        section: str = "generate",
        connections: int = 100,
    ) -> None:
        self.base_url = checked_url(base_url, section)
        self.section = section
        self._api_key_env = api_key_env
        self._key = read_key(api_key_env, self.base_url, section)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    def address(self, path: str) -> str:
        """Return the address of a request."""
        return address(self.base_url, path)

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
        # What a server says about a wrong key tends to quote the key, in part or whole.
        secret = isinstance(error, EndpointUnusable) and error.status == 401
        found = "HTTP 401" if secret else self.without_key(str(error))
        return FatalError(problem, where=where, found=found, hint=hint)


def reply_of(response: aiohttp.ClientResponse, content: str | bytes) -> Reply:
    """Return a response in the form that `openai_wire` reads."""
    headers = response.headers
    if response.status == 200 and not headers.get("Retry-After"):  # nearly all
        return Reply(200, None, content)
    return Reply(
        response.status,
        headers.get("Retry-After"),
        content,
        headers.get("Date"),
        headers.get("Location"),
    )
