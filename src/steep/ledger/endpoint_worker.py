"""One endpoint, from the scheduler's side: retries, pauses, rate limits and concurrency.

Only what can pass is tried again, after growing pauses with jitter, or as long as the endpoint asks
(Retry-After); all of it within a total time. An endpoint that is asked for too much gets less at
once (`aimd`); being told to wait is not counted as a try, nor is a connection that was not made.
What concerns all calls ends the run: see `verdicts`. All waits are measured on the monotonic clock,
so that a wall clock that jumps changes nothing.
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
from steep.ledger import endpoint_health
from steep.ledger.aimd import Concurrency
from steep.ledger.bounds import (
    USUAL_CHARACTERS_PER_TOKEN,
    is_counted,
    recounted,
    reservation,
)
from steep.ledger.budget import Reservation, total
from steep.ledger.rate import RateLimit
from steep.ledger.records import without_prompt
from steep.llm.client import Completes, FatalError, TransientError
from steep.llm.prices import Prices

LOST_CAUSE = 3  # calls given up, of an endpoint that has not completed any
LONGEST_PAUSE_S = 60.0  # of our own; an endpoint may ask for longer
LONGEST_AWAY_PAUSE_S = 10.0  # between two attempts to connect: that costs nobody anything

log = logging.getLogger("steep")
Sent = TypeVar("Sent", bound=Payable)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a call is tried.

    Attributes:
        max_attempts: Tries of a call; those that only met an overloaded endpoint, or none, do not
            count.
        total_s: From its first try; then it counts as failed.
        pause_s: The first pause before a retry; each next one is twice as long, and all are
            shortened by chance, so that calls that failed together do not come back together.
        requests_per_minute: Of an endpoint; None is no limit.
        tokens_per_minute: Likewise, prompts and answers.
    """

    max_attempts: int = 6
    total_s: float = 900.0
    pause_s: float = 1.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Outcome(NamedTuple):
    """What came of a group.

    Attributes:
        completions: One a call; None when the run stopped before there was an answer.
        may_pass: It failed in a way that may pass: worth another round.
        unaffordable: The budget did not pay for another attempt, and holds nothing for it.
        fatal: Why nothing good is to be expected of further calls.
    """

    completions: list[Completion] | None
    may_pass: bool = False
    unaffordable: bool = False
    fatal: FatalError | None = None


@dataclass(slots=True)
class EndpointStatistics:
    """What happened to the attempts of a lane.

    Attributes:
        retries: Attempts beyond the first of each group.
        overloads: Attempts that met an overloaded endpoint.
    """

    retries: int = 0
    overloads: int = 0


@dataclass(slots=True)
class EndpointWorker(Generic[Sent]):
    """A client with its limits.

    Attributes:
        section: Of the configuration, for messages: where the fields of this endpoint stand.
        patient: Whether an endpoint that cannot be reached is waited for as long as the policy
            allows; otherwise each attempt to connect is a try.
        on_lost: Told of calls whose attempt was lost; says whether another one may be paid for.
    """

    client: Completes[Sent]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    prices: Prices = field(default_factory=Prices)
    section: str = "generate"
    clock: Callable[[], float] = time.monotonic
    statistics: EndpointStatistics = field(default_factory=EndpointStatistics)
    stopping: bool = False
    patient: bool = True
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
    _told_uncounted: bool = False
    _told_retry: bool = False
    answers: endpoint_health.EndpointHealth = field(default_factory=endpoint_health.EndpointHealth)
    _pauses: set[asyncio.Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.concurrency = Concurrency(self.client.concurrency)
        self._requests = RateLimit(self.policy.requests_per_minute)
        self._tokens = RateLimit(self.policy.tokens_per_minute)

    @property
    def stage(self) -> str:
        """What the log calls the work of this endpoint."""
        return self.section.partition(".")[0]

    def most(self, calls: Sequence[Sent]) -> Reservation:
        """What a group of calls may take at most."""
        return total(reservation(call, self.prices) for call in calls)

    def stop(self) -> None:
        """Send nothing more; what waits for its turn or for a retry is left to do."""
        self.stopping = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(False)
        for pause in self._pauses:
            if not pause.done():
                pause.set_result(None)

    async def send(self, calls: Sequence[Sent]) -> Outcome:
        """Complete a group of calls, with as many attempts as it takes and the policy allows.

        Raises:
            FatalError: The endpoint will complete no call at all, or is gone.
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
            self._tell_retry(answer)
            await self._sleep(pause_s)
        return Outcome(None)

    def _expected_tokens(self, calls: Sequence[Sent]) -> float:
        """What providers count against a limit as a call comes in: its prompt and `max_tokens`."""
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
            self._note(error, sent_s)
            return error
        finally:
            self._leave()
        self._answered(completions, tokens, sent_s)
        return completions

    async def _admitted(self, tokens: float) -> bool:
        """Wait for a turn; False when the run stops first."""
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
        """End an attempt, and let as many of those that wait go as there is room for."""
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
        loop = asyncio.get_running_loop()
        pause = loop.create_future()
        timer = loop.call_later(seconds, _wake, pause)
        self._pauses.add(pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._pauses.discard(pause)

    def _answered(self, completions: Sequence[Completion], tokens: float, sent_s: float) -> None:
        self._replied(self.clock())
        self._completed += 1
        self.concurrency.succeeded(sent_s)
        uncounted = [each for each in completions if not is_counted(each)]
        if any(each.text or each.result for each in uncounted):
            self._tell_uncounted()
        elif not uncounted and self.policy.tokens_per_minute:
            used = sum(c.usage.prompt_tokens + c.usage.completion_tokens for c in completions)
            self._tokens.give_back(tokens - used)

    def _replied(self, now_s: float) -> None:
        self._last_reply_s = now_s
        if self._away_since_s is not None:
            away = duration(now_s - self._away_since_s)
            log.warning(
                "%s: %s can be reached again, after %s", self.stage, self.client.endpoint, away
            )
            self._away_since_s = None

    def _tell_retry(self, error: TransientError) -> None:
        """Say once that attempts fail; a generation shows how many on its line."""
        if self.stage != "generate" and not self._told_retry:
            log.info("%s: %s: %s; trying again", self.stage, self.client.endpoint, error)
            self._told_retry = True

    def _tell_uncounted(self) -> None:
        if not self._told_uncounted:
            log.warning(
                "%s: %s reports no usable token counts; the cost of such answers is unknown, "
                "and each counts against limits as the most that it may have taken",
                self.stage,
                self.client.endpoint,
            )
        self._told_uncounted = True

    def _note(self, error: TransientError, sent_s: float) -> None:
        """Learn from an attempt that failed."""
        now_s = self.clock()
        if error.answered:
            self._replied(now_s)
        elif not error.sent and self._away_since_s is None:
            self._away_since_s = now_s
            if self.patient:
                log.warning(
                    "%s: %s cannot be reached; waiting up to %s for it (%s)",
                    self.stage,
                    self.client.endpoint,
                    duration(self.policy.total_s),
                    error,
                )
        if error.overloaded:
            self.statistics.overloads += 1
            self.concurrency.overloaded(sent_s, now_s)
        if error.wait_s is not None:
            if error.wait_s > self.policy.total_s:
                raise endpoint_health.asks_for_too_long(
                    self.client.endpoint, error.wait_s, self.policy.total_s, self.section
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
        """Tell an endpoint that is gone, which concerns all calls, from one call's bad luck."""
        self._given_up_calls += 1
        if not self._completed and self._given_up_calls >= LOST_CAUSE:
            raise endpoint_health.completes_nothing(
                self.client.endpoint, call.model, error, self._given_up_calls, self.section
            )
        if not (error.answered or (error.sent and self._last_reply_s > began_s)):
            raise endpoint_health.does_not_answer(
                self.client.endpoint, call.model, error, self.section
            )

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


def _wake(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)
