"""Send requests to one endpoint within the limits of the project, and record the completions.

    completions = Caller(client, policy, ..., ledger, budget).complete(requests, on_done)

What the ledger holds is not sent again. The first request goes out alone, so that a wrong key costs
one request. Completions are recorded at once: a kill loses only the requests in flight. Ctrl-C
waits for these, which may be billed; a second Ctrl-C does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from steep.core.calls import Completion
from steep.core.errors import UserError
from steep.core.formatting import plural
from steep.ledger import requests as table
from steep.ledger.account import Account, log_dropped
from steep.ledger.budget import Budget, Reservation, total
from steep.ledger.endpoint_health import EndpointHealth
from steep.ledger.endpoint_worker import EndpointWorker, Outcome, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.ledger.records import has_failed
from steep.llm.client import CONTEXT_REASON, FatalError
from steep.llm.dialect import Dialect
from steep.llm.prices import Prices
from steep.llm.requests import Request, RequestClient

log = logging.getLogger("steep")
OnDone = Callable[[Completion], None]
Task = asyncio.Task[Outcome]


def ignore(completion: Completion) -> None:
    """Ignore a completion."""


class OverBudget(UserError):
    """A limit on what may be spent does not suffice for the next request."""


class Sends(Protocol):
    """Something that completes requests: a `Caller`, or a plan that only counts them."""

    @property
    def endpoint(self) -> str:
        """The base address of the server."""
        ...

    @property
    def section(self) -> str:
        """The section of the configuration that describes it."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The form of requests that the endpoint accepts, as far as it is known."""
        ...

    def complete(self, requests: Sequence[Request], on_done: OnDone = ignore) -> list[Completion]:
        """Return the completion of each request, in their order."""
        ...


class Caller:
    """Sends requests to one endpoint; shares ledger and budget with all others."""

    def __init__(
        self,
        client: RequestClient,
        policy: RetryPolicy,
        prices: Prices,
        section: str,
        ledger: Ledger,
        budget: Budget,
    ) -> None:
        self._client, self.ledger, self.account = client, ledger, Account(budget, ledger)
        self.endpoint, self.section = client.endpoint, section
        self.worker: EndpointWorker[Request] = EndpointWorker(client, policy, prices, section)
        # A prompt beyond the context concerns one request only.
        self.worker.answers = EndpointHealth(tolerated=frozenset({CONTEXT_REASON}))
        self.account.attach(self.worker)

    @property
    def dialect(self) -> Dialect:
        """The form of requests that the endpoint accepts, as far as it is known."""
        return self._client.client.dialect

    def complete(self, requests: Sequence[Request], on_done: OnDone = ignore) -> list[Completion]:
        """Return the completion of each request, in their order; failed ones have an `error`.

        Equal requests are sent once. `on_done` is called with each completion as it arrives, those
        of the ledger first.

        Raises:
            UserError: The endpoint will complete no request, or the limits of the project end the
                work. What was completed is in the ledger.
        """
        by_id = {each.id: each for each in requests}
        found = table.completed(self.ledger, by_id)
        for completion in found.values():
            on_done(completion)
        if new := [each for id_, each in by_id.items() if id_ not in found]:
            if found:
                text = "%s: %d of %d requests were completed before, and are not sent again"
                log.info(text, self.worker.stage, len(found), len(by_id))
            run = _CallerRun(self, on_done)
            try:
                asyncio.run(run.send(iter(new)))
            except KeyboardInterrupt:
                run.log_dropped()
                raise
            found |= run.found
        return [found[each.id] for each in requests]


class _CallerRun:
    """The requests in flight and the completions of one `complete`."""

    def __init__(self, caller: Caller, on_done: OnDone) -> None:
        self._worker, self._ledger, self._account = caller.worker, caller.ledger, caller.account
        self._on_done = on_done
        self._flying: dict[Task, tuple[Request, Reservation]] = {}
        self._waiting: Request | None = None  # the budget did not suffice for it
        self.found: dict[str, Completion] = {}

    async def send(self, requests: Iterator[Request]) -> None:
        """Send all requests; wait for those in flight even if the work ends early."""
        try:
            while self._fill(requests):
                await self._ingest()
        except asyncio.CancelledError:
            text = "%s: waiting for %d requests that are paid for; Ctrl-C again drops them"
            log.warning(text, self._worker.stage, len(self._flying))
            await self._finish()
            raise
        except Exception:
            await self._finish()
            raise
        finally:
            await self._worker.client.close()

    def _fill(self, requests: Iterator[Request]) -> bool:
        """Send as many requests as possible; return whether any is in flight."""
        most_at_once = self._worker.client.concurrency if self.found else 1
        while len(self._flying) < most_at_once and (request := self._next(requests)) is not None:
            most = self._worker.most([request])
            if not self._account.budget.reserve(most):
                if not self._flying:
                    raise self._over_budget(most)
                self._waiting = request  # until others have taken less than was reserved
                break
            self._flying[asyncio.create_task(self._worker.send([request]))] = (request, most)
        return bool(self._flying)

    def _next(self, requests: Iterator[Request]) -> Request | None:
        waiting, self._waiting = self._waiting, None
        return waiting or next(requests, None)

    def log_dropped(self) -> None:
        """Log the requests that were sent and not waited for."""
        if self._flying:
            most_usd = total(most for _, most in self._flying.values()).cost_usd
            log_dropped(self._worker.stage, plural(len(self._flying), "request"), most_usd)

    async def _finish(self) -> None:
        self._worker.stop()
        while self._flying:
            try:
                await self._ingest()
            except FatalError:
                continue  # its failures come after the one that ended the work

    async def _ingest(self) -> None:
        """Wait for at least one request, and record all that have ended."""
        completed, _ = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
        ended: list[table.Ended] = []
        fatal: FatalError | None = None
        unaffordable: Reservation | None = None
        for task in completed:
            request, most = self._flying.pop(task)
            if isinstance(error := task.exception(), FatalError):
                self._account.budget.release(most)
                fatal = fatal or error
                continue
            outcome = task.result()
            took = self._account.settle(self._worker, [request], most, outcome)
            fatal = fatal or outcome.fatal
            if outcome.unaffordable:
                unaffordable = most
            for each, held in zip(outcome.completions or (), took, strict=True):
                ended.append(table.Ended(request, each, held))
        table.record(self._ledger, ended)
        for _, completion, _ in ended:
            self.found[completion.call_id] = completion
            if not has_failed(completion):
                self._on_done(completion)
        if fatal is not None:
            raise fatal
        if unaffordable is not None:
            raise self._over_budget(unaffordable)

    def _over_budget(self, most: Reservation) -> OverBudget:
        budget, most_usd = self._account.budget, most.cost_usd or 0.0
        held_usd = budget.spent_usd + budget.reserved_usd + most_usd
        if budget.max_cost_usd is not None and held_usd > budget.max_cost_usd:
            limit, needed = "generate.max_cost_usd", f"${most_usd:,.4f}"
            found = f"${budget.spent_usd:,.4f} spent of ${budget.max_cost_usd:,.4f}"
        else:
            limit, needed = "generate.max_total_tokens", f"{most.tokens:,}"
            found = f"{budget.spent_tokens:,} tokens spent of {budget.max_tokens:,}"
        return OverBudget(
            "The limit of the project is too low for the next request.",
            where=f"{limit}, {self._worker.section}",
            expected=f"{needed} more, the worst case of the request",
            found=found,
            hint="raise the limit and run the same command again; completed requests are kept. "
            "Generation takes its share of a higher limit first; steep plan shows both",
        )
