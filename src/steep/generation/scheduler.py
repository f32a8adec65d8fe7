"""Makes the plan come true: sends what the ledger lacks, and records what comes back as it comes.

First the openings, in rounds over all documents, then all other calls in plan order. Calls go out
in groups of `client.batch_size`, up to `client.concurrency` groups at once; memory holds no more
than those and a stretch of the plan.

**Groups depend on the plan alone**, never on what is already done: the n-th group is the n-th run
of `batch_size` consecutive planned calls. A model in this process draws random numbers for a whole
batch, so the texts of a batch depend on its company, and a run that was killed and resumed must
make the same batches as one that was not. That holds because a group is recorded in one
transaction: it is either whole in the ledger or not at all. (A group is sent in part only when some
of its calls failed, or were bought before under another configuration.)

A call in the ledger is never repeated, but a failed one is tried again by the next run. The first
group goes out alone, so that a wrong key or model costs one request and not a volley of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from steep.core.calls import Call, Completion
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.ledger import Ledger
from steep.generation.plan import Totals, calls_of, opening_of, totals
from steep.generation.records import status_of
from steep.llm.client import Client, FatalError
from steep.recipes.recipe import Recipe

CALLS_A_STRETCH = 256

Task = asyncio.Task[list[Completion]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is. `finished` counts all its calls in the ledger, `new` those of this run.

    Attributes:
        new_cost_usd: Cost of this run so far; None when the price is not known.
    """

    phase: Literal["openings", "calls", "stopping"]
    planned: int
    finished: int
    in_flight: int
    new: int
    new_failed: int
    new_tokens: int
    new_cost_usd: float | None


async def generate(
    documents: Sequence[Document],
    recipe: Recipe,
    client: Client,
    ledger: Ledger,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Totals:
    """Make every call of the plan that the ledger lacks, and return what came of the plan.

    What is in flight when the run is cancelled (Ctrl-C) or cannot go on is waited for and recorded:
    it is paid for.

    Raises:
        UserError: The client can complete no call at all, or the ledger cannot be written.
    """
    run = _Run(client, ledger, on_progress)
    try:
        for calls in _opening_rounds(documents, recipe, ledger):
            await run.make("openings", len(calls), calls)
        planned = sum(len(calls_of(document, recipe, ledger)) for document in documents)
        plan = (call for document in documents for call in calls_of(document, recipe, ledger))
        await run.make("calls", planned, plan)
    except FatalError as error:
        await run.stop()
        raise UserError(str(error)) from error
    except BaseException:
        await run.stop()
        raise
    return totals(documents, recipe, ledger)


def _opening_rounds(
    documents: Sequence[Document], recipe: Recipe, ledger: Ledger
) -> Iterator[list[Call]]:
    """Yield the first opening call of every document, then all second ones, and so on.

    The calls of round n follow from the answers to the rounds before, whichever run had them.
    """
    for number in itertools.count():
        openings = (opening_of(document, recipe, ledger).planned for document in documents)
        calls = [planned[number].call for planned in openings if len(planned) > number]
        if not calls:
            return
        yield calls


class _Run:
    """The calls in flight, and what has come back: the only state of a generation."""

    def __init__(
        self, client: Client, ledger: Ledger, on_progress: Callable[[Progress], None]
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._on_progress = on_progress
        self._flying: dict[Task, list[Call]] = {}
        self._ledger_failed = False
        self._proven = False  # a first group has come back
        self._progress = Progress("openings", 0, 0, 0, 0, 0, 0, 0.0)

    async def make(
        self, phase: Literal["openings", "calls"], planned: int, calls: Iterable[Call]
    ) -> None:
        """Send what is missing of `calls`; return when all is recorded."""
        self._progress = replace(self._progress, phase=phase, planned=planned, finished=0)
        for group in self._missing_groups(calls):
            await asyncio.sleep(0)  # a long plan that is all there must still heed Ctrl-C
            if not group:
                continue
            while len(self._flying) >= (self._client.concurrency if self._proven else 1):
                await self._land_or_raise()
            self._flying[asyncio.create_task(self._client.complete(group))] = group
        while self._flying:
            await self._land_or_raise()

    async def stop(self) -> None:
        """Wait for what is in flight and record it, unless the ledger takes nothing more."""
        self._progress = replace(self._progress, phase="stopping")
        try:
            while self._flying and not self._ledger_failed:
                await self._land()  # its failures come after the one that stopped the run
        finally:
            for task in self._flying:
                task.cancel()
            await asyncio.gather(*self._flying, return_exceptions=True)

    async def _land(self) -> list[BaseException]:
        """Wait for at least one group, and record all that are back: one transaction.

        Returns the failures that concern more than one call.
        """
        self._report()
        landed, _ = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
        pairs: list[tuple[Call, Completion]] = []
        errors: list[BaseException] = []
        for task in landed:
            calls = self._flying.pop(task)
            if error := task.exception():
                errors.append(error)
            else:
                pairs += zip(calls, task.result(), strict=True)
        self._record(pairs)
        return errors

    async def _land_or_raise(self) -> None:
        if errors := await self._land():
            raise errors[0]
        self._proven = True

    def _record(self, pairs: Sequence[tuple[Call, Completion]]) -> None:
        try:
            self._ledger.record(pairs)
        except BaseException:
            self._ledger_failed = True
            raise
        self._count([completion for _, completion in pairs])
        self._report()

    def _missing_groups(self, calls: Iterable[Call]) -> Iterator[list[Call]]:
        """Cut the plan into groups, each without its calls that are recorded or on their way."""
        size = self._client.batch_size
        groups_a_stretch = max(1, CALLS_A_STRETCH // size)
        remaining = iter(calls)
        while stretch := list(itertools.islice(remaining, groups_a_stretch * size)):
            statuses = self._ledger.statuses(call.id for call in stretch)
            # All groups before this stretch are recorded or in flight by now. A call that two
            # documents share stands in the plan twice.
            known = {call_id for call_id, status in statuses.items() if status != "failed"}
            known.update(call.id for group in self._flying.values() for call in group)
            for start in range(0, len(stretch), size):
                planned = stretch[start : start + size]
                group = {call.id: call for call in planned if call.id not in known}
                known.update(group)
                finished = self._progress.finished + len(planned) - len(group)
                self._progress = replace(self._progress, finished=finished)
                yield list(group.values())
            self._report()

    def _count(self, completions: Sequence[Completion]) -> None:
        old = self._progress
        answered = [each for each in completions if status_of(each) != "failed"]
        costs = [old.new_cost_usd, *(each.cost_usd for each in answered)]
        self._progress = replace(
            old,
            finished=old.finished + len(completions),
            new=old.new + len(completions),
            new_failed=old.new_failed + len(completions) - len(answered),
            new_tokens=old.new_tokens + sum(each.usage.completion_tokens for each in answered),
            new_cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )

    def _report(self) -> None:
        in_flight = sum(len(group) for group in self._flying.values())
        self._on_progress(replace(self._progress, in_flight=in_flight))
