"""Moments of a run, in the local time of the machine that serves the page."""

from __future__ import annotations

from datetime import datetime

from steep.report.html import Html, el


def moment(stamp: str) -> Html:
    """Return a time of day, with its date if that is not today; other text stays as it is."""
    try:
        local = datetime.fromisoformat(stamp).astimezone()
    except ValueError:
        return el("span", stamp)
    today = datetime.now().astimezone().date()
    shown = local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")
    return el("time", shown, datetime=local.isoformat(timespec="seconds"))
