"""A client of OpenAI's file-based batch API: half the price, answers within a day.

Upload a file of requests, create a batch from it, poll it, read the answers. What a batch holds
and what its answers mean is in `openai_batch_wire`; `steep.generation.batch` keeps track of
what was submitted. A request that fails for a transient reason is retried for at most `retry_s`.
Creating a batch must not simply be repeated, since a lost reply does not mean that there is no
batch: the batch is looked for first, by the token in its metadata.

Import this module only from the function that needs it: aiohttp costs 0.4 s.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, BinaryIO, TypeVar

import aiohttp

from steep.llm.client import FatalError, TransientError
from steep.llm.dialect import Dialect
from steep.llm.http import CONNECT_TIMEOUT_S, HttpEndpoint, no_reply, reply_of
from steep.llm.openai_batch_wire import (
    MOST_BYTES,
    MOST_REQUESTS,
    BatchRefused,
    BatchUnknown,
    FileGone,
    QueueFull,
    RemoteBatch,
    batch_request,
    parse_reply,
    read_batch,
    speaks_of_full_queue,
)
from steep.llm.openai_errors import (
    BATCHES_UNREACHABLE,
    EndpointUnusable,
    RejectedRequest,
    advice_on,
)
from steep.llm.prices import Prices

UPLOAD_TIMEOUT_S = 3600.0  # 200 MB in an hour: a slow line
LONGEST_PAUSE_S = 60.0  # of our own; the endpoint may ask for longer
BATCHES_PER_PAGE = 100
BLOCK_BYTES = 1 << 18
LONGEST_LINE_BYTES = 1 << 26

log = logging.getLogger("steep")
T = TypeVar("T")


class BatchClient:
    """Submits, polls and reads batches.

    Args:
        base_url: Base URL of the endpoint, without `/batches`.
        api_key_env: Environment variable that holds the key; None sends no key.
        timeout_s: Seconds without a byte from the endpoint.
        retry_s: Seconds for which a request is retried before the run ends.
        settle_s: Seconds after which a created batch is listed at the latest.
        prices: Batch prices of the model, if known.
        most_requests: Maximum number of requests per batch.
        most_bytes: Maximum size of a batch's file.
        pause_s: Seconds before the first retry; each further pause is twice as long, and
            shortened at random.

    Raises:
        UserError: `base_url` is no address of an endpoint, or the environment variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key_env: str | None = None,
        timeout_s: float = 300.0,
        retry_s: float = 900.0,
        settle_s: float = 10.0,
        prices: Prices | None = None,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
        pause_s: float = 1.0,
    ) -> None:
        self._http = HttpEndpoint(base_url, api_key_env)
        self.endpoint = self._http.base_url
        self.prices = prices or Prices()
        self.most_requests = most_requests
        self.most_bytes = most_bytes
        self._dialect = Dialect()
        self._timeout_s, self._retry_s = timeout_s, retry_s
        self._settle_s, self._pause_s = settle_s, pause_s

    @property
    def dialect(self) -> Dialect:
        """The form of requests; set to a simpler one when a result shows an objection to it."""
        return self._dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        if change := dialect.difference(self._dialect):
            log.warning("generate: %s: %s", self.endpoint, change)
        self._dialect = dialect

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def upload(self, file: BinaryIO, name: str) -> str:
        """Upload a file of requests; return its id.

        Raises:
            FatalError: The endpoint takes no files at all.
            BatchRefused: It does not take this one.
        """

        async def send() -> Any:
            # The connection closes the file that it is given, and may have to begin again.
            with os.fdopen(os.dup(file.fileno()), "rb") as copy:
                copy.seek(0)
                form = aiohttp.FormData({"purpose": "batch"})
                form.add_field("file", copy, filename=name, content_type="application/jsonl")
                value = await self._send("POST", "files", UPLOAD_TIMEOUT_S, data=form)
            if not isinstance(value, dict) or not value.get("id"):
                raise TransientError("malformed reply: not a file")
            return value["id"]

        try:
            return str(await self._persist(send))
        except RejectedRequest as error:
            raise BatchRefused(str(error)) from error

    async def create(self, input_file_id: str, token: str, dialect: Dialect) -> RemoteBatch:
        """Create a batch from an uploaded file, exactly once.

        Raises:
            FatalError: The endpoint creates no batches at all.
            QueueFull: It can create this one later, when others have ended.
            BatchRefused: It does not create this one.
        """
        asked = False

        async def send() -> RemoteBatch:
            nonlocal asked
            if asked and (found := await self._find_surely(token)):
                return found
            asked = True
            request = batch_request(input_file_id, token, dialect)
            try:
                return read_batch(await self._send("POST", "batches", json=request))
            except (RejectedRequest, TransientError) as error:
                if speaks_of_full_queue(str(error)):
                    raise QueueFull(str(error)) from error
                raise

        try:
            return await self._persist(send)
        except RejectedRequest as error:
            raise BatchRefused(str(error)) from error

    async def get(self, batch_id: str) -> RemoteBatch:
        """Return the current state of a batch.

        Raises:
            FatalError: The endpoint does not answer.
            BatchUnknown: It has no such batch; the key may be another account's.
        """

        async def send() -> RemoteBatch:
            return read_batch(await self._send("GET", f"batches/{batch_id}"))

        return await self._persist(send, lambda reason: BatchUnknown(f"{batch_id}: {reason}"))

    async def find(self, token: str) -> RemoteBatch | None:
        """Find the batch that was created with this token, unless it was refused.

        Raises:
            FatalError: The endpoint does not answer.
        """
        return await self._persist(lambda: self._find_surely(token))

    async def cancel(self, batch_id: str) -> RemoteBatch:
        """Cancel a batch; the calls answered by then can be read, and are charged.

        Raises:
            FatalError: The endpoint does not answer.
            BatchRefused: It has ended already.
        """

        async def send() -> RemoteBatch:
            return read_batch(await self._send("POST", f"batches/{batch_id}/cancel"))

        try:
            return await self._persist(send)
        except RejectedRequest as error:
            raise BatchRefused(str(error)) from error

    async def lines(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a file of any size; resume a broken download.

        Raises:
            FatalError: The endpoint does not answer.
            FileGone: The file is no longer kept.
        """

        def missing(reason: str) -> FileGone:
            return FileGone(f"{file_id}: {reason}")

        delivered = failures = 0
        silent_since = time.monotonic()
        while True:
            try:
                number = 0
                async for line in self._lines(file_id):
                    number += 1
                    if number > delivered:
                        delivered = number
                        yield line
                        silent_since = time.monotonic()
                return
            except (TransientError, EndpointUnusable) as error:
                failures += 1
                await self._wait(error, failures, silent_since, missing)

    async def _lines(self, file_id: str) -> AsyncGenerator[bytes, None]:
        rest = b""
        try:
            async with self._http.session().get(
                self._http.address(f"files/{file_id}/content"),
                timeout=self._timeouts(None),  # some providers keep files elsewhere, so: redirects
            ) as response:
                if response.status != 200:
                    parse_reply(reply_of(response, await response.read()))
                async for block in response.content.iter_chunked(BLOCK_BYTES):
                    *lines, rest = (rest + block).split(b"\n")
                    for line in filter(None, lines):
                        yield line
                    if len(rest) > LONGEST_LINE_BYTES:
                        raise TransientError(f"a line of more than {LONGEST_LINE_BYTES:,} bytes")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise no_reply(error, self._timeout_s) from error
        if rest.strip():
            if not rest.rstrip().endswith(b"}"):
                raise TransientError("the file ends in the middle of a line")
            yield rest

    async def _find_surely(self, token: str) -> RemoteBatch | None:
        """Look twice, `settle_s` apart, as a list may lag behind."""
        found = await self._find(token)
        if found is None and self._settle_s:
            await asyncio.sleep(self._settle_s)
            found = await self._find(token)
        return found

    async def _find(self, token: str) -> RemoteBatch | None:
        after: dict[str, str] = {}
        while True:
            params = {"limit": str(BATCHES_PER_PAGE), **after}
            page = await self._send("GET", "batches", params=params)
            if not isinstance(page, dict) or not isinstance(page.get("data"), list):
                raise TransientError("malformed reply: not a list of batches")
            batches = [read_batch(each) for each in page["data"]]
            for batch in batches:
                if batch.token == token and not batch.refused:
                    return batch
            if not batches or not page.get("has_more"):
                return None
            after = {"after": batches[-1].id}

    async def _persist(
        self, send: Callable[[], Awaitable[T]], missing: Callable[[str], Exception] | None = None
    ) -> T:
        """Retry transient failures for at most `retry_s`."""
        began, failures = time.monotonic(), 0
        while True:
            try:
                return await send()
            except (TransientError, EndpointUnusable) as error:
                failures += 1
                await self._wait(error, failures, began, missing)

    async def _wait(
        self,
        error: TransientError | EndpointUnusable,
        failures: int,
        began: float,
        missing: Callable[[str], Exception] | None,
    ) -> None:
        """Wait before a retry; raise an error if there is none, `missing` for HTTP 404."""
        if isinstance(error, EndpointUnusable):
            if missing is not None and error.status == 404:
                raise missing(str(error)) from error
            raise self.fatal(error) from error
        longest_s = min(LONGEST_PAUSE_S, self._pause_s * 2.0 ** min(failures - 1, 30))
        wait_s = random.uniform(longest_s / 2, longest_s)
        if error.wait_s is not None:
            wait_s = max(wait_s, error.wait_s)
        if time.monotonic() - began + wait_s > self._retry_s:
            raise self.fatal(error) from error
        await asyncio.sleep(wait_s)

    async def _send(
        self, method: str, path: str, total_s: float | None = None, **options: Any
    ) -> Any:
        """Send one request and return its JSON.

        Raises:
            TransientError, RejectedRequest, EndpointUnusable: The request failed.
        """
        timeout = self._timeouts(total_s or self._timeout_s)
        return parse_reply(await self._http.send(method, path, timeout, **options))

    def _timeouts(self, total_s: float | None) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=total_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._timeout_s
        )

    def fatal(
        self, error: TransientError | EndpointUnusable, subject: str | None = None
    ) -> FatalError:
        """Return the error that ends a run because no request will succeed."""
        if isinstance(error, EndpointUnusable):
            return self._http.fatal(advice_on(error, batches=True), error, subject)
        return self._http.fatal(BATCHES_UNREACHABLE, error, subject)
