"""The progress of a generation on the terminal and in `progress.json`.

It is fed from two sides: the scheduler tells which calls have ended, and a model in this process
tells each token, since a batch of its calls may take minutes. A call that is being written counts
as the part of its expected length that is there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from steep.core.formatting import count, dollars, plural, shorten
from steep.core.progress import Progress
from steep.core.progress_state import RateWindow
from steep.core.progress_text import rate
from steep.core.ranges import Range
from steep.generation.forecast import Forecast
from steep.generation.progress import GenerationProgress, Phase, StepKey
from steep.generation.projection import Projection, Remaining
from steep.ledger.budget import USUAL_SHARE
from steep.llm.client import DecodingStep

MOST_WRITTEN = 0.95  # of a call that has not ended
USUAL = USUAL_SHARE[1]
LATEST_CHARACTERS = 100
IDLE = DecodingStep(0)

log = logging.getLogger("steep")


class Amount(NamedTuple):
    """Completed calls, and all; `about` if that is an estimate."""

    done: float
    total: float
    about: bool


class GenerationDisplay:
    """Shows a generation.

    Args:
        forecast: Returns the calls to do as of now; called when a phase begins.
        preparing: The steps whose answers others need.
        spent_usd: The known cost of all earlier runs of the project.
    """

    def __init__(
        self,
        forecast: Callable[[], Forecast],
        preparing: Collection[StepKey] = (),
        spent_usd: float = 0.0,
    ) -> None:
        self._forecast, self._preparing, self._spent_usd = forecast, preparing, spent_usd
        self._progress = Progress("generate", None, "calls")
        self._state = GenerationProgress()
        self._phase: Phase | None = None
        self._projection: Projection | None = None
        self._remaining: Remaining | None = None
        self._step = IDLE
        self._decoded = 0  # tokens of models in this process
        self._tokens_per_s = RateWindow()

    def load(self, model: str) -> None:
        """Show that a model is loaded into this process."""
        self._progress.update(0, phase=f"loading {model}")

    def on_step(self, step: DecodingStep) -> None:
        """Show a step of a model in this process; called from its thread."""
        self._decoded += step.new_tokens
        self._step = step
        if self._phase is not None:
            self._show()

    def on_progress(self, state: GenerationProgress) -> None:
        """Show the new state of the run."""
        if state.finished != self._state.finished:
            self._step = IDLE
        self._state = state
        if state.phase != self._phase:
            self._phase = state.phase
            self._begin_phase(state)
        if self._projection is not None:
            self._remaining = self._projection.remaining(state.by_step, self._steps())
        self._show()

    def finish(self) -> None:
        """Replace the panel by the totals."""
        state = self._state
        parts = [plural(state.new, "call"), f"{self._tokens:,} tokens written"]
        if state.new_failed:
            parts.insert(1, f"{state.new_failed:,} failed")
        if state.new_cost_usd:
            parts.append(f"cost {dollars(state.new_cost_usd)}")
        elif state.new and state.new_cost_usd is None:
            parts.append("cost unknown")
        self._progress.finish(f"in this run, {', '.join(parts)}")

    def _begin_phase(self, state: GenerationProgress) -> None:
        if state.phase != "stopping":
            self._projection = self._projected(state)
        elif state.in_flight and state.batches is None:
            calls = plural(state.in_flight, "call")
            often = "again" if state.asked_to_stop else "twice"
            text = "generate: stopping; waiting for %s in flight (Ctrl-C %s drops them)"
            log.info(text, calls, often)

    def _projected(self, state: GenerationProgress) -> Projection | None:
        """Return the projection of a phase; None if an installed recipe cannot be forecast."""
        try:
            return Projection.of(self._forecast(), state.by_step)
        except Exception as error:  # the calls need no forecast, so the run continues
            self._remaining = None
            text = "generate: what is left of the plan is not shown, as its forecast failed: %r"
            log.warning(text, error)
            return None

    @property
    def _tokens(self) -> int:
        return max(self._decoded, self._state.new_tokens)

    def _steps(self) -> Collection[StepKey] | None:
        """Return the steps of the phase; None for all."""
        assert self._projection is not None
        if self._state.phase == "preparing" and self._state.batches is None:
            return None
        return self._projection.steps.keys() - set(self._preparing)

    def _show(self) -> None:
        state, now_s = self._state, time.monotonic()
        if self._tokens:  # a model in this process has read its prompts
            self._tokens_per_s.add(now_s, self._tokens)
        amount = self._amount()
        self._progress.update(
            amount.done,
            amount.total,
            about=amount.about,
            failed=state.new_failed,
            in_flight=state.in_flight,
            phase=state.phase,
            cost_usd=state.new_cost_usd,
            projected_cost_usd=self._projected_usd(),
            seconds_left=self._seconds_left(now_s),
            facts=self._facts(now_s),
        )

    def _amount(self) -> Amount:
        """Return how many calls of the phase are complete, parts of calls included."""
        state, left = self._state, self._remaining
        if state.batches is not None:
            done = float(state.new + state.answered)
            total = state.new + (state.in_flight if left is None else left.calls.expected)
            return Amount(done, max(total, done, state.new + state.in_flight), True)
        done, planned = state.finished + self._written(), float(max(state.planned, state.finished))
        if left is None or state.phase in ("preparing", "stopping"):
            return Amount(done, planned, False)
        # A target or a budget may end the run before the plan's end.
        total = min(planned, max(state.finished + left.calls.expected, done))
        return Amount(done, total, total < planned)

    def _written(self) -> float:
        """Return how many calls the model in this process has written of those in flight."""
        step = self._step
        if not step.calls:
            return 0.0
        expected = max(1.0, self._expected_tokens() or USUAL * step.most_tokens)
        writing = min(step.calls - step.ended, step.new_tokens)
        return step.ended + writing * min(step.tokens / expected, MOST_WRITTEN)

    def _expected_tokens(self) -> float | None:
        left = self._remaining
        return left.tokens.expected / left.calls.expected if left and left.calls.expected else None

    def _projected_usd(self) -> Range | None:
        spent, left = self._state.new_cost_usd, self._remaining
        if spent is None or left is None or left.cost_usd is None:
            return None
        return left.cost_usd + Range.exactly(spent)

    def _seconds_left(self, now_s: float) -> float | None:
        """Return the seconds of all phases by the tokens that are left.

        Without a model in this process, the calls of the last phase tell it better.
        """
        left, per_s = self._remaining, self._tokens_per_s.per_s(now_s)
        tells_tokens = self._state.phase == "preparing" or self._step.calls
        if not tells_tokens or left is None or not per_s:
            return None
        return max(0.0, left.tokens.expected - self._unrecorded()) / per_s

    def _unrecorded(self) -> int:
        return max(0, self._decoded - self._state.new_tokens)

    def _facts(self, now_s: float) -> dict[str, object]:
        state, step = self._state, self._step
        facts: dict[str, object] = {}
        if state.batches is not None:
            facts["batches"] = state.batches
            facts |= {"answered there": count(state.answered), "completed": count(state.new)}
        if self._tokens:
            per_s = self._tokens_per_s.per_s(now_s)
            facts["tokens"] = f"{self._tokens:,}" + (f" ({rate(per_s)})" if per_s else "")
        if step.calls:
            facts["this batch"] = f"{step.ended:,} of {step.calls:,} texts ended, " + (
                f"the others at token {step.tokens:,} of at most {step.most_tokens:,}"
                if step.tokens
                else "reading prompts"
            )
        if state.new and state.new_cost_usd is None:
            facts["cost"] = "unknown"
        elif state.new_cost_usd is not None and self._spent_usd and state.new_cost_usd:
            facts["project cost"] = dollars(self._spent_usd + state.new_cost_usd)
        if state.new_prompt_tokens:
            facts["cached"] = f"{state.new_cached_tokens / state.new_prompt_tokens:.0%}"
        if state.overloads:
            facts |= {"overloads": count(state.overloads), "at once": count(state.may_send)}
        if state.new_information:
            shares = (f"{name} {share:.0%}" for name, share in state.new_information.items())
            facts["new information"] = ", ".join(shares)
        if state.latest and state.phase != "preparing":
            facts["latest"] = _first_words(state.latest)
        return facts


def _first_words(text: str) -> str:
    """Return the beginning of a text without what could control a terminal."""
    words = " ".join(text[: 4 * LATEST_CHARACTERS].split())
    return shorten("".join(each for each in words if each.isprintable()), LATEST_CHARACTERS)
