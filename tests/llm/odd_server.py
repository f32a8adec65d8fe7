"""An endpoint on loopback that replies as a test says, and keeps the bodies that it was sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Respond = Callable[[dict[str, Any], int], "tuple[int, Any]"]


class OddServer:
    """Replies by `respond`, which gets the body and the number of the request, from 1."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.base_url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.paths.append(str(request.rel_url))
        status, content = self._respond(self.bodies[-1], len(self.bodies))
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
def odd_server(respond: Respond) -> Iterator[OddServer]:
    """Serve in a thread, on a free port."""
    server = OddServer(respond)
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
