"""The limits of one endpoint: calls in flight, learned from refusals, and rates per minute.

`Concurrency` is a kind of AIMD. Some endpoints refuse single calls at any load, so the share of
refusals among the last `WINDOW` outcomes counts. Too large a share cuts the limit, at most once for
all calls sent before. Afterwards the limit recovers as in CUBIC, a kind of TCP: fast at first,
slowly near the limit that was too much (`_edge`), and faster again beyond it. Until the first cut
it doubles with every round of answers.

`RateLimit` spreads work evenly (the generic cell rate algorithm): a unit of work moves the time at
which the next one may start. The usage of a call is reserved before it is sent; the rest is given
back.
"""

from __future__ import annotations

from collections import deque

FIRST_LIMIT = 8
WINDOW = 40  # outcomes
MOST_REFUSED = 8  # of them
LEAST_CUT, LARGEST_CUT = 0.25, 0.5
ROUNDS_BACK = 4  # of answers, in which most of a cut is made good
LEAST_STEP = 1 / 128  # calls per answer
BURST_S = 2.0  # so much work may start at once after a pause


class Concurrency:
    """The limit of one endpoint: between 1 and `most` calls at once. Times are seconds."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.cuts = 0
        self._limit = float(min(most, FIRST_LIMIT))
        self._last_cut_s = float("-inf")
        self._edge = float("inf")
        self._refused: deque[bool] = deque(maxlen=WINDOW)

    @property
    def limit(self) -> int:
        """The number of calls that may be in flight now."""
        return int(self._limit)

    def succeeded(self, sent_s: float) -> None:
        """Count a call that was sent at `sent_s` and answered."""
        if sent_s >= self._last_cut_s:
            self._refused.append(False)
        step = 1.0
        if self.cuts:
            far = max(self._edge - 1 - self._limit, self._limit - self._edge)
            step = max(LEAST_STEP, far / ROUNDS_BACK / self._limit)
        self._limit = min(float(self.most), self._limit + step)

    def overloaded(self, sent_s: float, now_s: float) -> None:
        """Count a call that was sent at `sent_s` and refused."""
        if sent_s < self._last_cut_s:
            return
        self._refused.append(True)
        refused = sum(self._refused)
        if refused < MOST_REFUSED:
            return
        share = refused / len(self._refused)
        self.cuts += 1
        self._last_cut_s = now_s
        self._edge = self._limit
        self._limit = max(1.0, self._limit * (1 - min(LARGEST_CUT, max(LEAST_CUT, share))))
        self._refused.clear()


class RateLimit:
    """A limit of one endpoint, in units per minute; None is no limit. Times are seconds."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds_per_unit = 60.0 / per_minute if per_minute else 0.0
        self._free_s = float("-inf")  # when all that was reserved is worked off

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait until something may start."""
        return max(0.0, self._free_s - now_s - BURST_S) if self._seconds_per_unit else 0.0

    def reserve(self, units: float, now_s: float) -> None:
        """Count something that starts now."""
        self._free_s = max(self._free_s, now_s) + units * self._seconds_per_unit

    def give_back(self, units: float) -> None:
        """Correct a reservation: what was not used, or (negative) was used in excess."""
        self._free_s -= units * self._seconds_per_unit
