"""One endpoint for every page: generator, provider of batches, question writer, judge, model."""

from __future__ import annotations

import json
from typing import Any

import question_writer
from aiohttp import web

from scripted_batches import BatchServer
from steep.testing.replies import chat_body
from steep.testing.script import ScriptedAnswer, prompt_text


class DocsServer(BatchServer):
    """Answers by what the prompt asks for."""

    def add_routes(self, app: web.Application) -> None:
        """Add the routes of the chat API, of the batch API and of a served base model."""
        super().add_routes(app)
        app.router.add_post("/v1/completions", _complete)
        app.router.add_post("/v1/embeddings", _embed)
        app.router.add_post("/v1/rerank", _rerank)

    async def _reply(self, request: web.Request, body: Any) -> web.StreamResponse:
        prompt = prompt_text(body)
        if "Write questions for a test" in prompt or "### Question\n" in prompt:
            said = question_writer.reply(prompt, bad=False)
        elif "<answer>" in prompt:
            said = json.dumps({"verdict": "correct"})
        else:
            return await super()._reply(request, body)
        return web.json_response(chat_body(body, ScriptedAnswer(said, "stop"), 0))


async def _complete(request: web.Request) -> web.Response:
    """Continue a prompt with an answer, or echo it with the likelihoods of its words."""
    body = await request.json()
    words = body["prompt"].split(" ")
    choice: dict[str, Any] = {"text": " It is so.\nAnswer: B.", "finish_reason": "stop"}
    if body.get("echo"):
        values = [-float(len(word)) for word in words[1:]]
        choice["logprobs"] = {"token_logprobs": [None, *values, -1.0]}
    usage = {"prompt_tokens": len(words), "completion_tokens": 1}
    return web.json_response({"choices": [choice], "usage": usage})


async def _embed(request: web.Request) -> web.Response:
    """Return a vector of the lengths of each text and of its first word."""
    texts = (await request.json())["input"]
    rows = [
        {"index": place, "embedding": [len(text), len(text.split()[0]), 1.0]}
        for place, text in enumerate(texts)
    ]
    tokens = sum(len(text.split()) for text in texts)
    return web.json_response({"data": rows, "usage": {"prompt_tokens": tokens}})


async def _rerank(request: web.Request) -> web.Response:
    """Score each text by its length."""
    texts = (await request.json())["documents"]
    found = [{"index": i, "relevance_score": float(len(text))} for i, text in enumerate(texts)]
    return web.json_response({"results": found})
