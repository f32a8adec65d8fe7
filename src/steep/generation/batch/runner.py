"""Generate the calls of a plan through a provider's batch API: half the price, within a day.

First the results of open batches are collected, whichever process submitted them; then the
preparing steps are submitted, in rounds, and then all other calls. Calls that were not answered are
submitted again in the next round.

The most that a call can cost is reserved until it is answered, so a limit may cut a batch short.
Such a batch is not sent while others are open, as their end releases most of what is reserved for
them, and never with fewer than `SMALLEST_BATCH` calls, as each batch may take a day.

**No call is paid twice, whenever the process dies.** A batch and its calls are in the ledger before
the provider receives it, under a token that the provider stores with it:

    preparing   rows are written, the file is being uploaded  -> it never existed
    uploaded    the provider is asked to create the batch     -> looked for by its token
    waiting     the provider's queue was full                 -> created later, from the same file
    others      the provider's own statuses                   -> polled until it ends, then read
    collected, rejected                                       -> closed

The calls of a batch that never existed or was rejected are missing again.

Between runs, `steep generate --no-wait` submits what it can and ends; the same command collects.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from steep.core.calls import Completion
from steep.core.formatting import plural
from steep.generation.batch.builder import BatchBuilder, CallStream
from steep.generation.batch.results import RetryCounter
from steep.generation.batch.tracker import (
    PREPARING,
    SMALLEST_BATCH,
    VALIDATING,
    WAITING,
    BatchSubmitter,
    BatchTracker,
)
from steep.generation.plan import PlanView
from steep.generation.progress import GenerationProgress, GenerationReport, StopRequest
from steep.generation.target import Target
from steep.generation.work_queue import Planned, missing, preparing_round
from steep.ledger.budget import Budget, Reservation
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.llm.openai_batch_wire import BatchRefused

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

MOST_UNPROVEN = 4  # batches that the provider may be validating when another is uploaded

log = logging.getLogger("steep")


async def generate_in_batches(
    view: PlanView,
    client: BatchClient,
    *,
    budget: Budget | None = None,
    poll_s: float = 60.0,
    max_attempts: int = 6,
    wait: bool = True,
    stop: StopRequest | None = None,
    on_progress: Callable[[GenerationProgress], None] = lambda progress: None,
) -> GenerationReport:
    """Complete every call of the plan that the ledger lacks, in batches.

    Without `wait`, submit what is possible now and return. `stop` ends the run early: at `drain`
    after the current submission, at `abort` at once. Batches continue at the provider either way,
    and the next run collects them. A call has failed after `max_attempts` submissions in a run.

    Raises:
        UserError: The provider takes no batches at all, or refused one; the ledger cannot be
            written. The next run collects what is at the provider.
    """
    ledger = view.ledger
    stop = stop or StopRequest()
    retries = RetryCounter(max_attempts)
    run = _BatchRun(client, ledger, retries, budget or Budget(), stop, poll_s, wait, on_progress)
    work = asyncio.ensure_future(run.complete_all(view))
    stop.on_change = lambda: run.on_stop(work)
    try:
        await work
    except asyncio.CancelledError:
        if not stop.aborting:
            raise
    finally:
        held = run.end()
    return GenerationReport(
        totals=view.totals(),
        over_budget=run.over_budget,
        stopped=stop.draining,
        batches=len(run.tracker.open()),
        held_back=run.held_back,
        held=held,
    )


async def collect(client: BatchClient, ledger: Ledger, budget: Budget | None = None) -> int:
    """Poll every open batch once and record those that have ended; return the number of calls.

    For a run with another engine: open batches stay at the provider, and the calls of batches that
    it does not have or take are missing again. The budget is charged for what was recorded, and
    what open batches can cost is reserved.

    Raises:
        UserError: The provider cannot be asked.
    """
    budget = budget or Budget()
    completed = 0

    def count(completions: Sequence[Completion]) -> None:
        nonlocal completed
        completed += len(completions)
        _spend(budget, completions, client, ledger)

    tracker = BatchTracker(client, ledger, RetryCounter(), count)
    for batch, remote in await tracker.poll():
        reasons = "it waited for a place in the queue" if remote is None else remote.reasons
        calls = plural(batch.calls, "call")
        log.warning("generate: a batch of %s was not taken: %s", calls, reasons)
        tracker.drop(batch, reasons)
    builder = BatchBuilder(client, ledger, budget)
    for batch in tracker.open():
        builder.hold_open(batch)
    return completed


def _spend(
    budget: Budget, completions: Sequence[Completion], client: BatchClient, ledger: Ledger
) -> None:
    """Charge the budget for calls: their usage, or the most that uncounted calls can have used."""
    for each in completions:
        budget.spend(ledger.charge_of(each, client.prices))


async def cancel_all(client: BatchClient, ledger: Ledger) -> int:
    """Cancel all open batches; return how many. Calls that were answered are still charged.

    Raises:
        UserError: The provider cannot be asked.
    """
    cancelled = 0
    for batch in BatchTracker(client, ledger, RetryCounter(), lambda completions: None).open():
        if batch.batch_id is None or batch.status == WAITING:
            continue
        try:
            remote = await client.cancel(batch.batch_id)
        except BatchRefused as error:  # it has ended in the meantime
            log.info("generate: batch %s: %s", batch.batch_id, error)
        else:
            ledger.update_batch(replace(batch, status=remote.status))
            cancelled += 1
    return cancelled


def _wanted(view: PlanView) -> Iterator[Planned]:
    """Yield the calls that the ledger lacks, as far as the target needs them."""
    target = Target(view)
    for planned in missing(view, target.is_wanted):
        if not target.needs(planned.call):
            return
        target.sent([planned.call])
        yield planned


class _BatchRun:
    """The state of a generation in batches: submits the missing calls, and waits for them."""

    def __init__(
        self,
        client: BatchClient,
        ledger: Ledger,
        retries: RetryCounter,
        budget: Budget,
        stop: StopRequest,
        poll_s: float,
        wait: bool,
        on_progress: Callable[[GenerationProgress], None],
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._budget = budget
        self._stop = stop
        self._on_progress = on_progress
        self._progress = GenerationProgress(batches=0)
        self.tracker = BatchTracker(client, ledger, retries, self._on_completed, self._on_closed)
        self._builder = BatchBuilder(client, ledger, budget, retries)
        self._submitter = BatchSubmitter(client, ledger, self.tracker, poll_s)
        self._poll_s, self._wait = poll_s, wait
        self.over_budget = self.held_back = False
        self._wake = asyncio.Event()
        self._target: Target | None = None  # of the plan, as the run began

    async def complete_all(self, view: PlanView) -> None:
        """Complete the preparing steps, then the texts."""
        self._target = Target(view)
        for batch in self.tracker.open():
            self._builder.hold_open(batch)
        await self._complete("preparing", lambda: preparing_round(view))
        if not self._stop.draining:
            await self._complete("texts", lambda: _wanted(view))

    def on_stop(self, work: asyncio.Future[None]) -> None:
        """End the run: Ctrl-C was pressed, once or twice."""
        self._progress = replace(self._progress, phase="stopping")
        self._wake.set()
        if self._stop.aborting:
            work.cancel()

    def end(self) -> Reservation:
        """Log which batches are still open; return what was reserved for them."""
        held = self._builder.held
        self._builder.release_all()
        batches = [batch for batch in self.tracker.open() if batch.batch_id]
        if batches:
            log.info(
                "generate: open at %s: %s with %s; the same command collects the results",
                self._client.endpoint,
                plural(len(batches), "batch"),
                plural(sum(batch.calls for batch in batches), "call"),
            )
        return held

    async def _complete(
        self, phase: Literal["preparing", "texts"], planned: Callable[[], Iterable[Planned]]
    ) -> None:
        """Submit the missing calls and wait, again and again until none is missing."""
        self._progress = replace(self._progress, phase=phase)
        earlier, self.over_budget = self.over_budget, False
        for number in itertools.count():
            await self._poll()
            closed = self.tracker.closed
            # Calls that failed in an earlier run are tried again, those of this run are not.
            stream = CallStream(planned(), self._ledger, retry_failed=number == 0)
            sent = await self._submit(stream)
            while self._wait and self.tracker.open() and not self._stop.draining:
                await self._pause()
                await self._poll()
            if self._stop.draining or not self._wait or self.over_budget:
                break
            if not sent and self.tracker.closed == closed:
                break
            self.held_back = False
        self.over_budget = self.over_budget or earlier

    async def _submit(self, stream: CallStream) -> int:
        """Split a stream of calls into batches and submit them; return the number of calls."""
        sent = resent = 0
        builder, submitter = self._builder, self._submitter
        builder.cut = False
        while not builder.cut and stream.head() is not None and await self._room():
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            endpoint = self._client.endpoint
            batch = SubmittedBatch(secrets.token_hex(16), endpoint, PREPARING, 0, now)
            # Nameless, so that a killed process leaves none; beside the ledger, not in /tmp.
            with tempfile.TemporaryFile(dir=self._ledger.path.parent) as file:
                try:
                    most = submitter.most_requests
                    batch, dialect, again = await builder.fill(batch, stream, file, most)
                    if builder.cut and not self._may_send_cut(batch):
                        if batch.calls:
                            self.tracker.drop(batch, "cut short by the budget, and not sent")
                        break
                    if not batch.calls:
                        continue
                    batch = await submitter.upload(batch, file)
                except BaseException as error:
                    # Without a file at the provider there is no batch, now or later.
                    self.tracker.drop(batch, str(error) or type(error).__name__)
                    raise
            await submitter.create(batch, dialect)
            sent, resent = sent + batch.calls, resent + again
            self._report()
        if resent:
            log.info(
                "generate: collected in this run so far: %s; not answered and submitted again: %s",
                plural(self._progress.new, "call"),
                plural(resent, "call"),
            )
        return sent

    def _may_send_cut(self, batch: SubmittedBatch) -> bool:
        """Decide whether to send a batch that the budget has cut; record why if not.

        Most of what is reserved for open batches is released once they have ended, so they are
        waited for; when none is open, a batch of at least `SMALLEST_BATCH` calls is sent.
        """
        others = [each for each in self.tracker.open() if each.token != batch.token]
        self.held_back = bool(others) or batch.calls >= SMALLEST_BATCH
        if others:
            log.info(
                "generate: the rest of the budget is reserved for %s; what is left when they have "
                "ended pays for further calls",
                plural(len(others), "open batch"),
            )
            return False
        self.over_budget = not self.held_back
        if self.over_budget and batch.calls:
            log.warning(
                "generate: the rest of the budget allows a batch of %s only, as the most that a "
                "call can cost is reserved until it is answered, and no batch of fewer than %d is "
                "sent; raise the limit, lower generate.max_tokens, or use generate.engine openai",
                plural(batch.calls, "call"),
                SMALLEST_BATCH,
            )
        return self.held_back

    async def _room(self) -> bool:
        """Wait until another batch may be uploaded; return False if the run should not wait."""
        while not self._stop.draining:
            statuses = [batch.status for batch in self.tracker.open()]
            unproven = statuses.count(VALIDATING)
            full = WAITING in statuses
            # The first batch of a run goes alone, so that a wrong model costs one refusal.
            if not full and unproven < (MOST_UNPROVEN if self.tracker.proven else 1):
                return True
            if full and not self._wait:
                return False
            await self._pause()
            await self._poll()
        return False

    async def _poll(self) -> None:
        for untaken in await self.tracker.poll():
            await self._submitter.retry(untaken)
        self._report()

    async def _pause(self) -> None:
        """Sleep until the next poll, or until the run is stopped."""
        self._report()
        try:
            await asyncio.wait_for(self._wake.wait(), self._poll_s)
        except TimeoutError:
            return

    def _on_closed(self, batch: SubmittedBatch) -> None:
        self._builder.release(batch)
        self._submitter.closed(batch)

    def _on_completed(self, completions: Sequence[Completion]) -> None:
        _spend(self._budget, completions, self._client, self._ledger)
        if self._target is not None:
            self._target.recorded([each.call_id for each in completions])
        ids = [each.call_id for each in completions]
        found = self._ledger.select_ids("id, recipe, stage", ids)
        step_of = {call_id: (recipe, stage) for call_id, recipe, stage in found}
        self._progress = self._progress.after(completions, [step_of[each] for each in ids])

    def _report(self) -> None:
        batches = self.tracker.open()
        waiting = sum(batch.calls for batch in batches)
        self._on_progress(
            replace(
                self._progress,
                batches=len(batches),
                in_flight=waiting,
                answered=self.tracker.answered,
                new_information=self._target.new_information if self._target else {},
            )
        )
