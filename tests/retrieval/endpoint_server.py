"""Embeddings and reranking over HTTP on loopback, with accidents that are told in advance."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass
class Scripted:
    """What the server does, and what it was asked.

    `accidents` are (status, headers, body) of the first replies, in order of requests; `replies`
    replace the right ones after them.
    """

    accidents: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    reply: Any = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    open_now: int = 0
    most_open: int = 0
    base_url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            body = json.loads(await request.read())
            self.bodies.append(body)
            self.keys.add(request.headers.get("Authorization"))
            await asyncio.sleep(0.005)  # so that requests meet
            if self.accidents:
                status, headers, text = self.accidents.pop(0)
                return web.Response(status=status, headers=headers, text=text)
            return web.json_response(self.reply or _right_reply(request.path, body))
        finally:
            self.open_now -= 1


def _right_reply(path: str, body: dict[str, Any]) -> dict[str, Any]:
    if path == "/v1/rerank":
        scores = [-len(text) / 1000 for text in body["documents"]]
        rows = [{"index": n, "relevance_score": score} for n, score in enumerate(scores)]
        return {"results": sorted(rows, key=lambda row: -row["relevance_score"])}
    vectors = [
        {"index": n, "embedding": [text.lower().count(letter) for letter in ALPHABET]}
        for n, text in enumerate(body["input"])
    ]
    tokens = sum(len(text.split()) for text in body["input"])
    return {"data": vectors[::-1], "usage": {"prompt_tokens": tokens}}


@contextmanager
def serving(script: Scripted) -> Iterator[Scripted]:
    """Serve on a free port, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(script.handle))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    script.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield script
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
