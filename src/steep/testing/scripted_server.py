"""An OpenAI chat API on loopback, over real HTTP, whose answers and accidents are scripted.

In a test:

    with ScriptedServer(Script(seed=1, behaviour=Behaviour(rate_limited=0.2))) as server:
        client = OpenAIClient(server.base_url)

From a shell (it prints its base_url and serves until it is stopped):

    python -m steep.testing.scripted_server --port 0 --seed 1 --rate-limited 0.2

`server.requests` and `server.completed` count by `request_hash`, so that a test can prove that
nothing was asked, or answered, twice. Not part of `import steep`: it imports aiohttp.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, get_type_hints

from aiohttp import web

from steep.testing.script import (
    Answer,
    Behaviour,
    Script,
    accident,
    answer,
    behaviour_from,
    count_tokens,
    prompt_text,
    request_hash,
)


class ScriptedServer:
    """The server, in a thread of its own, from `__enter__` to `__exit__`."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        self.script = script or Script()
        self.requests: Counter[str] = Counter()
        self.completed: Counter[str] = Counter()
        self.base_url = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        try:
            self._call(self._start())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._shut_down())
        self._stop_loop()

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        # A user who leaves while an answer is delayed must not hold the server up.
        self._runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{port}/v1"

    async def _shut_down(self) -> None:
        await self._runner.cleanup()
        late = asyncio.all_tasks() - {asyncio.current_task()}  # answers that nobody waits for
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        model = {"id": self.script.behaviour.model or "scripted", "object": "model"}
        return web.json_response({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        key = request_hash(body)
        self.requests[key] += 1
        behaviour = self.script.behaviour
        if behaviour.dead:
            return _hang_up(request)
        refusal = _objection(behaviour, request.headers.get("Authorization", ""), body)
        if refusal is not None:
            return refusal
        await asyncio.sleep(behaviour.delay_s)
        kind = accident(self.script, key, self.requests[key])
        if kind == "slow":
            await asyncio.sleep(behaviour.slow_s)
        elif kind is not None:
            return await _misbehave(kind, request, behaviour)
        self.completed[key] += 1
        return web.json_response(_chat_body(body, answer(self.script, body)))


def _objection(behaviour: Behaviour, authorization: str, body: Any) -> web.Response | None:
    """The lasting reasons not to answer: key, model, quota, context, parameters."""
    if behaviour.api_key is not None and authorization != f"Bearer {behaviour.api_key}":
        # Hosted endpoints echo the key that they were sent; a client must not pass that on.
        return _error(401, "invalid_api_key", f"Incorrect API key: {authorization[7:]}")
    if behaviour.model not in (None, body.get("model")):
        return _error(404, "model_not_found", f"The model '{body.get('model')}' does not exist.")
    if behaviour.out_of_quota:
        return _error(429, "insufficient_quota", "You exceeded your current quota.")
    wanted = (body.get("response_format") or {}).get("type", "none")
    known = ("none", "json_object", "json_schema")
    if known.index(wanted) > known.index(behaviour.structured_output):
        return _error(400, "invalid_request_error", f"response_format '{wanted}' is not supported.")
    limit, tokens = behaviour.context_tokens, count_tokens(prompt_text(body))
    if limit is not None and tokens > limit:
        message = f"This model's maximum context length is {limit} tokens, the prompt has {tokens}."
        return _error(400, "context_length_exceeded", message)
    return None


async def _misbehave(kind: str, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
    if kind == "rate_limited":
        wait = {"Retry-After": f"{behaviour.retry_after_s:g}"}
        return _error(429, "rate_limit_exceeded", "Too many requests.", wait)
    if kind == "server_error":
        return _error(500, "server_error", "The scripted server stumbled.")
    if kind == "html":
        return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
    if kind == "invalid_json":
        return web.Response(text='{"choices": [{"message": ', content_type="application/json")
    if kind == "cut_off":
        response = web.StreamResponse(headers={"Content-Length": "4096"})
        with contextlib.suppress(ConnectionResetError):  # the client is gone already
            await response.prepare(request)
            await response.write(b'{"id": "cut')
    return _hang_up(request)


def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()  # never sent


def _error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"message": message, "type": code, "code": code, "param": None}
    return web.json_response({"error": error}, status=status, headers=headers)


def _chat_body(body: Any, said: Answer) -> dict[str, Any]:
    prompt_tokens = count_tokens(prompt_text(body))
    system = [m for m in body["messages"] if m.get("role") == "system"]
    cached_tokens = count_tokens(prompt_text({"messages": system})) if system else 0
    completion_tokens = count_tokens(said.text)
    message = {"role": "assistant", "content": said.text}
    return {
        "id": f"chatcmpl-{request_hash(body)[:16]}",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": cached_tokens},
        },
    }


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
            number = {float: float, int | None: int}.get(hint, str)
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
