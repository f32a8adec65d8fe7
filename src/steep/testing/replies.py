"""The HTTP replies of the scripted server: answers in OpenAI's format, errors, accidents."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from aiohttp import web

from steep.testing.script import Behaviour, ScriptedAnswer, count_tokens, prompt_text, request_hash

LOOK_S = 0.05  # between two looks whether the client of a hanging request has given up


def objection(behaviour: Behaviour, authorization: str, body: Any) -> web.Response | None:
    """Return the error for a wrong key, model, context or parameter, or for an exceeded quota."""
    if behaviour.api_key is not None and authorization != f"Bearer {behaviour.api_key}":
        # Hosted endpoints echo the key that they were sent; a client must not pass that on.
        return error(401, "invalid_api_key", f"Incorrect API key: {authorization[7:]}")
    if behaviour.model not in (None, body.get("model")):
        return error(404, "model_not_found", f"The model '{body.get('model')}' does not exist.")
    if behaviour.out_of_quota:
        return no_credit()
    wanted = (body.get("response_format") or {}).get("type", "none")
    known = ("none", "json_object", "json_schema")
    if known.index(wanted) > known.index(behaviour.structured_output):
        return error(400, "invalid_request_error", f"response_format '{wanted}' is not supported.")
    limit, tokens = behaviour.context_tokens, count_tokens(prompt_text(body))
    if limit is not None and tokens > limit:
        message = f"This model's maximum context length is {limit} tokens, the prompt has {tokens}."
        return error(400, "context_length_exceeded", message)
    return None


def no_credit() -> web.Response:
    """Return the error for an account without credit."""
    return error(429, "insufficient_quota", "You exceeded your current quota.")


async def misbehave(kind: str, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
    """Simulate a transport failure (every kind except `slow`)."""
    if kind in ("rate_limited", "busy"):
        return error(429, "rate_limit_exceeded", "Too many requests.", _wait(behaviour))
    if kind == "overloaded":
        return error(503, "overloaded", "The scripted server is overloaded.", _wait(behaviour))
    if kind == "server_error":
        return error(500, "server_error", "The scripted server stumbled.")
    if kind == "html":
        return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
    if kind == "invalid_json":
        return web.Response(text='{"choices": [{"message": ', content_type="application/json")
    if kind == "cut_off":
        response = web.StreamResponse(headers={"Content-Length": "4096"})
        with contextlib.suppress(ConnectionResetError):  # the client is gone already
            await response.prepare(request)
            await response.write(b'{"id": "cut')
    if kind == "hang":
        while request.transport is not None:
            await asyncio.sleep(LOOK_S)
    return hang_up(request, politely=kind != "reset")


def hang_up(request: web.Request, *, politely: bool = True) -> web.StreamResponse:
    """Close the connection: with a goodbye (FIN), or as a crashed machine does (RST)."""
    if (transport := request.transport) is not None and politely:
        transport.close()
    elif transport is not None:
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()  # never sent


def clock(behaviour: Behaviour) -> dict[str, str]:
    """Return the header with the server's time, if its clock is wrong."""
    if not behaviour.clock_ahead_s:
        return {}
    return {"Date": formatdate(time.time() + behaviour.clock_ahead_s, usegmt=True)}


def error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in OpenAI's format."""
    content = {"message": message, "type": code, "code": code, "param": None}
    return web.json_response({"error": content}, status=status, headers=headers)


def chat_body(body: Any, said: ScriptedAnswer, cached_tokens: int) -> dict[str, Any]:
    """Return an answer in OpenAI's format, with its usage."""
    prompt_tokens, completion_tokens = count_tokens(prompt_text(body)), count_tokens(said.text)
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


def _wait(behaviour: Behaviour) -> dict[str, str]:
    if behaviour.retry_after is not None:
        return {"Retry-After": behaviour.retry_after, **clock(behaviour)}
    return {"Retry-After": f"{behaviour.retry_after_s:g}", **clock(behaviour)}
