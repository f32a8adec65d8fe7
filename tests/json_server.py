"""A server on loopback that replies as a test says, and keeps the bodies that it was sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Reply = Callable[[Body, int], "tuple[int, Any]"]  # of a body, and how many came before it


class JsonServer:
    """Replies with JSON, or with a text as it is."""

    def __init__(self, reply: Reply, models: Any = None) -> None:
        self._reply = reply
        self._models = models
        self.bodies: list[Body] = []
        self.paths: list[str] = []
        self.base_url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            return await self._list(request)
        body, number = await request.json(), len(self.bodies)
        self.bodies.append(body)
        self.paths.append(str(request.rel_url))
        status, content = self._reply(body, number)
        if isinstance(content, str):
            return web.Response(status=status, text=content)
        return web.json_response(content, status=status)

    async def _list(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell the models, if there are any to tell: a status and JSON or a text."""
        self.paths.append(str(request.rel_url))
        status, content = self._models or (404, "there is no such path")
        if isinstance(content, str):
            return web.Response(status=status, text=content)
        return web.json_response(content, status=status)


def said(text: Any, finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    """A successful reply that holds a text."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 20, "completion_tokens": 5}
    choice = {"message": message, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": usage, **more}


@contextmanager
def json_server(reply: Reply, models: tuple[int, Any] | None = None) -> Iterator[JsonServer]:
    """Serve in a thread, on a free port; `models` is what a list of models is answered with."""
    server = JsonServer(reply, models)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(server.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def serving(reply: Reply, seen: list[Body] | None = None) -> Iterator[str]:
    """Give the base address of a server alone; every request's body is added to `seen`."""

    def noting(body: Body, number: int) -> tuple[int, Any]:
        if seen is not None:
            seen.append(body)
        return reply(body, number)

    with json_server(noting) as server:
        yield server.base_url
