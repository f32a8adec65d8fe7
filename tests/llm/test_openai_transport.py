"""TLS, proxies, timeouts and connection limits of the HTTP client, over real sockets.

Each case is a process of its own: the certificates and the proxy are read from the environment.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from steep.testing.replies import chat_body
from steep.testing.script import ScriptedAnswer
from steep.testing.scripted_server import ScriptedServer

CALLER = """
import asyncio, sys
from steep.core.calls import Call, Message
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.llm.openai import OpenAIClient

async def main():
    client = OpenAIClient(sys.argv[1], timeout_s=float(sys.argv[2]), concurrency=3)
    calls = [Call("r", "s", "d", (), n, "m", (Message("user", (f"Say {n}.",)),)) for n in range(12)]
    worker = EndpointWorker(client, RetryPolicy(max_attempts=2, pause_s=0.001))
    try:
        outcomes = await asyncio.gather(*(client.complete([call]) for call in calls[1:]),
            worker.send(calls[:1]))
        print("ANSWERED", len(outcomes), outcomes[0][0].text)
    except Exception as error:
        print(type(error).__name__, error)
    finally:
        await client.close()

asyncio.run(main())
"""


def call(url: str, variables: dict[str, str] | None = None, timeout_s: float = 10.0) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", CALLER, url, str(timeout_s)],
        env={**clean, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


@contextmanager
def serving(handler: web.RequestHandler | object, tls: ssl.SSLContext | None) -> Iterator[int]:
    """Serve a handler for all paths on a free port of loopback."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[web.ServerRunner, int]:
        runner = web.ServerRunner(web.Server(handler))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        return runner, int(runner.addresses[0][1])

    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    return web.json_response(
        chat_body(await request.json(), ScriptedAnswer("Over TLS.", "stop"), 0)
    )


def test_a_certificate_is_checked_and_one_of_your_own_can_be_named(
    certificate: tuple[Path, Path],
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    with serving(answer, tls) as port:
        url = f"https://localhost:{port}/v1"
        stranger = call(url)
        assert stranger.startswith("FatalError The endpoint does not answer.")
        assert "certificate verify failed" in stranger
        known = call(url, {"SSL_CERT_FILE": str(certificate[0])})
        assert known == "ANSWERED 12 Over TLS.\n"


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine() -> None:
    asked: list[str] = []

    async def proxy(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(str(request.url))
        return web.json_response(
            chat_body(await request.json(), ScriptedAnswer("By proxy.", "stop"), 0)
        )

    with serving(proxy, None) as port:
        variables = {"http_proxy": f"http://127.0.0.1:{port}"}
        assert call("http://model.invalid/v1", variables) == "ANSWERED 12 By proxy.\n"
        assert set(asked) == {"http://model.invalid/v1/chat/completions"}
        with ScriptedServer() as server:
            assert call(server.base_url, variables).startswith("ANSWERED 12")
        assert len(asked) == 12


def test_no_more_connections_are_opened_than_allowed() -> None:
    peers: set[object] = set()
    under_way = most = 0

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal under_way, most
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return web.json_response(
            chat_body(await request.json(), ScriptedAnswer("Slow.", "stop"), 0)
        )

    with serving(slow, None) as port:
        assert call(f"http://127.0.0.1:{port}/v1") == "ANSWERED 12 Slow.\n"
    assert most <= 3
    assert len(peers) == 3


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    async def trickle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    with serving(trickle, None) as port:
        assert "no answer within 0.4 s" in call(f"http://127.0.0.1:{port}/v1", timeout_s=0.4)
