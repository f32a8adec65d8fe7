"""An endpoint on loopback that answers as a function of the prompt: a model, or a judge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from json_server import Body, serving


def answering(
    reply: Callable[[str], str | tuple[int, Any]], seen: list[Any] | None = None
) -> AbstractContextManager[str]:
    """Serve completions and give the base address; every request's body is added to `seen`.

    A reply is the text of a chat, or a status and the JSON to send with it.
    """

    def respond(body: Body, number: int) -> tuple[int, Any]:
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        said = reply(prompt)
        message = {"role": "assistant", "content": said}
        chat = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
        return (200, chat) if isinstance(said, str) else said

    return serving(respond, seen)
