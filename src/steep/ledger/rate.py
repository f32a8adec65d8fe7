"""Requests and tokens a minute: a provider's limits, kept without ever asking too much of them.

Work is spread evenly (the generic cell rate algorithm): a unit of work moves the time at which the
next one may start, and nothing but that time is kept. What a call takes is known only afterwards,
so it is reserved before, and what it did not take is given back.
"""

from __future__ import annotations

BURST_S = 2.0  # so much work may start at once after a pause


class RateLimit:
    """A limit of one endpoint, in units a minute; None is no limit. Times are seconds."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds_per_unit = 60.0 / per_minute if per_minute else 0.0
        self._free_s = float("-inf")  # when all that was reserved is worked off

    def wait_s(self, now_s: float) -> float:
        """How long to wait until something may start."""
        return max(0.0, self._free_s - now_s - BURST_S) if self._seconds_per_unit else 0.0

    def reserve(self, units: float, now_s: float) -> None:
        """Count something that starts now."""
        self._free_s = max(self._free_s, now_s) + units * self._seconds_per_unit

    def give_back(self, units: float) -> None:
        """Correct a reservation: what was not used, or (negative) was used in excess."""
        self._free_s -= units * self._seconds_per_unit
