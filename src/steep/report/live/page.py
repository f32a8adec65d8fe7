"""Draw the live page of a run: panels, each of which the script replaces when it has changed.

The page has the look of the report. Its content security policy allows the one script of the page,
and requests to the server that it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from string import Template

from steep.report.html import Html, el, join
from steep.report.live.now import announcement, now, title
from steep.report.live.panels import calls, log, results, stages, tasks, texts
from steep.report.live.run import LiveRun
from steep.report.live.training import training
from steep.report.render import content_hash

PANELS: Mapping[str, Callable[[LiveRun], Html | None]] = {
    "now": now,
    "stages": stages,
    "tasks": tasks,
    "training": training,
    "texts": texts,
    "calls": calls,
    "results": results,
    "log": log,
}


def panels(run: LiveRun) -> dict[str, str]:
    """Return the markup of each panel; empty where there is nothing to show."""
    return {name: (draw(run) or Html("")).text for name, draw in PANELS.items()}


def live_page(run: LiveRun) -> str:
    """Return the page with all panels as they are now."""
    drawn = [
        el("div", Html(markup), data_panel=name, class_="live-panel")
        for name, markup in panels(run).items()
    ]
    return Template(_asset("live.html")).substitute(
        title=join([title(run)]).text,
        style=_report_style() + _asset("live.css"),
        script=live_script(),
        announcement=join([announcement(run)]).text,
        panels=join(drawn, "\n").text,
    )


def live_script() -> str:
    """Return the script of the page."""
    return f"\n{_asset('live.js')}"


def content_policy() -> str:
    """Return the content security policy of the page."""
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {content_hash(live_script())}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _asset(name: str) -> str:
    return files("steep.report.live").joinpath(name).read_text(encoding="utf-8")


def _report_style() -> str:
    return files("steep.report").joinpath("style.css").read_text(encoding="utf-8")
