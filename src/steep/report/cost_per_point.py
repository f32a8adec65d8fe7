"""What a percentage point of accuracy costs: dollars and hours per point gained."""

from __future__ import annotations

from collections.abc import Callable

from steep.core.formatting import UNKNOWN, dollars, duration
from steep.report.blocks import Cell, Stacked
from steep.scaling.results import Bounded, per_point

NOT_DETERMINED = "not determined"
CAPTION = (
    "Per point: the amount divided by the points gained, with the interval that follows from that "
    "of the gain; not determined where that interval includes zero."
)


def dollars_per_point(usd: float | None, gain: Bounded | None) -> Cell:
    """Return the dollars per percentage point gained."""
    return _cell(usd, gain, dollars)


def time_per_point(hours: float | None, gain: Bounded | None) -> Cell:
    """Return the time per percentage point gained."""
    return _cell(hours, gain, lambda each: duration(3600 * each))


def _cell(amount: float | None, gain: Bounded | None, shown: Callable[[float], str]) -> Cell:
    if gain is None:
        return ""
    if amount is None:
        return UNKNOWN
    found = per_point(amount, gain)
    if found is None:
        return NOT_DETERMINED
    return Stacked(shown(found.value), f"[{shown(found.low)}, {shown(found.high)}]")
