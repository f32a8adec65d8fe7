"""How many calls an endpoint can take at once, learned from how often it refuses one.

Some endpoints refuse a call now and then whatever is asked of them, and none objects to that; so
what counts is the share of refusals among the last `WINDOW` outcomes. Too large a share cuts the
limit, at most once for all that was sent before. Afterwards the limit comes back as in CUBIC, a
kind of TCP: fast at first, slowly near the limit that was too much (`_edge`), and faster again
beyond it, as then something else was to blame. Until the first cut it doubles with every round of
answers.
"""

from __future__ import annotations

from collections import deque

FIRST_LIMIT = 8
WINDOW = 40  # outcomes
MOST_REFUSED = 8  # of them
LEAST_CUT, LARGEST_CUT = 0.25, 0.5
ROUNDS_BACK = 4  # of answers, in which most of a cut is made good
LEAST_STEP = 1 / 128  # calls per answer


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
        """Calls that may be under way at once, now."""
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
