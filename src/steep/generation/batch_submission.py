"""Hands files of requests to the provider and has batches made of them, once each.

An account may have so many tokens waiting at the provider and no more. A batch that finds the queue
full waits with its file already there, and is tried again when another has closed, or after a
growing pause; one that finds no room in a queue that is otherwise empty is cut in half.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from steep.core.formatting import plural
from steep.generation.batch_tracker import UPLOADED, VALIDATING, WAITING, BatchTracker, Stuck
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.llm.client import FatalError
from steep.llm.openai_batch_wire import BatchRefused, QueueFull
from steep.llm.openai_wire import Dialect, EndpointUnusable

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

SMALLEST_BATCH = 20  # calls; neither a full queue nor the budget cuts a batch into less
LONGEST_QUEUE_S = 1800.0  # between two tries to put a batch into a full queue

log = logging.getLogger("steep")


@dataclass(frozen=True, slots=True)
class _Queued:
    """A batch that found the queue full: how often, and until when another try is not worth it.

    Once another batch has closed (there were `closed` by then), it is.
    """

    tries: int
    closed: int
    not_before_s: float


class Submitter:
    """Submits batches. `most_requests` is what the provider's queue has proved to take of one."""

    def __init__(
        self, client: BatchClient, ledger: Ledger, tracker: BatchTracker, pause_s: float
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._tracker = tracker
        self._pause_s = pause_s
        self._dialects: dict[str, Dialect] = {}  # of files that are at the provider, by token
        self._queue: dict[str, _Queued] = {}
        self.most_requests = client.most_requests

    async def upload(self, batch: SubmittedBatch, file: BinaryIO) -> SubmittedBatch:
        """Upload a batch's file.

        Raises:
            FatalError: The provider does not take it.
        """
        calls = plural(batch.calls, "call")
        log.info("generate: uploading a batch of %s to %s", calls, batch.endpoint)
        try:
            file_id = await self._client.upload(file, f"steep-{batch.token}.jsonl")
        except BatchRefused as error:
            raise refusal(batch, str(error)) from error
        return replace(batch, input_file_id=file_id)

    async def create(self, batch: SubmittedBatch, dialect: Dialect) -> None:
        """Have the provider make a batch of an uploaded file.

        Raises:
            FatalError: It does not make it, or does not say; in that case the next run finds out.
        """
        self._dialects[batch.token] = dialect
        file_id = batch.input_file_id
        assert file_id is not None, "a batch without a file"
        batch = replace(batch, status=UPLOADED, batch_id=None, note=None)
        self._ledger.update_batch(batch)
        try:
            remote = await self._client.create(file_id, batch.token, dialect)
        except QueueFull as error:
            self._queue_full(batch, str(error), None)
        except BatchRefused as error:
            self._tracker.forget(batch, str(error))
            raise refusal(batch, str(error)) from error
        except FatalError as error:
            if isinstance(error.__cause__, EndpointUnusable):  # it said no; silence may mean yes
                self._tracker.forget(batch, "the provider does not make batches")
            raise
        else:
            named = replace(batch, batch_id=remote.id, status=remote.status)
            self._ledger.update_batch(named)

    async def unstick(self, stuck: Stuck) -> None:
        """Decide about a batch that the provider did not take.

        Raises:
            FatalError: It will never take it; the batch's calls are to do again.
        """
        batch, remote = stuck
        if remote is None:
            await self._try_again(batch)
        elif remote.no_room:
            self._dialects[batch.token] = remote.dialect
            self._queue_full(batch, remote.reasons, remote.id)
        else:
            self._tracker.forget(batch, remote.reasons)
            raise refusal(batch, remote.reasons)

    def _queue_full(self, batch: SubmittedBatch, reason: str, refused_id: str | None) -> None:
        """The queue is full: wait for room, or cut in half what finds none in an empty queue."""
        others = [b for b in self._tracker.open() if b.token != batch.token and b.status != WAITING]
        if not others and batch.calls > SMALLEST_BATCH:
            self.most_requests = max(SMALLEST_BATCH, batch.calls // 2)
            self._tracker.forget(batch, reason)
            log.info("generate: %s; batches are cut to %d calls", reason, self.most_requests)
            return
        queued = self._queue.get(batch.token, _Queued(0, 0, 0.0))
        pause_s = min(LONGEST_QUEUE_S, self._pause_s * 2.0 ** min(queued.tries, 20))
        not_before_s = time.monotonic() + pause_s
        self._queue[batch.token] = _Queued(queued.tries + 1, self._tracker.closed, not_before_s)
        waiting = replace(batch, status=WAITING, batch_id=refused_id, note=reason)
        self._ledger.update_batch(waiting)
        if not queued.tries:
            calls = plural(batch.calls, "call")
            log.info("generate: %s; a batch of %s waits for room", reason, calls)

    async def _try_again(self, batch: SubmittedBatch) -> None:
        """Have a batch made that found the queue full, if there may be room by now."""
        queued = self._queue.get(batch.token)
        if VALIDATING in (each.status for each in self._tracker.open()):
            return  # one at a time
        if (
            queued
            and queued.closed == self._tracker.closed
            and time.monotonic() < queued.not_before_s
        ):
            return
        dialect = self._dialects.get(batch.token)
        if dialect is None and batch.batch_id is not None:  # of an earlier run, refused once
            dialect = (await self._client.get(batch.batch_id)).dialect
        if dialect is None:
            self._tracker.forget(batch, "how its requests are phrased is not known any more")
        else:
            await self.create(batch, dialect)

    def closed(self, batch: SubmittedBatch) -> None:
        """Nothing more will come of a batch."""
        self._queue.pop(batch.token, None)
        self._dialects.pop(batch.token, None)


def refusal(batch: SubmittedBatch, reason: str) -> FatalError:
    """Say to the user why a batch was refused."""
    return FatalError(
        f"The provider refused a batch of {plural(batch.calls, 'call')}.",
        where=f"{batch.endpoint}, submitted {batch.submitted_at}",
        found=reason,
        hint="put that right and run the same command again; nothing was charged for it",
    )
