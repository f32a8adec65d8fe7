"""Serve the live page of a run on this machine.

    GET /        the live page, or the report once the last command has written it
    GET /live    the live page
    GET /report  the report
    GET /state   what is going on, as JSON
    GET /panels  the parts of the live page, as its script asks for them

The server listens on 127.0.0.1 alone. It answers only requests that name this machine as their
host, so that no page of the web can read it through a name that it points here. It reads the
project, and writes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Event, Thread
from urllib.parse import urlsplit

from aiohttp import web

from steep.core.errors import UserError
from steep.report.live.now import announcement, title
from steep.report.live.page import content_policy, live_page, panels
from steep.report.live.run import LiveRun
from steep.stages.view import RunFollower

ADDRESS = "127.0.0.1"
HOSTS = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 8100
PORTS = 100  # that are tried from the default one on
TICK_S = 1.0
SHUTDOWN_S = 0.2  # for answers that are being sent when the server ends
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
REPORT_POLICY = "frame-ancestors 'none'"  # the page itself has the rest of its policy

Tell = Callable[[LiveRun], None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def listen(port: int | None) -> socket.socket:
    """Listen on a port of this machine alone; None takes the first free one from the default on.

    Raises:
        UserError: The port is taken, or no port is free.
    """
    wanted = range(DEFAULT_PORT, DEFAULT_PORT + PORTS) if port is None else [port]
    for each in wanted:
        try:
            return socket.create_server((ADDRESS, each))
        except OSError as error:
            if error.errno == errno.EACCES or port is not None:
                raise _refused(each, error) from error
            if error.errno != errno.EADDRINUSE:
                raise
    raise UserError(
        "No port is free.",
        expected=f"a free port from {DEFAULT_PORT} to {DEFAULT_PORT + PORTS - 1}",
        hint="steep view --port 0 takes any free port",
    )


def _refused(port: int, error: OSError) -> UserError:
    taken = error.errno == errno.EADDRINUSE
    return UserError(
        f"Port {port} is taken." if taken else f"Port {port} cannot be used.",
        where="--port",
        found=error.strerror,
        hint="name another port, or 0 for any free one",
    )


@dataclass(frozen=True, slots=True)
class View:
    """One look at the run, as it is sent."""

    run: LiveRun
    state: bytes
    panels: bytes

    @classmethod
    def of(cls, run: LiveRun) -> View:
        """Draw a look."""
        content = {
            "title": title(run),
            "announcement": announcement(run),
            "going": run.is_going,
            "report": run.report_is_current,
            "panels": panels(run),
        }
        return cls(run, _json(run.as_json()), _json(content))


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


async def serve(
    follower: RunFollower, listening: socket.socket, started: Callable[[], None], tell: Tell
) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        follower: What is looked at, in a thread of its own.
        listening: The socket; it is closed at the end.
        started: Called when Ctrl-C ends the server, and not the process.
        tell: Called with each look that differs from the one before.

    Raises:
        Exception: What a look has raised.
    """
    loop = asyncio.get_running_loop()
    site, ended = _Site(follower), loop.create_future()
    numbers = _signals()
    for number in numbers:
        loop.add_signal_handler(number, _end, ended)
    started()
    looking = _Looking(site, tell, loop, ended)
    runner = web.AppRunner(site.app(), shutdown_timeout=SHUTDOWN_S, access_log=None)
    try:
        looking.start()
        await asyncio.wait({ended, looking.first}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await runner.setup()
            await web.SockSite(runner, listening).start()
        await ended
    finally:
        looking.stop.set()
        await runner.cleanup()
        listening.close()
        for number in numbers:
            loop.remove_signal_handler(number)


def _signals() -> list[signal.Signals]:
    """Return the signals that end the server; one that is ignored, as by nohup, stays so."""
    both = (signal.SIGINT, signal.SIGTERM)
    return [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]


def _end(ended: asyncio.Future[None], error: BaseException | None = None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)


class _Looking:
    """Looks at the run every second, in a thread; a look that waits for a disk delays nothing."""

    def __init__(
        self,
        site: _Site,
        tell: Tell,
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[None],
    ) -> None:
        self._site, self._tell, self._loop, self._ended = site, tell, loop, ended
        self.first: asyncio.Future[None] = loop.create_future()
        self.stop = Event()

    def start(self) -> None:
        """Begin to look."""
        Thread(target=self._run, name="view", daemon=True).start()

    def _run(self) -> None:
        try:
            view = None
            while not self.stop.is_set():
                run = self._site.follower.look()
                if view is None or run != view.run:
                    view = View.of(run)
                    self._loop.call_soon_threadsafe(self._seen, view)
                self.stop.wait(TICK_S)
        except BaseException as error:
            if not self.stop.is_set():
                self._loop.call_soon_threadsafe(_end, self._ended, error)

    def _seen(self, view: View) -> None:
        self._site.view = view
        if not self.first.done():
            self.first.set_result(None)
        self._tell(view.run)


class _Site:
    """The answers of the server."""

    view: View  # since the first look

    def __init__(self, follower: RunFollower) -> None:
        self.follower = follower

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[_guard])
        app.router.add_get("/", self._first)
        app.router.add_get("/live", self._live)
        app.router.add_get("/report", self._report)
        app.router.add_get("/state", self._state)
        app.router.add_get("/panels", self._panels)
        return app

    async def _first(self, request: web.Request) -> web.StreamResponse:
        found = self.view.run.report_is_current and self.follower.report_path.is_file()
        return await (self._report if found else self._live)(request)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        policy = {"Content-Security-Policy": content_policy()}
        return web.Response(text=live_page(self.view.run), content_type="text/html", headers=policy)

    async def _report(self, request: web.Request) -> web.StreamResponse:
        if not self.follower.report_path.is_file():
            return web.Response(text="There is no report yet; / follows the run.\n", status=404)
        policy = {"Content-Security-Policy": REPORT_POLICY}
        return web.FileResponse(self.follower.report_path, headers=policy)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        return _unless_known(request, self.view.state)

    async def _panels(self, request: web.Request) -> web.StreamResponse:
        return _unless_known(request, self.view.panels)


def _unless_known(request: web.Request, body: bytes) -> web.Response:
    """Return JSON; nothing if the client names what it has."""
    tag = f'"{sha256(body).hexdigest()[:16]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    return web.Response(body=body, content_type="application/json", headers={"ETag": tag})


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests that name another host, and add the headers of all answers."""
    if not _names_this_machine(request.headers.get("Host", "")):
        text = "steep view answers only requests to 127.0.0.1 and localhost.\n"
        return web.Response(text=text, status=403, headers=HEADERS)
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    response.headers.update(HEADERS)
    return response


def _names_this_machine(host: str) -> bool:
    """Return whether a Host header is a name of this machine, with any port: tunnels change it."""
    try:
        return urlsplit(f"//{host}").hostname in HOSTS
    except ValueError:
        return False
