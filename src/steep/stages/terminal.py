"""What a person sees while texts are written, and what Ctrl-C does then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterator

from steep.core.formatting import duration
from steep.core.progress import Progress
from steep.generation import progress
from steep.generation.progress import BatchProgress, StopRequest

log = logging.getLogger("steep")


@contextlib.contextmanager
def interruptible(stop: StopRequest) -> Iterator[None]:
    """Ctrl-C once waits for what is in flight; twice does not. To be entered in an event loop.

    A command that was started deaf to Ctrl-C (in the background of a script) stays so.
    """
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _on_signal(stop: StopRequest) -> None:
    if stop.draining:
        stop.abort()
    else:
        stop.drain()


NOTHING = progress.GenerationProgress("preparing")


class Display:
    """One progress line fed from two sides: calls by the scheduler, tokens by the decoder.

    A model in this process tells every token; an endpoint tells them when a call has come back.
    """

    def __init__(self) -> None:
        self._progress = Progress("generate", None, "tokens written")
        self._decoded = 0
        self._earlier_tokens = 0  # of the rounds before this one, on the way to a goal
        self._state: progress.GenerationProgress | None = None
        self._batches: BatchProgress | None = None
        self._phase_began = (time.monotonic(), 0)  # and how many calls were finished then

    def on_tokens(self, count: int) -> None:
        """Some tokens were decoded in this process."""
        self._decoded += count
        self._show()

    def on_progress(self, state: progress.GenerationProgress) -> None:
        """The scheduler has come further."""
        stopped = state.phase == "stopping" and self._state and self._state.phase != "stopping"
        if stopped and state.in_flight:
            log.info(
                "generate: stopping; %s waited for (Ctrl-C %s abandons what is not answered)",
                "1 call in flight is"
                if state.in_flight == 1
                else f"{state.in_flight:,} calls in flight are",
                "again" if state.asked_to_stop else "twice",
            )
        if self._state is not None and state.new < self._state.new:
            self._earlier_tokens += self._state.new_tokens
        if self._state is None or self._state.phase != state.phase:
            self._phase_began = (time.monotonic(), state.finished)
        self._state = state
        self._show()

    def on_batch_progress(self, state: BatchProgress) -> None:
        """A provider's batches have come further."""
        if self._batches is not None and state.new < self._batches.new:
            self._earlier_tokens += self._batches.new_tokens
        self._batches = state
        cost = "unknown" if state.new_cost_usd is None else f"${state.new_cost_usd:.2f}"
        self._progress.update(
            self._tokens,
            phase=state.phase,
            batches=state.batches,
            waiting=f"{state.waiting:,}",
            answered_there=f"{state.answered:,}",
            completed=f"{state.new:,}",
            failed=state.new_failed,
            cost=cost,
        )

    def finish(self) -> None:
        """Say the last word."""
        self._progress.finish(f"{self._tokens:,} tokens written")

    @property
    def _tokens(self) -> int:
        of_this_round = (self._batches or self._state or NOTHING).new_tokens
        return max(self._decoded, self._earlier_tokens + of_this_round)

    def _show(self) -> None:
        if (state := self._state) is None:
            return
        facts: dict[str, object] = {"calls": f"{state.finished:,}/{state.planned:,}"}
        if left_s := self._left_s(state):
            facts["time_left"] = duration(left_s)
        if state.new:
            facts |= self._money(state)
        if state.new_failed:
            facts["failed"] = state.new_failed
        facts |= {"in_flight": state.in_flight, "phase": state.phase}
        if state.new_prompt_tokens:
            facts["cached"] = f"{state.new_cached_tokens / state.new_prompt_tokens:.0%}"
        if state.overloads:
            facts["overloads"] = state.overloads
            facts["at_once"] = state.may_send
        self._progress.update(self._tokens, **facts)

    def _money(self, state: progress.GenerationProgress) -> dict[str, object]:
        """What this run has cost, and what it will have when the phase ends."""
        if state.new_cost_usd is None:
            return {"cost": "unknown"}
        left = max(0, state.planned - state.finished)
        projected = state.new_cost_usd * (1 + left / state.new)
        return {"cost": f"${state.new_cost_usd:,.2f} of about ${projected:,.2f}"}

    def _left_s(self, state: progress.GenerationProgress) -> float | None:
        began_s, finished = self._phase_began
        made = state.finished - finished
        if made <= 0 or state.phase == "stopping":
            return None
        return (time.monotonic() - began_s) / made * max(0, state.planned - state.finished)
