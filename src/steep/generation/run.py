"""Run a generation: clients, budget, progress and Ctrl-C around one scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steep.core.formatting import plural
from steep.generation import clients, scheduler
from steep.generation.batch.runner import cancel_all, collect, generate_in_batches
from steep.generation.config import GenerateConfig
from steep.generation.display import GenerationDisplay
from steep.generation.plan import PlanView
from steep.generation.planning import forecast_now, preparing_keys
from steep.generation.progress import GenerationReport, StopRequest
from steep.generation.setup import base_urls, budget_of, prices_of
from steep.generation.totals import Totals
from steep.ledger.account import log_dropped
from steep.ledger.budget import Budget, total
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

log = logging.getLogger("steep")


class GenerationResult(NamedTuple):
    """The totals of the plan, and the reason of an early end.

    It is "budget", "target", "stop_when" or None.
    """

    totals: Totals
    ended: str | None


def run_generation(
    settings: GenerateConfig, view: PlanView, wait: bool = True, root: Path | None = None
) -> GenerationResult:
    """Make the calls of a plan that the ledger lacks, with the configured engine.

    Raises:
        UserError: The engine cannot be used, or the budget has no price to go by.
        KeyboardInterrupt: Ctrl-C; what was in flight is recorded.
    """
    import uvloop

    budget = budget_of(settings, view.ledger)
    if budget.max_cost_usd is not None and budget.spent_usd > budget.max_cost_usd:
        log.warning(
            "generate: the project has spent $%.4f, which is over generate.max_cost_usd, $%.4f; "
            "what was paid for is kept, and nothing more is sent",
            budget.spent_usd,
            budget.max_cost_usd,
        )
    job = _Job(settings, view, wait, root, budget)
    # It saves a fifth of the processor time of a call.
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(job.run())
    finally:
        if view.information is not None:
            view.information.save()
    job.display.finish()
    _log_lost(report)
    if report.stopped:
        raise KeyboardInterrupt
    _log_budget(report, budget)
    if view.is_reached(report.totals):
        return GenerationResult(report.totals, "stop_when" if view.exhausted else "target")
    return GenerationResult(report.totals, "budget" if report.over_budget else None)


def cancel_batches(settings: GenerateConfig, ledger: Ledger) -> int:
    """Ask providers to end all open batches; return how many.

    What is answered by then is paid for, and the next run collects it.

    Raises:
        UserError: A provider cannot be asked.
    """

    async def cancel() -> int:
        open_clients = _batch_clients(settings, ledger)
        return sum([await cancel_all(client, ledger) async for client in open_clients])

    return asyncio.run(cancel())


async def _batch_clients(settings: GenerateConfig, ledger: Ledger) -> AsyncIterator[BatchClient]:
    """Yield a client for each provider with open batches."""
    for endpoint in dict.fromkeys(batch.endpoint for batch in ledger.batches()):
        async with _batch_client(settings, endpoint) as client:
            yield client


@asynccontextmanager
async def _batch_client(settings: GenerateConfig, endpoint: str) -> AsyncIterator[BatchClient]:
    client = clients.make_batch_client(settings, endpoint)
    try:
        yield client
    finally:
        await client.close()


@dataclass
class _Job:
    """One run of the stage."""

    settings: GenerateConfig
    view: PlanView
    wait: bool
    root: Path | None
    budget: Budget
    stop: StopRequest = field(default_factory=StopRequest)

    @cached_property
    def display(self) -> GenerationDisplay:
        """What shows the run."""
        view, spent_usd = self.view, self.view.ledger.usage().known_usd
        forecast = partial(forecast_now, self.settings, view, self.budget)
        return GenerationDisplay(forecast, preparing_keys(view), spent_usd)

    async def run(self) -> GenerationReport:
        with self.stop.on_signals():
            if self.settings.engine == "openai-batch":
                return await self._by_batches()
            return await self._by_workers()

    async def _by_workers(self) -> GenerationReport:
        settings, documents = self.settings, self.view.documents
        if not base_urls(settings):
            self.display.load(settings.model)
        opened = clients.make_clients(settings, documents, self.display.on_step, self.root)
        policy = RetryPolicy(
            max_attempts=settings.max_attempts,
            total_s=60 * settings.retry_minutes,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
        )
        urls = base_urls(settings) or (None,)
        workers = [
            EndpointWorker(client, policy, prices_of(settings, url))
            for client, url in zip(opened, urls, strict=True)
        ]
        try:
            await self._collect_batches()
            return await scheduler.generate(
                self.view,
                workers,
                budget=self.budget,
                salvage_rounds=settings.salvage_rounds,
                stop=self.stop,
                on_progress=self.display.on_progress,
            )
        finally:
            for client in opened:
                await client.close()

    async def _collect_batches(self) -> None:
        """Collect what an earlier run has submitted, so that it is not sent again."""
        ledger = self.view.ledger
        async for client in _batch_clients(self.settings, ledger):
            completed = await collect(client, ledger, self.budget)
            calls = plural(completed, "call")
            log.info("generate: %s of earlier batches collected from %s", calls, client.endpoint)
        if waiting := sum(batch.calls for batch in ledger.batches()):
            still = plural(waiting, "call")
            log.info("generate: %s of earlier batches not answered yet, and not sent again", still)

    async def _by_batches(self) -> GenerationReport:
        (url,) = base_urls(self.settings)
        async with _batch_client(self.settings, url) as client:
            documents = plural(len(self.view.documents), "document")
            log.info("generate: %s reads %s, in batches", url, documents)
            return await generate_in_batches(
                self.view,
                client,
                budget=self.budget,
                poll_s=self.settings.batch_poll_s,
                max_attempts=self.settings.max_attempts,
                wait=self.wait,
                stop=self.stop,
                on_progress=self.display.on_progress,
            )


def _log_lost(report: GenerationReport) -> None:
    """Log what a provider may bill although it gave no text."""
    if report.dropped:
        most_usd = total(report.dropped).cost_usd
        log_dropped("generate", plural(len(report.dropped), "call"), most_usd)
    if report.lost.attempts:
        log.warning(
            "generate: %s gave a broken answer or none; the provider may bill this, %s, "
            "which counts against limits",
            plural(report.lost.attempts, "attempt"),
            f"{report.lost.tokens:,} tokens at most"
            if report.lost.unpriced
            else f"${report.lost.cost_usd:,.4f} at most",
        )


def _log_budget(report: GenerationReport, budget: Budget) -> None:
    """Log that the budget has ended the run, or holds back a part of it."""
    if report.over_budget:
        log.warning(
            "generate: what is left of the budget does not suffice for another call%s: %s",
            "" if report.batches is None else ", or for a batch worth sending",
            ", ".join(_spent(budget)),
        )
    elif report.held_back:
        log.info(
            "generate: not all is submitted, as the budget is held for the batches that are open "
            "(%s tokens, $%.4f); the same command continues when they have ended",
            f"{report.held.tokens:,}",
            report.held.cost_usd or 0.0,
        )


def _spent(budget: Budget) -> Iterable[str]:
    if budget.max_tokens is not None:
        held = f" and {budget.reserved_tokens:,} held" if budget.reserved_tokens else ""
        yield f"{budget.spent_tokens:,} tokens spent{held} of {budget.max_tokens:,}"
    if budget.max_cost_usd is not None:
        held = f" and ${budget.reserved_usd:,.4f} held" if budget.reserved_usd > 1e-9 else ""
        yield f"${budget.spent_usd:,.4f} spent{held} of ${budget.max_cost_usd:,.4f}"
