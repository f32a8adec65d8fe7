"""Send calls to one endpoint, with retries, pauses, rate limits and adaptive concurrency.

Transient failures are retried after growing pauses with jitter, or after the time that the endpoint
asks for (Retry-After), within a total time. An overloaded endpoint gets fewer calls at once
(`throttling`); rate-limited attempts and failed connections do not count. What
concerns all calls ends the run (`endpoint_health`). All waits use the monotonic clock, so that a
wall clock that jumps changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

from steep.core.calls import Completion, Payable, Usage
from steep.core.formatting import duration
from steep.ledger.budget import (
    USUAL_CHARACTERS_PER_TOKEN,
    Reservation,
    is_counted,
    recounted,
    reservation,
    total,
    used,
)
from steep.ledger.endpoint_health import EndpointHealth
from steep.ledger.records import without_prompt
from steep.ledger.throttling import Concurrency, RateLimit
from steep.llm.client import Completes, FatalError, TransientError
from steep.llm.openai_errors import UNREACHABLE
from steep.llm.prices import Prices

LOST_CAUSE = 3  # calls given up, of an endpoint that has not completed any
LONGEST_PAUSE_S = 60.0  # of our own; an endpoint may ask for longer
LONGEST_AWAY_PAUSE_S = 10.0  # between two attempts to connect, which cost nothing

log = logging.getLogger("steep")
Sent = TypeVar("Sent", bound=Payable)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number and time of retries of a call, and the rate limits of an endpoint.

    Pauses between attempts double, and are shortened at random, so that calls that failed together
    are not retried together.
    """

    max_attempts: int = 6  # per call; rate-limited and unconnected ones do not count
    total_s: float = 900.0  # from the first attempt until a call counts as failed
    pause_s: float = 1.0  # before the first retry
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None  # prompts and answers


class Outcome(NamedTuple):
    """The outcome of a group of calls."""

    completions: list[Completion] | None  # None when the run stopped before there was an answer
    may_pass: bool = False  # it failed for a transient reason, so another round may succeed
    unaffordable: bool = False  # the budget allows no further attempt; nothing is reserved
    fatal: FatalError | None = None  # why further calls will not succeed either


@dataclass(slots=True)
class EndpointStatistics:
    """Counts of the attempts at an endpoint."""

    retries: int = 0  # attempts beyond the first of each group
    overloads: int = 0  # attempts that found the endpoint overloaded


@dataclass(slots=True)
class EndpointWorker(Generic[Sent]):
    """A client with its limits."""

    client: Completes[Sent]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    prices: Prices = field(default_factory=Prices)
    section: str = "generate"  # of the configuration, for messages
    clock: Callable[[], float] = time.monotonic
    statistics: EndpointStatistics = field(default_factory=EndpointStatistics)
    stopping: bool = False
    # Wait for an unreachable endpoint as long as the policy allows; or count each attempt.
    patient: bool = True
    # Called with calls whose attempt was lost; returns whether the budget allows another one.
    on_lost: Callable[[Sequence[Sent], TransientError], bool] = lambda calls, error: True
    concurrency: Concurrency = field(init=False)
    _requests: RateLimit = field(init=False)
    _tokens: RateLimit = field(init=False)
    _under_way: int = 0
    _waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)
    _not_before_s: float = float("-inf")
    _last_reply_s: float = float("-inf")
    _away_since_s: float | None = None
    _completed: int = 0
    _given_up_calls: int = 0
    _warned_uncounted: bool = False
    _logged_retry: bool = False
    answers: EndpointHealth = field(default_factory=EndpointHealth)
    _pauses: set[asyncio.Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.concurrency = Concurrency(self.client.concurrency)
        self._requests = RateLimit(self.policy.requests_per_minute)
        self._tokens = RateLimit(self.policy.tokens_per_minute)

    @property
    def stage(self) -> str:
        """The name of the stage in log lines."""
        return self.section.partition(".")[0]

    def most(self, calls: Sequence[Sent]) -> Reservation:
        """Return the most that a group of calls can use."""
        return total(reservation(call, self.prices) for call in calls)

    def stop(self) -> None:
        """Send nothing more; calls that wait for their turn or a retry stay missing."""
        self.stopping = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(False)
        for pause in self._pauses:
            if not pause.done():
                pause.set_result(None)

    async def send(self, calls: Sequence[Sent]) -> Outcome:
        """Complete a group of calls, with as many attempts as needed and allowed.

        Raises:
            FatalError: The endpoint will complete no call at all, or does not answer.
        """
        began_s = self.clock()
        attempts = tries = 0
        tokens = self._expected_tokens(calls)
        while await self._admitted(tokens):
            attempts += 1
            answer = await self._attempt(calls, tokens)
            if not isinstance(answer, TransientError):
                if attempts > 1:
                    answer = [replace(each, attempts=attempts) for each in answer]
                return Outcome(answer, fatal=self.answers.add(answer))
            lost = answer.billed or (answer.sent and not answer.answered)
            if lost and not self.on_lost(calls, answer):
                return Outcome(None, unaffordable=True)
            tries += self._is_try(answer)
            pause_s = self._pause_s(answer, attempts)
            if self._given_up(answer, tries, began_s, pause_s):
                self._check_alive(answer, calls[0], began_s)
                return Outcome([self._failed(c, answer, attempts, began_s) for c in calls], True)
            self.statistics.retries += 1
            self._log_retry(answer)
            await self._sleep(pause_s)
        return Outcome(None)

    def _expected_tokens(self, calls: Sequence[Sent]) -> float:
        """Return what providers count against a rate limit: the prompt and `max_tokens`."""
        if not self.policy.tokens_per_minute:
            return 0.0
        return sum(
            call.prompt_bound / USUAL_CHARACTERS_PER_TOKEN + call.answer_bound for call in calls
        )

    async def _attempt(
        self, calls: Sequence[Sent], tokens: float
    ) -> list[Completion] | TransientError:
        sent_s = self.clock()
        try:
            answers = map(recounted, await self.client.complete(calls))
            completions = list(map(without_prompt, calls, answers))
        except TransientError as error:
            self._record_failure(error, sent_s)
            return error
        finally:
            self._leave()
        self._answered(completions, tokens, sent_s)
        return completions

    async def _admitted(self, tokens: float) -> bool:
        """Wait for a turn; return False if the run stops first."""
        if self._under_way < self.concurrency.limit:
            self._under_way += 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            if not await turn:
                return False
        while not self.stopping and (wait_s := self._wait_s()) > 0:
            await self._sleep(wait_s)
        if self.stopping:
            self._leave()
            return False
        now_s = self.clock()
        self._requests.reserve(1, now_s)
        self._tokens.reserve(tokens, now_s)
        return True

    def _wait_s(self) -> float:
        now_s = self.clock()
        rate_s = max(self._requests.wait_s(now_s), self._tokens.wait_s(now_s))
        return max(self._not_before_s - now_s, rate_s)

    def _leave(self) -> None:
        """End an attempt, and admit as many waiting groups as the limit allows."""
        self._under_way -= 1
        while self._waiting and self._under_way < self.concurrency.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                self._under_way += 1

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops."""
        if self.stopping:
            return
        pause: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pauses.add(pause)
        try:
            await asyncio.wait([pause], timeout=seconds)
        finally:
            self._pauses.discard(pause)

    def _answered(self, completions: Sequence[Completion], tokens: float, sent_s: float) -> None:
        self._replied(self.clock())
        self._completed += 1
        self.concurrency.succeeded(sent_s)
        uncounted = [each for each in completions if not is_counted(each)]
        if any(each.text or each.result for each in uncounted):
            self._warn_uncounted()
        elif not uncounted and self.policy.tokens_per_minute:
            tokens_used = sum(used(c.usage, c.cost_usd).tokens for c in completions)
            self._tokens.give_back(tokens - tokens_used)

    def _replied(self, now_s: float) -> None:
        self._last_reply_s = now_s
        if self._away_since_s is not None:
            self._warn("can be reached again, after %s", duration(now_s - self._away_since_s))
            self._away_since_s = None

    def _warn(self, text: str, *values: object) -> None:
        log.warning(f"%s: %s {text}", self.stage, self.client.endpoint, *values)

    def _log_retry(self, error: TransientError) -> None:
        """Log once that attempts fail; a generation shows their number in its progress line."""
        if self.stage != "generate" and not self._logged_retry:
            log.info("%s: %s: %s; trying again", self.stage, self.client.endpoint, error)
            self._logged_retry = True

    def _warn_uncounted(self) -> None:
        if not self._warned_uncounted:
            self._warn(
                "reports no usable token counts; the cost of such answers is unknown, "
                "and each counts against limits as the most that it can have used"
            )
        self._warned_uncounted = True

    def _record_failure(self, error: TransientError, sent_s: float) -> None:
        """Update the state of the endpoint after a failed attempt."""
        now_s = self.clock()
        if error.answered:
            self._replied(now_s)
        elif not error.sent and self._away_since_s is None:
            self._away_since_s = now_s
            if self.patient:
                most = duration(self.policy.total_s)
                self._warn("cannot be reached; waiting up to %s for it (%s)", most, error)
        if error.overloaded:
            self.statistics.overloads += 1
            self.concurrency.overloaded(sent_s, now_s)
        if error.wait_s is not None:
            if error.wait_s > self.policy.total_s:
                most = f"{self.section}.retry_minutes, {duration(self.policy.total_s)}"
                raise FatalError(
                    "The endpoint asks for a long pause.",
                    where=self.client.endpoint,
                    found=f"Retry-After: {duration(error.wait_s)}",
                    expected=f"at most {most}",
                    hint="run the same command again later; it continues where it was",
                ) from error
            self._not_before_s = max(self._not_before_s, now_s + error.wait_s)

    def _is_try(self, error: TransientError) -> bool:
        if not error.sent:
            return not self.patient
        return not (error.overloaded and error.answered)

    def _pause_s(self, error: TransientError, attempts: int) -> float:
        most_s = LONGEST_PAUSE_S if error.sent else LONGEST_AWAY_PAUSE_S
        longest_s = min(most_s, self.policy.pause_s * 2.0 ** min(attempts - 1, 10))
        return (error.wait_s or 0.0) + random.uniform(longest_s / 2, longest_s)

    def _given_up(self, error: TransientError, tries: int, began_s: float, pause_s: float) -> bool:
        if not error.sent and self._away_since_s is not None:
            began_s = self._away_since_s
        too_late = self.clock() + pause_s > began_s + self.policy.total_s
        return tries >= self.policy.max_attempts or too_late

    def _check_alive(self, error: TransientError, call: Sent, began_s: float) -> None:
        """Raise an error if the endpoint fails for all calls, not only for this one."""
        self._given_up_calls += 1
        where = f"{self.client.endpoint}, model '{call.model}'"
        if not self._completed and self._given_up_calls >= LOST_CAUSE:
            raise FatalError(
                "The endpoint answers, but completes no call: "
                f"{self._given_up_calls} calls failed.",
                where=where,
                found=error,
                hint=f"check that {self.section}.base_url is the address of a model's API, and its "
                "health; the same command continues",
            )
        if not (error.answered or (error.sent and self._last_reply_s > began_s)):
            problem, hint = UNREACHABLE
            hint = hint.format(section=self.section)
            raise FatalError(problem, where=where, found=error, hint=hint)

    def _failed(
        self, call: Sent, error: TransientError, attempts: int, began_s: float
    ) -> Completion:
        return Completion(
            call_id=call.id,
            text="",
            finish_reason="error",
            usage=Usage(),
            cost_usd=None,
            latency_s=self.clock() - began_s,
            endpoint=self.client.endpoint,
            attempts=attempts,
            error=f"{error} [{self.client.endpoint}]",
        )
