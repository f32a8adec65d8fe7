"""How many calls an endpoint can take at once: additive increase, multiplicative decrease (AIMD).

As in TCP: the limit doubles with every round of answers until the endpoint first objects, is cut
whenever it objects, and then grows by one with every round. Calls that were sent before the last
cut say nothing about the new limit, so a volley of refusals cuts it once and not to the ground.
"""

from __future__ import annotations

FIRST_LIMIT = 8
CUT = 0.6


class Concurrency:
    """The limit of one endpoint: between 1 and `most` calls at once. Times are seconds."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.cuts = 0
        self._limit = float(min(most, FIRST_LIMIT))
        self._last_cut_s = float("-inf")

    @property
    def limit(self) -> int:
        """Calls that may be under way at once, now."""
        return int(self._limit)

    def succeeded(self) -> None:
        """A call was answered."""
        step = 1.0 if self.cuts == 0 else 1.0 / self._limit
        self._limit = min(float(self.most), self._limit + step)

    def overloaded(self, sent_s: float, now_s: float) -> None:
        """A call that was sent at `sent_s` was one too many."""
        if sent_s < self._last_cut_s:
            return
        self.cuts += 1
        self._last_cut_s = now_s
        self._limit = max(1.0, self._limit * CUT)
