"""An endpoint that answers at once: a chat-completions server that is never the bottleneck.

    python -m benchmarks.generation.instant_server [--core 0] [--answer-bytes 2048]

It looks at nothing but `Content-Length` and sends one preformatted answer, with `usage`, on a
connection that it keeps open. Under uvloop a request costs it about 0.02 ms, so what is measured
against it is the client. It prints its address, counts what it is asked (`GET /statistics` tells
requests and its own CPU seconds), and ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

import uvloop

WORDS = "The harbour master keeps a ledger of every ship and its cargo in a plain hand. "


class Statistics(NamedTuple):
    """What a server has done so far."""

    requests: int
    cpu_s: float


def response(body: bytes) -> bytes:
    """An HTTP response with a JSON body."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def answer(text_bytes: int) -> bytes:
    """A chat completion whose text has this many bytes."""
    text = (WORDS * (text_bytes // len(WORDS) + 1))[:text_bytes]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": None,
    }
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    details = {"prompt_tokens_details": {"cached_tokens": 900}}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "instant",
        "choices": [choice],
        "usage": {**usage, **details},
    }
    return response(json.dumps(completion).encode())


MODELS = {"object": "list", "data": [{"id": "instant", "object": "model", "owned_by": "local"}]}


class Connection(asyncio.Protocol):
    """One connection; requests may come in pieces, or several at once."""

    answer: bytes
    requests = 0  # of all connections

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the other end."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            whole = end + 4 + _content_length(head)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            self._transport.write(self._reply(head))
            if b"connection: close" in head:
                self._transport.close()

    def _reply(self, head: bytes) -> bytes:
        if head.startswith(b"post"):
            Connection.requests += 1
            return self.answer
        if b"/statistics" in head:
            times = os.times()
            seen = {"requests": Connection.requests, "cpu_s": times.user + times.system}
            return response(json.dumps(seen).encode())
        return response(json.dumps(MODELS).encode())


def _content_length(head: bytes) -> int:
    place = head.find(b"content-length:")
    return int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0


@contextmanager
def running(core: int | None = None, answer_bytes: int = 2048) -> Iterator[str]:
    """Run a server in a process of its own; yields its address, without a path."""
    command = [sys.executable, "-m", "benchmarks.generation.instant_server"]
    command += ["--answer-bytes", str(answer_bytes)]
    command += [] if core is None else ["--core", str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.stdin.close()


def statistics(address: str) -> Statistics:
    """Ask a server what it has done."""
    with urllib.request.urlopen(f"{address}/statistics") as reply:
        return Statistics(**json.load(reply))


async def serve(answer_bytes: int) -> None:
    """Answer until standard input is closed."""
    Connection.answer = answer(answer_bytes)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()
    server.close()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--core", type=int)
    parser.add_argument("--answer-bytes", type=int, default=2048)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    uvloop.run(serve(options.answer_bytes))


if __name__ == "__main__":
    main()
