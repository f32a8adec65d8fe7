"""State and result of a generation, and its end by Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from steep.core.calls import Completion
from steep.generation.totals import Totals
from steep.ledger.budget import NOTHING, Reservation
from steep.ledger.endpoint_worker import EndpointStatistics
from steep.ledger.records import Lost, has_failed

Phase = Literal["preparing", "texts", "salvage", "stopping"]
StepKey = tuple[str, str]  # the names of a recipe and of its step
NOTHING_LOST = Lost()


@dataclass(frozen=True, slots=True)
class StepUsage:
    """The calls of a step that have ended in this run; the cost is None if it is unknown."""

    calls: int = 0
    tokens: int = 0  # of the answers
    cost_usd: float | None = 0.0

    def plus(self, completion: Completion) -> StepUsage:
        """Return the usage with that of another call."""
        costs = self.cost_usd, 0.0 if has_failed(completion) else completion.cost_usd
        return StepUsage(
            self.calls + 1,
            self.tokens + completion.usage.completion_tokens,
            None if None in costs else sum(cost or 0.0 for cost in costs),
        )


@dataclass(frozen=True, slots=True)
class GenerationProgress:
    """The state of a running generation; `new` is what this run has added."""

    phase: Phase = "preparing"
    planned: int = 0  # calls of the phase
    finished: int = 0  # of them, in the ledger
    in_flight: int = 0  # sent and not answered; of batches, all in the open ones
    new: int = 0
    new_failed: int = 0
    new_tokens: int = 0
    new_prompt_tokens: int = 0
    new_cached_tokens: int = 0
    new_cost_usd: float | None = 0.0  # None if a price is unknown
    retries: int = 0
    overloads: int = 0
    may_send: int = 0  # limit of concurrent calls, learned from overloads
    asked_to_stop: bool = False  # by Ctrl-C, not because of an error
    batches: int | None = None  # open at a provider; None for a run without batches
    answered: int = 0  # of their calls, as the provider counts them
    new_information: Mapping[str, float] = field(default_factory=dict)  # by recipe; of the first
    by_step: Mapping[StepKey, StepUsage] = field(default_factory=dict)  # of this run
    latest: str = ""  # the last text

    def after(
        self, completions: Sequence[Completion], steps: Sequence[StepKey]
    ) -> GenerationProgress:
        """Return the state once these completions, each of a step, are recorded."""
        by_step = dict(self.by_step)
        for step, each in zip(steps, completions, strict=True):
            by_step[step] = by_step.get(step, StepUsage()).plus(each)
        texts = [each.text for each in completions if each.text]
        answered = [each for each in completions if not has_failed(each)]
        costs = [self.new_cost_usd, *(each.cost_usd for each in answered)]
        usages = [each.usage for each in answered]
        return replace(
            self,
            finished=self.finished + len(completions),
            new=self.new + len(completions),
            new_failed=self.new_failed + len(completions) - len(answered),
            new_tokens=self.new_tokens + sum(each.completion_tokens for each in usages),
            new_prompt_tokens=self.new_prompt_tokens + sum(each.prompt_tokens for each in usages),
            new_cached_tokens=self.new_cached_tokens + sum(each.cached_tokens for each in usages),
            new_cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
            by_step=by_step,
            latest=texts[-1] if texts else self.latest,
        )


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """The result of a generation.

    Attributes:
        totals: Outcomes of the plan, in this run and before it.
        over_budget: The rest of the budget did not suffice for a call, or for a batch that is worth
            a day's wait.
        stopped: The run was stopped by a `StopRequest`.
        dropped: The most that calls can cost that were sent and, as the run was aborted, not waited
            for.
        lost: Attempts that may be billed, but returned nothing.
        batches: Number of batches that continue at the provider; None for a run without batches.
        held_back: Calls were not submitted because the rest of the budget is reserved for the open
            batches.
        held: The most that the open batches may take of the budget; nothing without a limit.
    """

    totals: Totals
    over_budget: bool
    stopped: bool
    statistics: EndpointStatistics = field(default_factory=EndpointStatistics)
    dropped: tuple[Reservation, ...] = ()
    lost: Lost = NOTHING_LOST
    batches: int | None = None
    held_back: bool = False
    held: Reservation = NOTHING


class StopRequest:
    """Ends a run: `drain` at the first Ctrl-C, `abort` at the second."""

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

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Stop at Ctrl-C or SIGTERM; to be entered in an event loop.

        A command that was started to ignore Ctrl-C (in the background of a script) continues to.
        """
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        (self.abort if self.draining else self.drain)()
