"""The engine room of the generate stage: clients, budget, goal and Ctrl-C around one scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from steep.core.calls import Usage
from steep.core.formatting import plural
from steep.documents.document import Document
from steep.generation import clients, scheduler
from steep.generation.batch.runner import cancel_all, collect, generate_in_batches
from steep.generation.config import GenerateConfig
from steep.generation.goals import Goal, next_round
from steep.generation.plan import Totals
from steep.generation.pricing import base_urls, budget_of, goal_in, prices_of
from steep.generation.progress import BatchReport, GenerationReport, StopRequest
from steep.ledger.budget import USUAL_CHARACTERS_PER_TOKEN, Budget, total
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.recipes.recipe import Recipe
from steep.stages.terminal import Display, interruptible

log = logging.getLogger("steep")


class GenerationResult(NamedTuple):
    """What came of the plan, and why the run ended before its end ("budget"), if it did."""

    totals: Totals
    ended: str | None


def run_generation(
    settings: GenerateConfig,
    documents: Sequence[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None = None,
    wait: bool = True,
    root: Path | None = None,
) -> GenerationResult:
    """Make what the ledger lacks of the plan, by the engine that the configuration names.

    Args:
        settings: What is written, by whom, at what cost.
        documents: What about.
        recipe: What is written.
        ledger: Where it is recorded.
        counts: How many calls of each document; None takes all, or what the goal gives.
        wait: Whether to wait for a provider's batches.
        root: Where the relative path of a model starts; None is the working directory.

    Raises:
        UserError: The engine cannot be used, or the budget has no price to go by.
        KeyboardInterrupt: Ctrl-C; what was in flight is recorded.
    """
    import uvloop

    budget = budget_of(settings, ledger)
    _tell_exceeded(budget)
    job = _Job(settings, documents, recipe, ledger, wait, root, budget)
    # It saves a fifth of the processor time of a call.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(job.run(counts))
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
    documents: Sequence[Document]
    recipe: Recipe
    ledger: Ledger
    wait: bool
    root: Path | None
    budget: Budget
    stop: StopRequest = field(default_factory=StopRequest)
    display: Display = field(default_factory=Display)

    async def run(self, counts: Mapping[str, int] | None) -> GenerationReport | BatchReport:
        with interruptible(self.stop):
            if self.settings.engine == "openai-batch":
                return await self._by_batches(counts)
            return await self._by_workers(counts)

    async def _by_workers(self, counts: Mapping[str, int] | None) -> GenerationReport | BatchReport:
        made = clients.make_clients(
            self.settings, self.documents, self.display.on_tokens, self.root
        )
        urls = base_urls(self.settings) or (None,)
        workers = [
            EndpointWorker(client, _policy(self.settings), prices_of(self.settings, url))
            for client, url in zip(made, urls, strict=True)
        ]

        async def once(counts: Mapping[str, int] | None) -> GenerationReport:
            return await scheduler.generate(
                self.documents,
                self.recipe,
                workers,
                self.ledger,
                counts=counts,
                budget=self.budget,
                salvage_rounds=self.settings.salvage_rounds,
                stop=self.stop,
                on_progress=self.display.on_progress,
            )

        try:
            await self._collect_batches()
            return await self._to_the_goal(once, counts)
        finally:
            for client in made:
                await client.close()

    async def _collect_batches(self) -> None:
        """What an earlier run has submitted is not bought again by this lane."""
        open_batches = self.ledger.batches()
        if not open_batches:
            return
        for endpoint in dict.fromkeys(batch.endpoint for batch in open_batches):
            client = clients.make_batch_client(self.settings, endpoint)
            try:
                completed = await collect(client, self.ledger, self.budget)
            finally:
                await client.close()
            log.info(
                "generate: %s of earlier batches collected from %s",
                plural(completed, "call"),
                endpoint,
            )
        waiting = sum(batch.calls for batch in self.ledger.batches())
        if waiting:
            still = plural(waiting, "call")
            log.info("generate: %s of earlier batches not answered yet, and not sent again", still)

    async def _by_batches(self, counts: Mapping[str, int] | None) -> GenerationReport | BatchReport:
        (url,) = base_urls(self.settings)
        client = clients.make_batch_client(self.settings, url)
        log.info("generate: %s reads %s, in batches", url, plural(len(self.documents), "document"))

        async def once(counts: Mapping[str, int] | None) -> BatchReport:
            return await generate_in_batches(
                self.documents,
                self.recipe,
                client,
                self.ledger,
                counts=counts,
                budget=self.budget,
                poll_s=self.settings.batch_poll_s,
                max_attempts=self.settings.max_attempts,
                wait=self.wait,
                stop=self.stop,
                on_progress=self.display.on_batch_progress,
            )

        try:
            return await self._to_the_goal(once, counts)
        finally:
            await client.close()

    async def _to_the_goal(
        self, once: _Once, counts: Mapping[str, int] | None
    ) -> GenerationReport | BatchReport:
        """Make the plan, or approach a goal in rounds; each is written down before it is made."""
        goal = goal_in(self.settings, self.recipe)
        if counts is not None or goal is None:
            return await once(counts)
        report: GenerationReport | BatchReport = await once(self.ledger.allotment(goal.key))
        while not (report.stopped or report.over_budget or report.totals.submitted):
            more = next_round(
                goal,
                self.documents,
                self.recipe,
                self.ledger,
                self._expected_per_call(goal),
                self.budget.spent_usd,
            )
            if more is None:
                break
            self.ledger.allot(goal.key, more)
            report = await once(more)
        return report

    def _expected_per_call(self, goal: Goal) -> float:
        """A guess, for the first sample only: an answer of half its greatest length."""
        answer_tokens = self.settings.max_tokens // 2
        if goal.unit == "tokens":
            return answer_tokens
        characters = sum(len(document.text) for document in self.documents)
        prompt_tokens = round(characters / len(self.documents) / USUAL_CHARACTERS_PER_TOKEN)
        prices = prices_of(self.settings, base_urls(self.settings)[0])
        return prices.cost_usd(Usage(prompt_tokens, 0, answer_tokens)) or 1.0


class _Once(Protocol):
    """Makes a plan with so many calls of each document."""

    def __call__(
        self, counts: Mapping[str, int] | None, /
    ) -> Awaitable[GenerationReport | BatchReport]: ...


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
