"""Which HTTP library should carry the calls: calls/s and CPU of each against an instant server.

    python -m benchmarks.generation.http_libraries --calls 20000 --concurrency 64 [--only aiohttp]

Every library runs in a process of its own, pinned to one core, the server on another; the bodies
are the same 4 KB and the answers the same 2 KB, which are read to their end and not parsed. What is
not installed is left out. `uvloop` after a name is the event loop under it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from benchmarks.generation import instant_server
from benchmarks.generation.measuring import conditions, measured, table, version_of
from benchmarks.generation.workload import body

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer secret"}
TIMEOUT_S = 300.0
SERVER_CORE, CLIENT_CORE = 0, 1

Send = Callable[[bytes], Awaitable[int]]


async def all_calls(send: Send, calls: int, concurrency: int) -> None:
    """Send every body, `concurrency` at a time; an answer that is too short is an error."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            length = await send(body(number))
            assert length > 2000, f"an answer of {length} bytes"

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def with_aiohttp(url: str, calls: int, concurrency: int) -> None:
    """With aiohttp."""
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=20),
        headers=HEADERS,
    ) as session:

        async def send(data: bytes) -> int:
            async with session.post(url, data=data) as response:
                return len(await response.read())

        await all_calls(send, calls, concurrency)


async def with_httpx(url: str, calls: int, concurrency: int, name: str = "httpx") -> None:
    """With httpx, or httpx2, which has the same interface."""
    httpx: Any = importlib.import_module(name)
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_S, headers=HEADERS) as client:

        async def send(data: bytes) -> int:
            return len((await client.post(url, content=data)).content)

        await all_calls(send, calls, concurrency)


async def with_httpx2(url: str, calls: int, concurrency: int) -> None:
    """With httpx2."""
    await with_httpx(url, calls, concurrency, "httpx2")


async def with_niquests(url: str, calls: int, concurrency: int) -> None:
    """With niquests."""
    niquests: Any = importlib.import_module("niquests")
    async with niquests.AsyncSession(pool_maxsize=concurrency) as session:
        session.headers.update(HEADERS)

        async def send(data: bytes) -> int:
            response = await session.post(url, data=data, timeout=TIMEOUT_S)
            return len(response.content)

        await all_calls(send, calls, concurrency)


async def with_pyreqwest(url: str, calls: int, concurrency: int) -> None:
    """With pyreqwest (Rust: reqwest, hyper, rustls)."""
    module: Any = importlib.import_module("pyreqwest.client")
    builder = module.ClientBuilder().max_connections(concurrency).default_headers(HEADERS)
    async with builder.timeout(timedelta(seconds=TIMEOUT_S)).build() as client:

        async def send(data: bytes) -> int:
            response = await client.post(url).body_bytes(data).build().send()
            return len(await response.bytes())

        await all_calls(send, calls, concurrency)


async def with_rnet(url: str, calls: int, concurrency: int) -> None:
    """With rnet (Rust: wreq, BoringSSL)."""
    rnet: Any = importlib.import_module("rnet")
    client = rnet.Client(pool_max_size=concurrency, timeout=int(TIMEOUT_S))

    async def send(data: bytes) -> int:
        response = await client.post(url, body=data, headers=HEADERS)
        return len(await response.bytes())

    await all_calls(send, calls, concurrency)


async def with_wreq(url: str, calls: int, concurrency: int) -> None:
    """With wreq (Rust: the successor of rnet)."""
    wreq: Any = importlib.import_module("wreq")
    limit = timedelta(seconds=TIMEOUT_S)
    client = wreq.Client(pool_max_size=concurrency, timeout=limit, headers=HEADERS)

    async def send(data: bytes) -> int:
        response = await client.post(url, body=data)
        return len(await response.bytes())

    await all_calls(send, calls, concurrency)


async def with_primp(url: str, calls: int, concurrency: int) -> None:
    """With primp (Rust: reqwest)."""
    primp: Any = importlib.import_module("primp")
    client = primp.AsyncClient(timeout=TIMEOUT_S, headers=HEADERS)

    async def send(data: bytes) -> int:
        response = await client.post(url, content=data)
        return len(response.content)

    await all_calls(send, calls, concurrency)


async def with_httpr(url: str, calls: int, concurrency: int) -> None:
    """With httpr (Rust: reqwest, driven from threads)."""
    httpr: Any = importlib.import_module("httpr")
    async with httpr.AsyncClient(
        timeout=TIMEOUT_S, headers=HEADERS, max_concurrency=concurrency
    ) as client:

        async def send(data: bytes) -> int:
            return len((await client.post(url, content=data)).content)

        await all_calls(send, calls, concurrency)


def with_pycurl(url: str, calls: int, concurrency: int) -> None:
    """With pycurl: a multi handle and its own loop, without asyncio."""
    pycurl: Any = importlib.import_module("pycurl")
    multi = pycurl.CurlMulti()
    numbers = iter(range(calls))
    handles = [_curl(pycurl, url) for _ in range(concurrency)]
    flying = sum(_start(multi, handle, numbers) for handle in handles)
    while flying:
        while multi.perform()[0] == pycurl.E_CALL_MULTI_PERFORM:
            pass
        _, done, failed = multi.info_read()
        assert not failed, failed
        for handle in done:
            multi.remove_handle(handle)
            assert len(handle.answer.getvalue()) > 2000
            flying += _start(multi, handle, numbers) - 1
        if not done:
            multi.select(1.0)


def _curl(pycurl: Any, url: str) -> Any:
    handle = pycurl.Curl()
    handle.setopt(pycurl.URL, url)
    handle.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS.items()])
    handle.setopt(pycurl.TIMEOUT, int(TIMEOUT_S))
    return handle


def _start(multi: Any, handle: Any, numbers: Iterator[int]) -> int:
    number = next(numbers, None)
    if number is None:
        return 0
    handle.answer = io.BytesIO()
    handle.setopt(handle.POSTFIELDS, body(number))
    handle.setopt(handle.WRITEFUNCTION, handle.answer.write)
    multi.add_handle(handle)
    return 1


async def with_pycurl_in_asyncio(url: str, calls: int, concurrency: int) -> None:
    """With the socket interface of pycurl, driven by the event loop."""
    pycurl: Any = importlib.import_module("pycurl")
    loop = asyncio.get_running_loop()
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, concurrency)
    answers: dict[Any, asyncio.Future[int]] = {}
    timers: list[asyncio.TimerHandle] = []

    def act(descriptor: int, what: int) -> None:
        multi.socket_action(descriptor, what)
        while True:
            waiting, done, failed = multi.info_read()
            for handle in [*done, *(each[0] for each in failed)]:
                multi.remove_handle(handle)
                answers.pop(handle).set_result(len(handle.answer.getvalue()))
            if not waiting:
                return

    def on_socket(what: int, descriptor: int, multi: Any, data: Any) -> None:
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        if what in (pycurl.POLL_IN, pycurl.POLL_INOUT):
            loop.add_reader(descriptor, act, descriptor, pycurl.CSELECT_IN)
        if what in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
            loop.add_writer(descriptor, act, descriptor, pycurl.CSELECT_OUT)

    def on_timer(milliseconds: int) -> None:
        while timers:
            timers.pop().cancel()
        if milliseconds >= 0:
            timers.append(loop.call_later(milliseconds / 1000, act, pycurl.SOCKET_TIMEOUT, 0))

    multi.setopt(pycurl.M_SOCKETFUNCTION, on_socket)
    multi.setopt(pycurl.M_TIMERFUNCTION, on_timer)
    spare = [_curl(pycurl, url) for _ in range(concurrency)]

    async def send(data: bytes) -> int:
        handle = spare.pop()
        handle.answer = io.BytesIO()
        handle.setopt(handle.POSTFIELDS, data)
        handle.setopt(handle.WRITEFUNCTION, handle.answer.write)
        answers[handle] = loop.create_future()
        multi.add_handle(handle)
        length = await answers[handle]
        spare.append(handle)
        return length

    await all_calls(send, calls, concurrency)


Way = Callable[[str, int, int], Awaitable[None] | None]

WAYS: dict[str, Way] = {
    "aiohttp": with_aiohttp,
    "httpx": with_httpx,
    "httpx2": with_httpx2,
    "niquests": with_niquests,
    "pycurl": with_pycurl,
    "pycurl, asyncio": with_pycurl_in_asyncio,
    "pyreqwest": with_pyreqwest,
    "rnet": with_rnet,
    "wreq": with_wreq,
    "primp": with_primp,
    "httpr": with_httpr,
}
LOOPLESS = {"pycurl"}
COLUMNS = ("library", "version", "loop", "calls/s", "CPU s / 1,000 calls", "peak MB", "server busy")


def child(way: str, loop: str, url: str, calls: int, concurrency: int) -> None:
    """Measure one library in this process, and print what it took as JSON."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    function = WAYS[way]

    async def run() -> None:
        await function(url, min(calls, 500), concurrency)  # type: ignore[misc]
        with measured() as cost:
            await function(url, calls, concurrency)  # type: ignore[misc]
        print(json.dumps(asdict(cost)))

    if loop == "none":
        with measured() as cost:
            function(url, calls, concurrency)
        print(json.dumps(asdict(cost)))
    elif loop == "uvloop":
        import uvloop

        uvloop.run(run())
    else:
        asyncio.run(run())


def row(way: str, loop: str, address: str, options: argparse.Namespace) -> list[object]:
    """Measure one library in a process of its own."""
    package = way.split(",")[0]
    before = instant_server.statistics(address)
    url = f"{address}/v1/chat/completions"
    command = [sys.executable, "-m", "benchmarks.generation.http_libraries"]
    command += ["--child", way, loop, url, "--calls", str(options.calls)]
    command += ["--concurrency", str(options.concurrency)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return [way, version_of(package), loop, f"failed: {lines[-1]}", "", "", ""]
    cost = json.loads(done.stdout.splitlines()[-1])
    after = instant_server.statistics(address)
    assert after.requests - before.requests >= options.calls
    return [
        way,
        version_of(package),
        loop,
        f"{options.calls / cost['wall_s']:,.0f}",
        f"{cost['cpu_s'] / options.calls * 1000:.3f}",
        f"{cost['peak_mb']:.0f}",
        f"{(after.cpu_s - before.cpu_s) / cost['wall_s']:.0%}",
    ]


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--only", nargs="*", default=list(WAYS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, loop, url = options.child
        child(way, loop, url, options.calls, options.concurrency)
        return
    print(conditions(["uvloop"]), end="\n\n", flush=True)
    rows = []
    with instant_server.running(SERVER_CORE) as address:
        for way in options.only:
            if version_of(way.split(",")[0]) == "-":
                print(f"{way} is not installed, and left out.")
                continue
            for loop in ("none",) if way in LOOPLESS else ("asyncio", "uvloop"):
                rows.append(row(way, loop, address, options))
                print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
