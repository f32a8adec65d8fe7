"""Progress and result of a generation, and its end by Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from steep.core.calls import Completion
from steep.core.formatting import duration, plural
from steep.core.progress import Progress
from steep.generation.totals import Totals
from steep.ledger.budget import NOTHING, Reservation
from steep.ledger.endpoint_worker import EndpointStatistics
from steep.ledger.records import Lost, has_failed

Phase = Literal["preparing", "texts", "salvage", "stopping"]
NOTHING_LOST = Lost()

log = logging.getLogger("steep")


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

    def after(self, completions: Sequence[Completion]) -> GenerationProgress:
        """Return the state once these completions are recorded."""
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


class Display:
    """One progress line fed from two sides: calls by the scheduler, tokens by the decoder.

    A model in this process reports every token; an endpoint reports them with the whole answer.
    """

    def __init__(self) -> None:
        self._progress = Progress("generate", None, "tokens written")
        self._decoded = 0
        self._state = GenerationProgress()
        self._phase: Phase | None = None
        self._phase_began = (time.monotonic(), 0)  # and how many calls were finished then

    def on_tokens(self, count: int) -> None:
        """Show that tokens were decoded in this process."""
        self._decoded += count
        if self._phase is not None:
            self._show()

    def on_progress(self, state: GenerationProgress) -> None:
        """Show the new state of the run."""
        if state.phase != self._phase:
            self._phase = state.phase
            self._phase_began = (time.monotonic(), state.finished)
            if state.phase == "stopping" and state.in_flight and state.batches is None:
                calls = plural(state.in_flight, "call")
                often = "again" if state.asked_to_stop else "twice"
                text = "generate: stopping; waiting for %s in flight (Ctrl-C %s drops them)"
                log.info(text, calls, often)
        self._state = state
        self._show()

    def finish(self) -> None:
        """Replace the line by the last one."""
        self._progress.finish(f"{self._tokens:,} tokens written")

    @property
    def _tokens(self) -> int:
        return max(self._decoded, self._state.new_tokens)

    def _show(self) -> None:
        state = self._state
        facts = self._of_calls(state) if state.batches is None else self._of_batches(state)
        if state.new_information:
            shares = (f"{name} {share:.0%}" for name, share in state.new_information.items())
            facts["new_information"] = ", ".join(shares)
        self._progress.update(self._tokens, **facts)

    def _of_batches(self, state: GenerationProgress) -> dict[str, object]:
        cost = "unknown" if state.new_cost_usd is None else f"${state.new_cost_usd:.2f}"
        return {
            "phase": state.phase,
            "batches": state.batches,
            "waiting": f"{state.in_flight:,}",
            "answered_there": f"{state.answered:,}",
            "completed": f"{state.new:,}",
            "failed": state.new_failed,
            "cost": cost,
        }

    def _of_calls(self, state: GenerationProgress) -> dict[str, object]:
        facts: dict[str, object] = {"calls": f"{state.finished:,}/{state.planned:,}"}
        left = max(0, state.planned - state.finished)
        began_s, finished = self._phase_began
        if state.finished > finished and state.phase != "stopping":
            per_call_s = (time.monotonic() - began_s) / (state.finished - finished)
            facts["time_left"] = duration(per_call_s * left)
        if state.new and state.new_cost_usd is None:
            facts["cost"] = "unknown"
        elif state.new and state.new_cost_usd is not None:
            projected = state.new_cost_usd * (1 + left / state.new)
            facts["cost"] = f"${state.new_cost_usd:,.2f} of about ${projected:,.2f}"
        if state.new_failed:
            facts["failed"] = state.new_failed
        facts |= {"in_flight": state.in_flight, "phase": state.phase}
        if state.new_prompt_tokens:
            facts["cached"] = f"{state.new_cached_tokens / state.new_prompt_tokens:.0%}"
        if state.overloads:
            facts |= {"overloads": state.overloads, "at_once": state.may_send}
        return facts
