"""What a run tells while it goes on and when it has ended, and how somebody outside ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from steep.generation.plan import Totals
from steep.ledger.budget import Reservation
from steep.ledger.endpoint_worker import EndpointStatistics
from steep.ledger.records import Lost

Phase = Literal["preparing", "texts", "salvage", "stopping"]


@dataclass(frozen=True, slots=True)
class GenerationProgress:
    """How far a phase is. `finished` counts all its calls in the ledger, `new` those of this run.

    Attributes:
        new_prompt_tokens: Of the answers of this run; `new_cached_tokens` are part of them.
        new_cost_usd: Cost of this run so far; None when a price is not known.
        may_send: Calls that the endpoints are thought to take at once now.
        asked_to_stop: Whether it stops because of Ctrl-C, and not of an error.
    """

    phase: Phase
    planned: int = 0
    finished: int = 0
    in_flight: int = 0
    new: int = 0
    new_failed: int = 0
    new_tokens: int = 0
    new_prompt_tokens: int = 0
    new_cached_tokens: int = 0
    new_cost_usd: float | None = 0.0
    retries: int = 0
    overloads: int = 0
    may_send: int = 0
    asked_to_stop: bool = False


class StopRequest:
    """How somebody outside ends a run: `drain` at the first Ctrl-C, `abort` at the second."""

    def __init__(self) -> None:
        self.draining = False
        self.aborting = False
        self.on_change: Callable[[], None] = lambda: None

    def drain(self) -> None:
        """Send nothing more, and wait for what is in flight."""
        self.draining = True
        self.on_change()

    def abort(self) -> None:
        """Do not wait for anything."""
        self.draining = self.aborting = True
        self.on_change()


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """How a run went: what came of the plan, and of the attempts.

    Attributes:
        totals: What came of the plan, whichever run did it.
        over_budget: The run ended because what was left of the budget did not suffice for a call.
        stopped: Somebody stopped it.
        statistics: Of the attempts of this run.
        dropped: What calls can cost at most that were sent and, as the run was aborted, not waited
            for: a provider may have billed them.
        lost: Attempts whose answers were broken or never came: likewise.
    """

    totals: Totals
    over_budget: bool
    stopped: bool
    statistics: EndpointStatistics
    dropped: tuple[Reservation, ...]
    lost: Lost


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a run is.

    Attributes:
        batches: Open ones, with `waiting` calls in them.
        answered: Of these calls, how many the provider says it has answered.
        new: Calls that were landed in this run; `new_failed` are part of them.
        new_tokens: Written, of this run.
        new_cost_usd: Of this run; None when a price is not known.
    """

    phase: Literal["preparing", "texts", "stopping"] = "preparing"
    batches: int = 0
    waiting: int = 0
    answered: int = 0
    new: int = 0
    new_failed: int = 0
    new_tokens: int = 0
    new_cost_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How a run went.

    Attributes:
        totals: What came of the plan; `submitted` of it wait at the provider.
        over_budget: What is neither spent nor held does not suffice: for a call, or for a batch
            that is worth a day's wait.
        stopped: Somebody stopped it.
        batches: How many go on at the provider.
        held_back: Calls were not submitted because the rest of the budget is held for the open
            batches; what these leave of it is free once they have landed.
        held_tokens: What the open batches may take of the budget at most; 0 if it has no limit.
        held_usd: Likewise, in dollars.
    """

    totals: Totals
    over_budget: bool
    stopped: bool
    batches: int
    held_back: bool = False
    held_tokens: int = 0
    held_usd: float = 0.0
