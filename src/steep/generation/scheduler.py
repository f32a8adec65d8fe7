"""Send the calls of a plan that the ledger lacks, and record the answers as they arrive.

First the preparing steps, in rounds over all documents, then all other calls as documents take
turns, then salvage rounds for transient failures. Memory holds the calls in flight and the turns of
the open documents, however long the plan is. Answers that arrive within `COMMIT_S` are written by
one durable transaction. Until then they count as in flight: however the process dies, no more
answers are lost than calls were allowed at once.

A call in the ledger is never repeated, but a failed one is tried again by the next run. The first
group is sent alone, so that a wrong key or model costs one request.

A run is stopped in two steps. `StopRequest.drain`: nothing more is sent; the calls in flight are
paid for, and therefore waited for and recorded. `StopRequest.abort`: they are not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.endpoints import Endpoints
from steep.generation.plan import PlanView
from steep.generation.progress import GenerationProgress, GenerationReport, Phase, StopRequest
from steep.generation.target import Target
from steep.generation.work_queue import (
    DocumentQueue,
    FlatQueue,
    Group,
    WorkQueue,
    document_work,
    preparing_rounds,
    preparing_work,
)
from steep.ledger.account import Account
from steep.ledger.budget import Budget, Reservation
from steep.ledger.endpoint_worker import EndpointWorker, Outcome
from steep.ledger.records import Entry, has_failed
from steep.llm.client import FatalError

COMMIT_S = 0.005
COMMIT_CALLS = 16
NO_QUEUES: Mapping[int, WorkQueue] = {}
MOST_RECENT = 16_384  # calls: more than end while the calls of a turn wait to be sent


async def generate(
    view: PlanView,
    workers: Sequence[EndpointWorker[Call]],
    *,
    budget: Budget | None = None,
    salvage_rounds: int = 0,
    stop: StopRequest | None = None,
    on_progress: Callable[[GenerationProgress], None] = lambda progress: None,
) -> GenerationReport:
    """Make every call of the plan that the ledger lacks; transient failures in further rounds.

    Raises:
        UserError: The endpoints can complete no call at all, or the ledger cannot be written. The
            calls in flight have been waited for and recorded.
    """
    run = _Run(workers, view, budget or Budget(), stop or StopRequest(), on_progress)
    try:
        rounds_left = salvage_rounds
        await run.make_all()
        while not run.ended and (run.again or (run.may_pass and rounds_left)):
            rounds_left -= run.may_pass
            await run.make_all(salvage=run.may_pass)
    except BaseException:
        await run.finish()
        raise
    return GenerationReport(
        view.totals(),
        run.over_budget,
        run.stop.draining,
        run.endpoints.statistics,
        tuple(run.dropped),
        run.account.lost,
    )


Task = asyncio.Task[Outcome]


class _Run:
    """The calls in flight, and what has come back: the only state of a generation."""

    def __init__(
        self,
        workers: Sequence[EndpointWorker[Call]],
        view: PlanView,
        budget: Budget,
        stop: StopRequest,
        on_progress: Callable[[GenerationProgress], None],
    ) -> None:
        self.endpoints = Endpoints(workers)
        self._view = view
        self._target = Target(view)
        self.account = Account(budget, view.ledger)
        for worker in workers:
            self.account.attach(worker)
        self._ledger = view.ledger
        self._budget = budget
        self._on_progress = on_progress
        self.stop = stop
        self.stop.on_change = self._on_stop
        self.over_budget = False
        self.may_pass = False  # something failed that is worth another round
        self._flying: dict[Task, tuple[int, Group, Reservation]] = {}
        self._flying_ids: set[str] = set()
        self._in_worker = [0] * len(workers)
        self._unusable: set[str] = set()  # calls that no further round will help
        self._recent: dict[str, None] = {}  # recorded since the calls of a turn were looked up
        self.again = False  # going through the plan once more will find calls, or calls to do
        self._completed: list[Task] = []
        self._wake = asyncio.Event()
        self._held: tuple[int, Group] | None = None  # taken from a queue, but over the budget
        self._waiting: dict[int, Group] = {}  # not needed, if what is in flight gives text
        self._ledger_failed = False
        self.dropped: list[Reservation] = []  # of calls that were sent and not waited for
        self._progress = GenerationProgress("preparing")

    @property
    def ended(self) -> bool:
        """Nothing more may be sent."""
        return self.stop.draining or self.over_budget or self._target.is_met

    async def make_all(self, salvage: bool = False) -> None:
        """Go through the whole plan once: the preparing steps, then the texts."""
        self.may_pass = self.again = False
        shares = self.endpoints.shares(self._view.documents)
        await self._prepare(shares)
        if self.ended:
            return
        all_texts = [t for recipe in self._view.recipes for t in self._view.all_texts(recipe)]
        planned = sum(texts.number for texts in all_texts)
        finished = sum(self._ledger.finished(texts.key, texts.number) for texts in all_texts)
        queues: dict[int, WorkQueue] = {}
        for number, share in shares.items():
            client = self.endpoints[number].client
            works = document_work(self._view, share, self._target.is_wanted)
            if client.batch_size > 1:
                queues[number] = FlatQueue((work.load() for work in works), client.batch_size)
            else:
                queues[number] = DocumentQueue(works, client.concurrency)
        await self._make("salvage" if salvage else "texts", planned, queues, finished)

    async def _prepare(self, shares: Mapping[int, list[Document]]) -> None:
        """Make the first calls of all preparations, then all second ones, and so on."""
        worker_of = {each.id: number for number, share in shares.items() for each in share}
        documents = self._view.documents
        tried: set[str] = set()
        while not self.ended:
            rounds = preparing_rounds(self._view, documents).values()
            over = tried | self._unusable
            fresh = ([p for p in each if p.call.id not in over] for each in rounds)
            group = next(filter(None, fresh), None)
            if group is None:
                return
            calls = list({planned.call.id: planned for planned in group}.values())
            tried.update(planned.call.id for planned in calls)
            queues: dict[int, WorkQueue] = {}
            for number in shares:
                own = [p for p in calls if worker_of[p.call.document_id] == number]
                client = self.endpoints[number].client
                if client.batch_size > 1:
                    queues[number] = FlatQueue([own], client.batch_size)
                else:
                    queues[number] = DocumentQueue(preparing_work(own), client.concurrency)
            planned = max(len(documents), len(calls))
            await self._make("preparing", planned, queues, planned - len(calls))

    async def finish(self) -> None:
        """Wait for what is in flight and record it, unless the ledger takes nothing more."""
        self._stop_workers()
        self._progress = replace(self._progress, phase="stopping")
        try:
            while self._flying and not self._ledger_failed and not self.stop.aborting:
                await self._ingest()  # its failures come after the one that stopped the run
        finally:
            await self._drop()

    async def _make(
        self, phase: Phase, planned: int, queues: Mapping[int, WorkQueue], finished: int
    ) -> None:
        """Send the calls of the queues; return when all are recorded, or the run is to end."""
        self._progress = replace(self._progress, phase=phase, planned=planned, finished=finished)
        self._report()
        while True:
            if not self.ended and self._fill(queues):
                await asyncio.sleep(0)  # a long plan must not block Ctrl-C
                continue
            if not self._flying:
                break
            errors = await self._ingest(queues)
            if errors:
                raise errors[0]
            if self.stop.aborting:
                await self._drop()
        if self._held is not None and not self.stop.draining:
            self.over_budget = True
        self._held = None
        self._waiting.clear()

    def _fill(self, queues: Mapping[int, WorkQueue]) -> bool:
        """Send until the endpoints are full; return whether to ask the queues again at once."""
        again = False
        for number, worker in enumerate(self.endpoints.workers):
            while self._may_send(number, worker):
                taken = self._take(queues[number], number)
                if taken is None:
                    idle = self._held is None and number not in self._waiting
                    if idle and self.endpoints.take_over(number, queues):
                        again = True
                    break
                if not taken:
                    again = True
                    break
                if not self._send(number, worker, taken):
                    return False
        return again

    def _may_send(self, number: int, worker: EndpointWorker[Call]) -> bool:
        if number in self.endpoints.excluded or self.ended:
            return False
        if number in self.endpoints.proven:
            return self._in_worker[number] < worker.client.concurrency
        # The first call of a run goes alone, and so does the first one of each endpoint.
        return self._in_worker[number] == 0 and (bool(self.endpoints.proven) or not self._flying)

    def _take(self, queue: WorkQueue, number: int) -> Group | None:
        if self._held is not None:
            worker, held = self._held
            if worker != number:
                return None
            self._held = None
            return held
        group = self._waiting.pop(number, None) or queue.next()
        if not group:
            return group
        if self._target.is_over(group[0].call):
            queue.completed(group)
            return []
        if not self._target.needs(group[0].call):
            self._waiting[number] = group
            return None
        # One that fails for good is not worth another round. A call that two documents share stands
        # in the plan twice: the next round will find it in the ledger.
        kept = {p.call.id: p for p in group if p.call.id not in self._unusable}
        twins = [each for each in kept if each in self._flying_ids or each in self._recent]
        self.again = self.again or len(twins) > 0
        for each in twins:
            del kept[each]
        if len(kept) < len(group):
            queue.completed(group)
        return list(kept.values())

    def _send(self, number: int, worker: EndpointWorker[Call], group: Group) -> bool:
        """Start a group, if the budget allows; otherwise hold it back."""
        calls = [planned.call for planned in group]
        most = worker.most(calls)
        if not self._budget.reserve(most):
            self._held = (number, group)
            return False
        self._target.sent(calls)
        task = asyncio.create_task(worker.send(calls))
        self._flying[task] = (number, group, most)
        self._flying_ids.update(call.id for call in calls)
        self._in_worker[number] += 1
        task.add_done_callback(self._on_completed)
        return True

    def _on_completed(self, task: Task) -> None:
        self._completed.append(task)
        self._wake.set()

    def _on_stop(self) -> None:
        self._stop_workers()
        self._progress = replace(self._progress, phase="stopping", asked_to_stop=True)
        self._wake.set()

    def _stop_workers(self) -> None:
        for worker in self.endpoints.workers:
            worker.stop()

    async def _ingest(self, queues: Mapping[int, WorkQueue] = NO_QUEUES) -> list[BaseException]:
        """Wait for at least one group, and record all that are back: one transaction.

        Returns the failures that concern more than one call.
        """
        self._report()
        await self._wake.wait()
        if len(self._completed) < COMMIT_CALLS and len(self._flying) > len(self._completed):
            await asyncio.sleep(COMMIT_S)  # more will have landed, for the same transaction
        self._wake.clear()
        return self._collect(queues)

    def _collect(self, queues: Mapping[int, WorkQueue] = NO_QUEUES) -> list[BaseException]:
        completed, self._completed = self._completed, []
        entries: list[Entry] = []
        errors: list[BaseException] = []
        for task in completed:
            number, group, most = self._flying.pop(task)
            self._in_worker[number] -= 1
            calls = [planned.call for planned in group]
            self._flying_ids.difference_update(call.id for call in calls)
            error = None if task.cancelled() else task.exception()
            if task.cancelled() or error is not None:
                self._budget.release(most)
                self._target.ended(calls, None)
                if error is not None:
                    errors += self._failure(number, error)
            else:
                outcome = task.result()
                self._target.ended(calls, outcome.completions)
                entries += self._outcome(number, group, most, outcome)
                if outcome.fatal is not None:
                    errors += self._failure(number, outcome.fatal)
            if number in queues:
                queues[number].completed(group)
        self._record(entries)
        return errors

    def _failure(self, number: int, error: BaseException) -> list[BaseException]:
        """An endpoint that dies is left out while another one works; its calls come again."""
        if not (isinstance(error, FatalError) and self.endpoints.exclude(number, error)):
            return [error]
        self.again = True
        if self._held is not None and self._held[0] == number:
            self._held = None
        return []

    def _outcome(
        self, number: int, group: Group, most: Reservation, outcome: Outcome
    ) -> list[Entry]:
        calls = [planned.call for planned in group]
        self.account.settle(self.endpoints[number], calls, most, outcome)
        self.over_budget = self.over_budget or outcome.unaffordable
        if outcome.completions is None:
            return []
        if not outcome.may_pass:
            self.endpoints.prove(number)
        self.may_pass = self.may_pass or outcome.may_pass
        pairs = list(zip(group, outcome.completions, strict=True))
        if not outcome.may_pass:
            self._unusable.update(planned.call.id for planned, each in pairs if has_failed(each))
        return [Entry(planned.call, each, planned.slot) for planned, each in pairs]

    def _record(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        try:
            self._ledger.record(entries)
        except BaseException:
            self._ledger_failed = True
            raise
        self._target.recorded([each.call.id for each in entries])
        answered = (each.call.id for each in entries if not has_failed(each.completion))
        self._recent.update(dict.fromkeys(answered))
        while len(self._recent) > MOST_RECENT:
            del self._recent[next(iter(self._recent))]
        steps = [(entry.call.recipe, entry.call.stage) for entry in entries]
        self._progress = self._progress.after([entry.completion for entry in entries], steps)
        self._report()

    async def _drop(self) -> None:
        """End what is in flight; what is back by now is recorded."""
        if not self._ledger_failed:
            self._collect()
        for task, (number, group, _) in self._flying.items():
            self.dropped += [self.endpoints[number].most([planned.call]) for planned in group]
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        self._flying.clear()
        self._completed.clear()

    def _report(self) -> None:
        statistics = self.endpoints.statistics
        self._on_progress(
            replace(
                self._progress,
                in_flight=sum(len(group) for _, group, _ in self._flying.values()),
                retries=statistics.retries,
                overloads=statistics.overloads,
                new_information=self._target.new_information,
                may_send=sum(worker.concurrency.limit for worker in self.endpoints.workers),
            )
        )
