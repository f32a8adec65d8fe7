"""The engine room of the generate stage: clients, budget, goal and Ctrl-C around one scheduler."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from steep.core.formatting import plural
from steep.generation import clients, scheduler
from steep.generation.batch.runner import cancel_all, collect, generate_in_batches
from steep.generation.config import GenerateConfig
from steep.generation.plan import PlanView, Totals
from steep.generation.pricing import base_urls, budget_of, prices_of
from steep.generation.progress import BatchReport, GenerationReport, StopRequest
from steep.ledger.budget import Budget, total
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.stages.terminal import Display, interruptible

log = logging.getLogger("steep")


class GenerationResult(NamedTuple):
    """What came of the plan, and what ended it early: "budget", "target" or None."""

    totals: Totals
    ended: str | None


def run_generation(
    settings: GenerateConfig,
    view: PlanView,
    wait: bool = True,
    root: Path | None = None,
) -> GenerationResult:
    """Make what the ledger lacks of a plan, by the engine that the configuration names.

    Args:
        settings: Who writes, and at what cost.
        view: The plan.
        wait: Whether to wait for a provider's batches.
        root: Where the relative path of a model starts; None is the working directory.

    Raises:
        UserError: The engine cannot be used, or the budget has no price to go by.
        KeyboardInterrupt: Ctrl-C; what was in flight is recorded.
    """
    import uvloop

    budget = budget_of(settings, view.ledger)
    _tell_exceeded(budget)
    job = _Job(settings, view, wait, root, budget)
    # It saves a fifth of the processor time of a call.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(job.run())
    job.display.finish()
    if isinstance(report, GenerationReport):
        _tell_lost(report)
    if report.stopped:
        raise KeyboardInterrupt
    if report.over_budget:
        log.warning(
            "generate: what is left of the budget does not suffice for another call%s: %s",
            "" if isinstance(report, GenerationReport) else ", or for a batch worth sending",
            _spent(job.budget),
        )
    elif not isinstance(report, GenerationReport) and report.held_back:
        log.info(
            "generate: not all is submitted, as the budget is held for the batches that are open "
            "(%s tokens, $%.4f); the same command goes on when they have landed",
            f"{report.held_tokens:,}",
            report.held_usd,
        )
    if view.is_reached(report.totals):
        return GenerationResult(report.totals, "target")
    return GenerationResult(report.totals, "budget" if report.over_budget else None)


def cancel_batches(settings: GenerateConfig, ledger: Ledger) -> int:
    """Ask providers to end all open batches; return how many.

    What is answered by then is paid for, and the next run collects it.

    Raises:
        UserError: A provider cannot be asked.
    """

    async def cancel() -> int:
        cancelled = 0
        for endpoint in dict.fromkeys(batch.endpoint for batch in ledger.batches()):
            client = clients.make_batch_client(settings, endpoint)
            try:
                cancelled += await cancel_all(client, ledger)
            finally:
                await client.close()
        return cancelled

    return asyncio.run(cancel())


@dataclass
class _Job:
    """One run of the stage, and what all its rounds share."""

    settings: GenerateConfig
    view: PlanView
    wait: bool
    root: Path | None
    budget: Budget
    stop: StopRequest = field(default_factory=StopRequest)
    display: Display = field(default_factory=Display)

    async def run(self) -> GenerationReport | BatchReport:
        with interruptible(self.stop):
            if self.settings.engine == "openai-batch":
                return await self._by_batches()
            return await self._by_workers()

    async def _by_workers(self) -> GenerationReport:
        made = clients.make_clients(
            self.settings, self.view.documents, self.display.on_tokens, self.root
        )
        urls = base_urls(self.settings) or (None,)
        workers = [
            EndpointWorker(client, _policy(self.settings), prices_of(self.settings, url))
            for client, url in zip(made, urls, strict=True)
        ]

        try:
            await self._collect_batches()
            return await scheduler.generate(
                self.view,
                workers,
                budget=self.budget,
                salvage_rounds=self.settings.salvage_rounds,
                stop=self.stop,
                on_progress=self.display.on_progress,
            )
        finally:
            for client in made:
                await client.close()

    async def _collect_batches(self) -> None:
        """What an earlier run has submitted is not sent again."""
        open_batches = self.view.ledger.batches()
        if not open_batches:
            return
        for endpoint in dict.fromkeys(batch.endpoint for batch in open_batches):
            client = clients.make_batch_client(self.settings, endpoint)
            try:
                completed = await collect(client, self.view.ledger, self.budget)
            finally:
                await client.close()
            log.info(
                "generate: %s of earlier batches collected from %s",
                plural(completed, "call"),
                endpoint,
            )
        waiting = sum(batch.calls for batch in self.view.ledger.batches())
        if waiting:
            still = plural(waiting, "call")
            log.info("generate: %s of earlier batches not answered yet, and not sent again", still)

    async def _by_batches(self) -> BatchReport:
        (url,) = base_urls(self.settings)
        client = clients.make_batch_client(self.settings, url)
        log.info(
            "generate: %s reads %s, in batches", url, plural(len(self.view.documents), "document")
        )

        try:
            return await generate_in_batches(
                self.view,
                client,
                budget=self.budget,
                poll_s=self.settings.batch_poll_s,
                max_attempts=self.settings.max_attempts,
                wait=self.wait,
                stop=self.stop,
                on_progress=self.display.on_batch_progress,
            )
        finally:
            await client.close()


def _policy(settings: GenerateConfig) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=settings.max_attempts,
        total_s=60 * settings.retry_minutes,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )


def _tell_exceeded(budget: Budget) -> None:
    if budget.max_cost_usd is not None and budget.spent_usd > budget.max_cost_usd:
        log.warning(
            "generate: the project has spent $%.4f, which is over generate.max_cost_usd, $%.4f; "
            "what was bought is kept, and nothing more is bought",
            budget.spent_usd,
            budget.max_cost_usd,
        )


def _tell_lost(report: GenerationReport) -> None:
    """Name what may be billed although nothing came of it."""
    if report.dropped:
        most_usd = total(report.dropped).cost_usd
        log.warning(
            "generate: %s sent and not waited for; the provider may bill this, %s",
            plural(len(report.dropped), "call"),
            "at a price that is not known" if most_usd is None else f"${most_usd:,.4f} at most",
        )
    if report.lost.attempts:
        log.warning(
            "generate: %s gave a broken answer or none; the provider may bill this, %s, "
            "which counts against limits",
            plural(report.lost.attempts, "attempt"),
            f"{report.lost.tokens:,} tokens at most"
            if report.lost.unpriced
            else f"${report.lost.cost_usd:,.4f} at most",
        )


def _spent(budget: Budget) -> str:
    parts = []
    if budget.max_tokens is not None:
        held = f" and {budget.reserved_tokens:,} held" if budget.reserved_tokens else ""
        parts.append(f"{budget.spent_tokens:,} tokens spent{held} of {budget.max_tokens:,}")
    if budget.max_cost_usd is not None:
        held = f" and ${budget.reserved_usd:,.4f} held" if budget.reserved_usd > 1e-9 else ""
        parts.append(f"${budget.spent_usd:,.4f} spent{held} of ${budget.max_cost_usd:,.4f}")
    return ", ".join(parts)
