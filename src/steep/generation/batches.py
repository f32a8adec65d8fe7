"""Makes the plan come true by a provider's batch API: half the price, answers within a day.

    report = await generate_in_batches(documents, recipe, client, ledger, poll_s=60)

First what waits at the provider is collected, whichever process submitted it; then the preparing
steps go out, in rounds, and then all other calls, cut into batches of the size that the provider
takes. What comes back without an answer goes out again in the next round.

A limit on the cost holds every call at its most until it is answered, and so it may cut a batch.
What it leaves is not spent on ever smaller batches, each of which may take a day: the open ones are
waited for, and a batch that would be tiny all the same ends the run.

**Nothing is bought twice, whenever the process dies.** A batch and its calls are in the ledger
before the provider hears of it, under a token that the provider stores with it:

    preparing   rows are written, a file is on its way   -> never existed: its calls are to do again
    uploaded    the provider is asked to make the batch  -> looked for by its token; if there is
                                                            none, its calls are to do again
    waiting     the provider's queue was full            -> made of the same file when it is not
    others      the provider's own words                 -> watched until it has ended, then landed
    collected, rejected: over

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
from steep.generation.batch_builder import BatchBuilder, CallStream
from steep.generation.batch_results import RetryCounter
from steep.generation.batch_submission import SMALLEST_BATCH, Submitter
from steep.generation.batch_tracker import PREPARING, VALIDATING, WAITING, BatchTracker
from steep.generation.plan import PlanView
from steep.generation.progress import BatchProgress, BatchReport, StopRequest
from steep.generation.target import Target
from steep.generation.work_queue import Planned, missing, preparing_round
from steep.ledger.bounds import is_counted, most_of
from steep.ledger.budget import Budget, Reservation
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.llm.openai_batch_wire import BatchRefused

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

LEAST_SHARE = 0.1  # of the largest batch; the budget does not cut a batch into less
MOST_UNPROVEN = 4  # batches that the provider has yet to check, before another is uploaded

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
    on_progress: Callable[[BatchProgress], None] = lambda progress: None,
) -> BatchReport:
    """Make every call of the plan that the ledger lacks, by batches.

    Args:
        view: The plan, and the ledger where every batch and call is recorded.
        client: The provider.
        budget: What may be spent; None is no limit.
        poll_s: Seconds between two looks at the open batches.
        max_attempts: Submissions of one call in this run before it has failed.
        wait: Whether to wait until all is answered; otherwise submit what can be submitted now.
        stop: Ends the run early: at `drain` once a batch under way is submitted, at `abort` at
            once. Either way batches go on at the provider, and the next run collects them.
        on_progress: Called after every change.

    Raises:
        UserError: The provider takes no batches at all, or refused one; the ledger cannot be
            written. What the provider has is still there, and the next run collects it.
    """
    ledger = view.ledger
    stop = stop or StopRequest()
    retries = RetryCounter(max_attempts)
    run = _BatchRun(client, ledger, retries, budget or Budget(), stop, poll_s, wait, on_progress)
    work = asyncio.ensure_future(run.make_all(view))
    stop.on_change = lambda: run.on_stop(work)
    try:
        await work
    except asyncio.CancelledError:
        if not stop.aborting:
            raise
    finally:
        held = run.end()
    return BatchReport(
        totals=view.totals(),
        over_budget=run.over_budget,
        stopped=stop.draining,
        batches=len(run.tracker.open()),
        held_back=run.held_back,
        held_tokens=held.tokens,
        held_usd=held.cost_usd or 0.0,
    )


async def collect(client: BatchClient, ledger: Ledger, budget: Budget | None = None) -> int:
    """Look at every open batch once, land what has ended; return how many calls were landed.

    For a run that goes on by other means: what is still at the provider stays there, and what the
    provider does not have or take is to do again. From the budget goes what was landed, and what
    is still there is held back.

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
    for batch, remote in await tracker.look():
        reasons = "it waited for room" if remote is None else remote.reasons
        calls = plural(batch.calls, "call")
        log.warning("generate: a batch of %s was not taken: %s", calls, reasons)
        tracker.forget(batch, reasons)
    builder = BatchBuilder(client, ledger, budget)
    for batch in tracker.open():
        builder.hold_open(batch)
    return completed


def _spend(
    budget: Budget, completions: Sequence[Completion], client: BatchClient, ledger: Ledger
) -> None:
    """Count what calls took, or may have taken where the provider does not say."""
    for each in completions:
        if is_counted(each):
            budget.spend(each)
        else:
            budget.spend_most(most_of(ledger.call(each.call_id), each, client.prices))


async def cancel_all(client: BatchClient, ledger: Ledger) -> int:
    """Ask the provider to end all open batches; return how many. What is answered is still paid.

    Raises:
        UserError: The provider cannot be asked.
    """
    cancelled = 0
    for batch in BatchTracker(client, ledger, RetryCounter(), lambda completions: None).open():
        if batch.batch_id is None or batch.status == WAITING:
            continue
        try:
            remote = await client.cancel(batch.batch_id)
        except BatchRefused as error:  # it has ended by now
            log.info("generate: batch %s: %s", batch.batch_id, error)
        else:
            ledger.update_batch(replace(batch, status=remote.status))
            cancelled += 1
    return cancelled


def _wanted(view: PlanView) -> Iterator[Planned]:
    """Yield the calls that the ledger lacks, as far as the target needs them."""
    target = Target(view)
    for planned in missing(view, target.is_wanted):
        if not target.has_room(planned.call):
            return
        target.sent([planned.call])
        yield planned


class _BatchRun:
    """Submits what is missing, and waits for it: the only state of a generation by batches."""

    def __init__(
        self,
        client: BatchClient,
        ledger: Ledger,
        retries: RetryCounter,
        budget: Budget,
        stop: StopRequest,
        poll_s: float,
        wait: bool,
        on_progress: Callable[[BatchProgress], None],
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._budget = budget
        self._stop = stop
        self._on_progress = on_progress
        self._progress = BatchProgress()
        self.tracker = BatchTracker(client, ledger, retries, self._on_completed, self._on_closed)
        self._builder = BatchBuilder(client, ledger, budget, retries)
        self._submitter = Submitter(client, ledger, self.tracker, poll_s)
        self._poll_s, self._wait = poll_s, wait
        self.over_budget = self.held_back = False
        self._collected: set[str] = set()  # stages of which something was landed
        self._wake = asyncio.Event()

    async def make_all(self, view: PlanView) -> None:
        """Go through the plan: the preparing steps, then the texts."""
        for batch in self.tracker.open():
            self._builder.hold_open(batch)
        await self._make("preparing", lambda: preparing_round(view))
        if not self._stop.draining:
            await self._make("texts", lambda: _wanted(view))

    def on_stop(self, work: asyncio.Future[None]) -> None:
        """Somebody has pressed Ctrl-C, once or twice."""
        self._progress = replace(self._progress, phase="stopping")
        self._wake.set()
        if self._stop.aborting:
            work.cancel()

    def end(self) -> Reservation:
        """Tell the user that nothing is lost, if the run ends before its batches.

        Returns what was held for these, which the next run will hold anew.
        """
        held = self._builder.held
        self._builder.release_all()
        batches = [batch for batch in self.tracker.open() if batch.batch_id]
        if batches:
            log.info(
                "generate: open at %s: %s with %s; the same command collects what comes of them",
                self._client.endpoint,
                plural(len(batches), "batch"),
                plural(sum(batch.calls for batch in batches), "call"),
            )
        return held

    async def _make(
        self, phase: Literal["preparing", "texts"], planned: Callable[[], Iterable[Planned]]
    ) -> None:
        """Submit, wait and begin again with what came back, until nothing is left."""
        self._progress = replace(self._progress, phase=phase)
        earlier, self.over_budget = self.over_budget, False
        for number in itertools.count():
            await self._look()
            closed = self.tracker.closed
            # What failed in an earlier run gets another chance, what failed in this one does not.
            stream = CallStream(planned(), self._ledger, retry_failed=number == 0)
            sent = await self._submit(stream)
            while self._wait and self.tracker.open() and not self._stop.draining:
                await self._pause()
                await self._look()
            if self._stop.draining or not self._wait or self.over_budget:
                break
            if not sent and self.tracker.closed == closed:
                break
            self.held_back = False
        self.over_budget = self.over_budget or earlier

    async def _submit(self, stream: CallStream) -> int:
        """Cut a stream of calls into batches and submit them; return the number of calls."""
        sent = sent_anew = 0
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
                    batch, dialect, anew = await builder.fill(batch, stream, file, most)
                    if builder.cut and not self._is_worth_sending(batch, stream):
                        self._drop(batch)
                        break
                    if not batch.calls:
                        continue
                    batch = await submitter.upload(batch, file)
                except BaseException as error:
                    # Without a file at the provider there is no batch, now or later.
                    self.tracker.forget(batch, str(error) or type(error).__name__)
                    raise
            await submitter.create(batch, dialect)
            sent, sent_anew = sent + batch.calls, sent_anew + anew
            self._report()
        if sent_anew:
            log.info(
                "generate: collected in this run so far: %s; "
                "came back without an answer and submitted again: %s",
                plural(self._progress.new, "call"),
                plural(sent_anew, "call"),
            )
        return sent

    def _is_worth_sending(self, batch: SubmittedBatch, stream: CallStream) -> bool:
        """Decide about a batch that the budget has cut; note why, if it is not to be sent.

        What is held for other batches is mostly free again once they have landed. When nothing is
        held any more, a run may buy a first batch of any size of every stage, but not a series of
        dwindling ones.
        """
        others = [each for each in self.tracker.open() if each.token != batch.token]
        if others:
            self.over_budget = self._builder.spent_out and not batch.calls
            self.held_back = not self.over_budget
            if self.held_back:
                log.info(
                    "generate: the rest of the budget is held for %s; what is left of it when they "
                    "have landed buys further calls",
                    plural(len(others), "open batch"),
                )
            return False
        ahead = stream.head()
        first = ahead is not None and ahead.call.stage not in self._collected
        if batch.calls and (first or batch.calls >= self._least_calls()):
            self.held_back = True
            return True
        self.over_budget = True
        if batch.calls:
            log.warning(
                "generate: the rest of the budget is enough for a batch of %s only, since each is "
                "held at its most until it is answered, and so small a batch is not sent; a higher "
                "limit, a lower generate.max_tokens or generate.engine openai goes further",
                plural(batch.calls, "call"),
            )
        return False

    def _least_calls(self) -> int:
        """Less does not follow upon the batches so far, of this run and of others."""
        batches = self._ledger.batches(open_only=False)
        taken = [b.calls for b in batches if b.batch_id is not None and b.status != "rejected"]
        return max(SMALLEST_BATCH, round(LEAST_SHARE * max(taken, default=0)))

    def _drop(self, batch: SubmittedBatch) -> None:
        """Do not send a batch that was cut; its calls are to do again."""
        if batch.calls:
            self.tracker.forget(batch, "cut short by the budget, and not sent")

    async def _room(self) -> bool:
        """Wait until another batch may be uploaded; False if that is not worth waiting for."""
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
            await self._look()
        return False

    async def _look(self) -> None:
        for stuck in await self.tracker.look():
            await self._submitter.unstick(stuck)
        self._report()

    async def _pause(self) -> None:
        """Sleep until the next look, or until somebody stops the run."""
        self._report()
        try:
            await asyncio.wait_for(self._wake.wait(), self._poll_s)
        except TimeoutError:
            return

    def _on_closed(self, batch: SubmittedBatch) -> None:
        self._builder.release(batch)
        self._submitter.closed(batch)

    def _on_completed(self, completions: Sequence[Completion]) -> None:
        answered = [each for each in completions if each.error is None]
        _spend(self._budget, completions, self._client, self._ledger)
        for completed in completions[:1]:  # they are of one batch
            record = self._ledger.get(completed.call_id)
            self._collected |= {record.stage} if record else set()
        old = self._progress
        costs = [old.new_cost_usd, *(each.cost_usd for each in answered)]
        self._progress = replace(
            old,
            new=old.new + len(completions),
            new_failed=old.new_failed + len(completions) - len(answered),
            new_tokens=old.new_tokens + sum(each.usage.completion_tokens for each in answered),
            new_cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )

    def _report(self) -> None:
        batches = self.tracker.open()
        waiting = sum(batch.calls for batch in batches)
        self._on_progress(
            replace(
                self._progress,
                batches=len(batches),
                waiting=waiting,
                answered=self.tracker.answered,
            )
        )
