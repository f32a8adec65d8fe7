"""A completions endpoint on loopback around an engine in this process, as vLLM would serve it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from steep.evaluation.engines import Decoding
from steep.evaluation.hf_engine import HuggingFaceEngine


class ModelServer:
    """Continues and echoes prompts; keeps the bodies that it was sent."""

    def __init__(self, engine: HuggingFaceEngine, model: Any, tokenizer: Any, echoes: bool) -> None:
        self.engine, self.model, self.tokenizer, self.echoes = engine, model, tokenizer, echoes
        self.bodies: list[dict[str, Any]] = []

    async def completions(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        return web.json_response(self._echo(body) if body.get("echo") else self._continue(body))

    def _continue(self, body: dict[str, Any]) -> dict[str, Any]:
        stop = tuple(body.get("stop", ()))
        decoding = Decoding(1, body["temperature"], body["max_tokens"], stop)
        ((output,),) = self.engine.generate([body["prompt"]], decoding)
        logprobs = {"token_logprobs": [output.logprob]}
        choice = {"text": output.text, "finish_reason": output.finish_reason, "logprobs": logprobs}
        return {"choices": [choice]}

    def _echo(self, body: dict[str, Any]) -> dict[str, Any]:
        import torch

        ids = [self.tokenizer.bos_token_id, *self.tokenizer.encode(body["prompt"])]
        choice: dict[str, Any] = {"text": body["prompt"] + "x", "finish_reason": "length"}
        if self.echoes:
            with torch.inference_mode():
                logprobs = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            values = [float(logprobs[place, token]) for place, token in enumerate(ids[1:])]
            choice["logprobs"] = {"token_logprobs": [None, *values, -9.0]}
        return {"choices": [choice], "usage": {"prompt_tokens": len(ids)}}


@contextmanager
def served(server: ModelServer) -> Iterator[str]:
    """Serve in a thread and give the base address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/completions", server.completions)
    runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
