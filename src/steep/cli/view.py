"""`steep view`: a page on this machine that follows a run.

    steep view              # http://127.0.0.1:8100/, and open the browser
    steep view --port 0     # any free port
    steep view --no-browser # only print the address

The page shows how far a command is, its cost, the latest texts and the training loss, and at the
end the report. It is not reachable from other machines; see docs/view.md for a run on a server.
Nothing is written. Ctrl-C ends it, and does not touch the run.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    SetOption,
    is_interactive,
    load_project,
)

if TYPE_CHECKING:
    from steep.report.live.run import LiveRun

PortOption = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port; 0: any free one. Default: the first free one from 8100 on."
    ),
]
NoBrowserOption = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")]


def view(
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    port: PortOption = None,
    no_browser: NoBrowserOption = False,
) -> None:
    """Serve a page on this machine that follows a run. Writes nothing; Ctrl-C ends it."""
    import asyncio

    from steep.stages.view import RunFollower
    from steep.stages.view_server import ADDRESS, DEFAULT_PORT, listen, serve

    opened = load_project(config, set)
    follower = RunFollower(opened.config, opened.project)
    listening = listen(port)
    number = listening.getsockname()[1]
    if port is None and number != DEFAULT_PORT:
        typer.echo(f"port {DEFAULT_PORT} is taken", err=True)
    url = f"http://{ADDRESS}:{number}/"
    browses = not no_browser and is_interactive() and _has_screen()

    def started() -> None:
        typer.echo(f"view of run {opened.config.name}: {url} (Ctrl-C ends it)")
        sys.stdout.flush()
        if browses:
            import webbrowser

            webbrowser.open(url)

    asyncio.run(serve(follower, listening, started, _Stages()))


def _has_screen() -> bool:
    """Return whether a browser would have a window; one in the terminal would take it over."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens)


class _Stages:
    """Prints a line when the run has come to another stage or state."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, run: LiveRun) -> None:
        from steep.report.live.now import announcement

        line = announcement(run)
        if run.report_is_current:
            line += f"; report: runs/{run.name}/report.html"
        if line != self._last:
            self._last = line
            typer.echo(line)
            sys.stdout.flush()
