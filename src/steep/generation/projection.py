"""What is left of a generation while it runs: calls, tokens and dollars of each step.

The forecast is made when a phase begins, as `steep plan` makes it. Since then, calls that have
ended are subtracted, and as soon as a step has enough answers in this run, their mean takes the
place of what was forecast for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.ranges import CASES, Range
from steep.generation.forecast import NONE, SPREAD, Amounts, Forecast
from steep.generation.progress import StepKey, StepUsage

ENOUGH_ANSWERS = 20  # of a step, so that their mean is believed
NO_USAGE = StepUsage()


class Remaining(NamedTuple):
    """The usage of the calls that are left; the cost is None if a price is unknown."""

    calls: Range
    tokens: Range  # of answers
    cost_usd: Range | None


@dataclass(frozen=True, slots=True)
class Projection:
    """A forecast by step, and what this run had used of each step when it was made."""

    steps: Mapping[StepKey, Amounts]
    used: Mapping[StepKey, StepUsage]

    @classmethod
    def of(cls, found: Forecast, used: Mapping[StepKey, StepUsage]) -> Projection:
        """Return the projection of a forecast that was made now."""
        return cls({(each.recipe, each.step): each.to_do for each in found.steps}, dict(used))

    def remaining(
        self, used: Mapping[StepKey, StepUsage], only: Collection[StepKey] | None = None
    ) -> Remaining:
        """Return what is left of all steps, or only of some, after this use of each."""
        calls = tokens = NONE
        cost: Range | None = NONE
        for key, planned in self.steps.items():
            if only is not None and key not in only:
                continue
            now = used.get(key, NO_USAGE)
            left = _minus(planned.calls, now.calls - self.used.get(key, NO_USAGE).calls)
            calls += left
            tokens += _times(left, _per_call(planned.completion_tokens, planned, now.tokens, now))
            if cost is None or planned.cost_usd is None or now.cost_usd is None:
                cost = None
            else:
                cost += _times(left, _per_call(planned.cost_usd, planned, now.cost_usd, now))
        return Remaining(calls, tokens, cost)


def _minus(planned: Range, ended: int) -> Range:
    return planned.map(lambda calls: max(0.0, calls - ended))


def _per_call(forecast: Range, planned: Amounts, used: float, now: StepUsage) -> Range:
    """Return the use of one call: as it was in this run, or as forecast."""
    if now.calls >= ENOUGH_ANSWERS:
        mean = used / now.calls
        return Range(mean * (1 - SPREAD), mean, mean * (1 + SPREAD))
    return Range.around(
        *(forecast[each] / planned.calls[each] if planned.calls[each] else 0.0 for each in CASES)
    )


def _times(left: Range, one: Range) -> Range:
    return Range(*(left[each] * one[each] for each in CASES))
