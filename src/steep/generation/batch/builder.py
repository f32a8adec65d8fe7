"""Split the missing calls into batches of the size that the provider takes and the budget allows.

Requests and calls are written as the plan is enumerated, so memory does not grow with the batch.
The most that a batch can cost is reserved from the budget until the batch is closed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from steep.core.calls import Call, Completion, Usage
from steep.generation.batch.results import CALLS_PER_CHUNK, RetryCounter
from steep.generation.work_queue import Planned
from steep.ledger.budget import NOTHING, Budget, Reservation, reservation, total
from steep.ledger.ledger import Ledger
from steep.ledger.records import SKIPPED_REASON, Entry, SubmittedBatch
from steep.llm.client import FatalError
from steep.llm.dialect import ENDLESS, Dialect
from steep.llm.openai_batch_wire import request_line

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient


class CallStream:
    """The calls to send, each once; looked up in the ledger in chunks just before they go."""

    def __init__(self, planned: Iterable[Planned], ledger: Ledger, *, retry_failed: bool) -> None:
        self._planned = iter(planned)
        self._ledger = ledger
        self._wanted = (None, "failed") if retry_failed else (None,)
        self.ahead: deque[Planned] = deque()  # looked up

    def head(self) -> Planned | None:
        """Return the next call without removing it, or None if there is none."""
        while not self.ahead:
            some = list(itertools.islice(self._planned, CALLS_PER_CHUNK))
            if not some:
                return None
            statuses = self._ledger.statuses(planned.call.id for planned in some)
            # A call that two documents share stands in the plan twice.
            new = {p.call.id: p for p in some if statuses.get(p.call.id) in self._wanted}
            self.ahead.extend(new.values())
        return self.ahead[0]


class Filled(NamedTuple):
    """A batch whose requests are in a file, in the form `dialect`; it may have no calls.

    `resent` of its calls were submitted before in this run, or collected by it unanswered.
    """

    batch: SubmittedBatch
    dialect: Dialect
    resent: int


class BatchBuilder:
    """Fills one batch after the other, as far as the budget allows.

    Attributes:
        cut: Whether the budget was too small for the next call of the last batch.
    """

    def __init__(
        self,
        client: BatchClient,
        ledger: Ledger,
        budget: Budget,
        retries: RetryCounter | None = None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._budget = budget
        self._retries = retries or RetryCounter()
        self._held: dict[str, Reservation] = {}  # by the batch's token
        self.cut = False

    async def fill(
        self, batch: SubmittedBatch, stream: CallStream, file: BinaryIO, most_requests: int
    ) -> Filled:
        """Write the next batch's requests to its file, and its calls to the ledger.

        Raises:
            FatalError: The endpoint takes no limit on answers, and the budget needs one.
        """
        dialect = self._client.dialect
        if self._limited and not dialect.limits_answers:
            problem, hint = ENDLESS
            raise FatalError(problem, where=self._client.endpoint, hint=hint)
        calls: list[Call] = []
        size, resent, model = 0, 0, None
        self.cut = False
        while batch.calls + len(calls) < most_requests:
            if not stream.ahead:  # the lookup must see what is submitted already
                batch, calls = self._write(batch, calls), []
                await asyncio.sleep(0)  # a long plan must not block Ctrl-C
            planned = stream.head()
            if planned is None:
                break
            call = planned.call
            line = request_line(call, dialect)
            if len(line) > self._client.most_bytes:
                self._skip(stream.ahead.popleft(), len(line))
                continue
            size += len(line)
            model = model or call.model  # a batch is for one model
            if size > self._client.most_bytes or call.model != model:
                break
            most = reservation(call, self._client.prices)
            self.cut = not self._budget.reserve(most)
            if self.cut:
                break
            self._hold(batch, most)
            file.write(line)
            resent += self._retries.attempts(call.id) > 1
            calls.append(stream.ahead.popleft().call)
        file.flush()
        return Filled(self._write(batch, calls), dialect, resent)

    def hold_open(self, batch: SubmittedBatch) -> None:
        """Reserve what a batch of an earlier run can cost, even if that exceeds the budget."""
        if not self._limited:
            return
        for call in self._ledger.waiting_calls(batch.token):
            most = reservation(call, self._client.prices)
            self._hold(batch, most)
            self._budget.reserved_tokens += most.tokens
            self._budget.reserved_usd += most.cost_usd or 0.0

    @property
    def held(self) -> Reservation:
        """The most that the open batches can cost; nothing if there is no limit."""
        return total(self._held.values()) if self._limited else NOTHING

    @property
    def _limited(self) -> bool:
        return self._budget.max_tokens is not None or self._budget.max_cost_usd is not None

    def release(self, batch: SubmittedBatch) -> None:
        """Release what was reserved for a batch."""
        self._budget.release(self._held.pop(batch.token, NOTHING))

    def release_all(self) -> None:
        """Release all reservations: the next run reserves again what is still open."""
        while self._held:
            self._budget.release(self._held.popitem()[1])

    def _hold(self, batch: SubmittedBatch, most: Reservation) -> None:
        self._held[batch.token] = total([self._held.get(batch.token, NOTHING), most])

    def _write(self, batch: SubmittedBatch, calls: list[Call]) -> SubmittedBatch:
        if not calls:
            return batch
        grown = replace(batch, calls=batch.calls + len(calls))
        self._ledger.submit(grown, calls)
        return grown

    def _skip(self, planned: Planned, size: int) -> None:
        """Record a call that is too large for any batch."""
        most, endpoint = self._client.most_bytes, self._client.endpoint
        skipped = Completion(
            call_id=planned.call.id,
            text="",
            finish_reason=SKIPPED_REASON,
            usage=Usage(),
            cost_usd=None,
            latency_s=0.0,
            endpoint=endpoint,
            attempts=0,
            error=f"the request has {size:,} bytes, a batch at most {most:,} [{endpoint}]",
        )
        self._ledger.record([Entry(planned.call, skipped, planned.slot)])
