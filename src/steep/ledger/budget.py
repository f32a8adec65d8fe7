"""A hard limit on tokens and dollars: reserved before a call is sent, spent when it has ended.

What is spent and what is reserved never exceeds the limit together. So a run ends below its limit
as long as no call takes more than was reserved for it; reservations are upper bounds, see
`steep.generation.estimate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from steep.core.calls import Completion


class Reservation(NamedTuple):
    """What a call may take at most. `cost_usd` is None when the price is not known."""

    tokens: int
    cost_usd: float | None


NOTHING = Reservation(0, 0.0)


def total(reservations: Iterable[Reservation]) -> Reservation:
    """The sum; its price is unknown if any is."""
    tokens, cost_usd = 0, 0.0
    unknown = False
    for each in reservations:
        tokens += each.tokens
        cost_usd += each.cost_usd or 0.0
        unknown = unknown or each.cost_usd is None
    return Reservation(tokens, None if unknown else cost_usd)


class Budget:
    """Limits for everything that was ever spent; None is no limit.

    Args:
        max_tokens: Prompts and answers.
        max_cost_usd: Dollars.
        spent_tokens: What earlier runs have spent.
        spent_usd: Likewise, in dollars.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
        *,
        spent_tokens: int = 0,
        spent_usd: float = 0.0,
    ) -> None:
        self.max_tokens = max_tokens
        self.max_cost_usd = max_cost_usd
        self.spent_tokens = spent_tokens
        self.spent_usd = spent_usd
        self.reserved_tokens = 0
        self.reserved_usd = 0.0

    def reserve(self, most: Reservation) -> bool:
        """Rejected what a call may take; say whether there was enough left.

        Raises:
            ValueError: There is a limit in dollars, and the call has no price.
        """
        if self.max_tokens is not None:
            held = self.spent_tokens + self.reserved_tokens
            if held + most.tokens > self.max_tokens:
                return False
        if self.max_cost_usd is not None:
            if most.cost_usd is None:
                raise ValueError("a limit in dollars needs a price")
            if self.spent_usd + self.reserved_usd + most.cost_usd > self.max_cost_usd:
                return False
        self.reserved_tokens += most.tokens
        self.reserved_usd += most.cost_usd or 0.0
        return True

    def spend(self, completion: Completion) -> None:
        """Count what a call took; what was reserved for it is released apart."""
        usage = completion.usage
        self.spent_tokens += usage.prompt_tokens + usage.completion_tokens
        self.spent_usd += completion.cost_usd or 0.0

    def spend_most(self, most: Reservation) -> None:
        """Count a call of which nobody knows what it took as the most that it may have taken."""
        self.spent_tokens += most.tokens
        self.spent_usd += most.cost_usd or 0.0

    def release(self, reserved: Reservation) -> None:
        """Give back what was reserved for a call, now that it has ended."""
        self.reserved_tokens -= reserved.tokens
        self.reserved_usd -= reserved.cost_usd or 0.0
