"""The state of long work as one typed object, and the rate at which it advances."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from steep.core.ranges import Range
from steep.core.run_progress import TaskProgress

WINDOW_S = 60.0  # the rate is that of the last minute, ...
LEAST_S = 2.0  # a shorter time says little
LEAST_SAMPLES = 6  # ... or of so many samples, if they are older


@dataclass(frozen=True, slots=True)
class ProgressState:
    """How far a task is.

    Attributes:
        label: The name of the task.
        unit: What is counted, in the plural.
        done: Completed units, those of earlier runs included; a fraction counts what is under way.
        total: All units; None if unknown.
        about: Whether the total is an estimate.
        failed: Units of this run that have failed.
        in_flight: Units that are under way.
        rate_per_s: Units per second over the last minute; None if unknown.
        seconds_left: Expected seconds until the end; None if unknown.
        elapsed_s: Seconds since the start of the task in this process.
        cost_usd: The cost of this run so far, in dollars; None if unknown or if there is none.
        projected_cost_usd: The expected cost of this run at its end, in dollars.
        phase: The part of the task that runs now.
        facts: Further values as text, by name, the most important first.
        finished: Whether the task has ended.
    """

    label: str
    unit: str
    done: float = 0.0
    total: float | None = None
    about: bool = False
    failed: int = 0
    in_flight: int = 0
    rate_per_s: float | None = None
    seconds_left: float | None = None
    elapsed_s: float = 0.0
    cost_usd: float | None = None
    projected_cost_usd: Range | None = None
    phase: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    finished: bool = False

    @property
    def share(self) -> float | None:
        """The completed share of the task, from 0 to 1; None without a total."""
        if not self.total:
            return None
        return min(1.0, max(0.0, self.done / self.total))

    def as_json(self) -> dict[str, Any]:
        """Return the state as an entry of `progress.json`."""
        projected = self.projected_cost_usd
        task = TaskProgress(
            label=self.label,
            unit=self.unit,
            done=_short(self.done),
            total=None if self.total is None else _short(self.total),
            failed=self.failed,
            in_flight=self.in_flight,
            rate_per_s=self.rate_per_s,
            seconds_left=self.seconds_left,
            cost_usd=self.cost_usd,
            projected_cost_usd=None if projected is None else projected.expected,
            phase=self.phase,
            facts=dict(self.facts),
            finished=self.finished,
        )
        return asdict(task)


def _short(number: float) -> float:
    return int(number) if number == int(number) else round(number, 3)


class _Sample(NamedTuple):
    at_s: float
    amount: float


class RateWindow:
    """The rate of an amount over the last minute, or longer if it changes seldom.

    The first amount is the start: what was there before says nothing about the rate.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def add(self, now_s: float, amount: float) -> None:
        """Note the amount at a time; an amount that has decreased starts again."""
        samples = self._samples
        if samples and amount == samples[-1].amount:
            return
        if samples and amount < samples[-1].amount:
            samples.clear()
        samples.append(_Sample(now_s, amount))
        while len(samples) > LEAST_SAMPLES and samples[1].at_s < now_s - WINDOW_S:
            samples.popleft()

    def restart(self) -> None:
        """Forget all samples."""
        self._samples.clear()

    def per_s(self, now_s: float) -> float | None:
        """Return the amount per second; None until it has changed, and in the first seconds."""
        if len(self._samples) < 2 or now_s - self._samples[0].at_s < LEAST_S:
            return None
        first, last = self._samples[0], self._samples[-1]
        return (last.amount - first.amount) / (now_s - first.at_s)
