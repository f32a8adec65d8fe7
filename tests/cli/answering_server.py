"""An endpoint on loopback that answers as a function of the prompt: a model, or a judge."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(
    reply: Callable[[str], str | tuple[int, Any]], seen: list[Any] | None = None
) -> Iterator[str]:
    """Serve completions and give the base address; every request's body is added to `seen`.

    A reply is the text of a chat, or a status and the JSON to send with it.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if seen is not None:
                seen.append(body)
            prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            said = reply(prompt)
            message = {"role": "assistant", "content": said}
            chat = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
            status, value = (200, chat) if isinstance(said, str) else said
            sent = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
