"""A quantity that is not known exactly: low, expected, high."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Case = Literal["low", "expected", "high"]
CASES: tuple[Case, ...] = ("low", "expected", "high")


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity that is not known exactly."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """Return the range of a known quantity."""
        return cls(value, value, value)

    @classmethod
    def around(cls, one: float, expected: float, other: float) -> Range:
        """Return the range of an expectation and two extremes in any order and position."""
        return cls(min(one, expected, other), expected, max(one, expected, other))

    def times(self, factor: float) -> Range:
        """Return the range scaled by a factor of at least 0."""
        return self.map(lambda value: factor * value)

    def map(self, function: Callable[[float], float]) -> Range:
        """Return the range after a non-decreasing function."""
        return Range(function(self.low), function(self.expected), function(self.high))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __getitem__(self, case: Case) -> float:
        return float(getattr(self, case))
