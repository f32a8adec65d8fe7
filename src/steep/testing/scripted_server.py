"""A server with OpenAI's chat API on loopback, with scripted answers and accidents.

In a test:

    with ScriptedServer(Script(seed=1, behaviour=Behaviour(rate_limited=0.2))) as server:
        client = OpenAIClient(server.base_url)

From a shell (it prints its base_url and serves until it is stopped):

    python -m steep.testing.scripted_server --port 0 --seed 1 --rate-limited 0.2

`server.requests` and `server.completed` count by `request_hash`, so that a test can prove that
nothing was asked, or answered, twice; `server.processed_tokens` are the prompt tokens that were
not in the simulated prefix cache. Not part of `import steep`: it imports aiohttp.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self, get_type_hints

from aiohttp import web

from steep.testing.replies import chat_body, clock, hang_up, misbehave, no_credit, objection
from steep.testing.script import (
    CHARACTERS_PER_TOKEN,
    Behaviour,
    Script,
    accident,
    answer,
    behaviour_from,
    count_tokens,
    prompt_text,
    request_hash,
)

LONGEST_TAIL = 1 / 8  # of a prompt: the names at the end of a call, against document and demand


class ScriptedServer:
    """The server, in a thread of its own, from `__enter__` to `__exit__`."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.requests: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.accidents: Counter[str] = Counter()
        self.in_progress = self.most_in_progress = 0
        self.prompt_tokens = self.processed_tokens = 0  # of all that was answered
        self._cache = PrefixCache()
        self.base_url = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._start())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._shut_down())
        self._stop_loop()

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add_routes(self, app: web.Application) -> None:
        """Add the routes of the server; a subclass may add others."""
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**26)
        self.add_routes(app)
        # A user who leaves while an answer is delayed must not hold the server up.
        self._runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{port}/v1"

    async def _shut_down(self) -> None:
        await self._runner.cleanup()
        late = asyncio.all_tasks() - {asyncio.current_task()}  # answers without a client
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        behaviour = self.script.behaviour
        model: dict[str, Any] = {"id": behaviour.model or "scripted", "object": "model"}
        if behaviour.context_tokens is not None:
            model["max_model_len"] = behaviour.context_tokens  # as vLLM has it
        return web.json_response({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.in_progress += 1
        self.most_in_progress = max(self.most_in_progress, self.in_progress)
        try:
            return await self._reply(request, await request.json())
        finally:
            self.in_progress -= 1

    async def _reply(self, request: web.Request, body: Any) -> web.StreamResponse:
        key, behaviour = request_hash(body), self.script.behaviour
        self.requests[key] += 1
        limit = behaviour.dead_after
        if behaviour.dead or (limit is not None and self.completed.total() >= limit):
            return hang_up(request)
        refusal = objection(behaviour, request.headers.get("Authorization", ""), body)
        if refusal is not None:
            return refusal
        if behaviour.busy_above is not None and self.in_progress > behaviour.busy_above:
            self.accidents["busy"] += 1
            return await misbehave("busy", request, behaviour)
        prompt = prompt_text(body)
        cached_tokens = self._cache.cached_tokens(prompt)
        await asyncio.sleep(behaviour.delay_s)
        kind = accident(self.script, key, self.requests[key])
        if kind is not None:
            self.accidents[kind] += 1
        if kind == "slow":
            await asyncio.sleep(behaviour.slow_s)
        elif kind is not None:
            return await misbehave(kind, request, behaviour)
        credit = behaviour.credit_calls
        if credit is not None and self.completed.total() >= credit:
            return no_credit()
        self.completed[key] += 1
        self.prompt_tokens += count_tokens(prompt)
        self.processed_tokens += count_tokens(prompt) - cached_tokens
        self._cache.keep(prompt, behaviour.cache_prefixes)
        reply = chat_body(body, answer(self.script, body), cached_tokens)
        return web.json_response(reply, headers=clock(behaviour))


class PrefixCache:
    """A simulated prefix cache of an inference server: the most recent prompts, the latest last.

    As in llama.cpp, a new prompt need not be read again as far as it begins like one of them. A
    prompt that differs from a kept one only in its tail takes its place; any other takes the place
    of the one that was not used for longest.
    """

    def __init__(self) -> None:
        self._prompts: list[str] = []

    def cached_tokens(self, prompt: str) -> int:
        """Return how many whole tokens of a prompt are cached."""
        longest = max((common_characters(each, prompt) for each in self._prompts), default=0)
        return longest // CHARACTERS_PER_TOKEN

    def keep(self, prompt: str, most: int) -> None:
        """Remember a prompt that has been read, and no more than `most` in all."""
        tail = len(prompt) * LONGEST_TAIL
        self._prompts = [
            each for each in self._prompts if len(prompt) - common_characters(each, prompt) > tail
        ]
        self._prompts.append(prompt)
        del self._prompts[: len(self._prompts) - most]


def common_characters(one: str, other: str) -> int:
    """Return the length of the longest common prefix, by bisection: prompts are long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted. Every field of `Behaviour` is an option."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0)
    for name, hint in get_type_hints(Behaviour).items():
        option = "--" + name.replace("_", "-")
        if hint is bool:
            parser.add_argument(option, action="store_true")
        else:
            number = {float: float, int: int, int | None: int}.get(hint, str)
            parser.add_argument(option, type=number)
    chosen = vars(parser.parse_args(arguments))
    with ScriptedServer(Script(chosen["seed"], behaviour_from(chosen)), chosen["port"]) as server:
        print(server.base_url, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
