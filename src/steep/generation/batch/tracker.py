"""The open batches of a project: submitted to the provider, watched, and read when they have ended.

A batch of which the ledger has only the token (see `runner`) is looked for at the provider, and
adopted or dropped. A run that submits batches tries again with those that the provider has not
taken (`BatchSubmitter`); one that only collects results does not.

A batch that finds the account's queue full waits with its file already uploaded. It is tried again
when another has closed, or after a growing pause; one that does not fit into an empty queue is
split in half.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from steep.core.calls import Completion
from steep.core.formatting import plural
from steep.generation.batch.results import BatchResults, RetryCounter, drop
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.llm.client import FatalError
from steep.llm.dialect import Dialect
from steep.llm.openai_batch_wire import ENDED, BatchRefused, BatchUnknown, QueueFull, RemoteBatch
from steep.llm.openai_errors import EndpointUnusable

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

# Statuses of our own, for what happens before the provider has named a batch.
PREPARING, UPLOADED, WAITING = "preparing", "uploaded", "waiting"
VALIDATING = "validating"  # the provider's

SMALLEST_BATCH = 20  # calls; neither a full queue nor the budget makes a batch smaller
LONGEST_QUEUE_S = 1800.0  # between two attempts to put a batch into a full queue

log = logging.getLogger("steep")


class Untaken(NamedTuple):
    """A batch that the provider has not taken; `remote` is None if the queue was full."""

    batch: SubmittedBatch
    remote: RemoteBatch | None


class BatchTracker:
    """Watches the open batches of one provider.

    `on_completed` is called with completions once they are recorded, `on_closed` with each batch
    that has ended or was dropped.
    """

    def __init__(
        self,
        client: BatchClient,
        ledger: Ledger,
        retries: RetryCounter,
        on_completed: Callable[[Sequence[Completion]], None],
        on_closed: Callable[[SubmittedBatch], None] = lambda batch: None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._retries = retries
        self._on_completed = on_completed
        self._on_closed = on_closed
        self._answered: dict[str, int] = {}
        self.proven = False  # the provider has let a batch pass its checks
        self.closed = 0  # batches closed so far

    def open(self) -> list[SubmittedBatch]:
        """Return the open batches at this provider, oldest first."""
        return [b for b in self._ledger.batches() if b.endpoint == self._client.endpoint]

    @property
    def answered(self) -> int:
        """Calls of open batches that the provider has answered so far."""
        return sum(self._answered.values())

    async def poll(self) -> list[Untaken]:
        """Poll every open batch once; return those that the provider has not taken.

        Raises:
            FatalError: The provider cannot be asked, or answers no call at all.
        """
        polled = [await self._poll(batch) for batch in self.open()]
        return [untaken for untaken in polled if untaken is not None]

    def drop(self, batch: SubmittedBatch, note: str) -> None:
        """Close a batch that the provider does not have or take; its calls are missing again."""
        drop(self._ledger, batch, note)
        self._close(batch)

    async def _poll(self, batch: SubmittedBatch) -> Untaken | None:
        if batch.status == WAITING:
            return Untaken(batch, None)
        if batch.batch_id is None:
            return await self._find(batch)
        try:
            remote = await self._client.get(batch.batch_id)
        except BatchUnknown as error:
            raise _lost(batch, self._client.endpoint, error) from error
        return await self._follow(batch, remote)

    async def _find(self, batch: SubmittedBatch) -> Untaken | None:
        """Look at the provider for a batch of which the ledger has only the token."""
        found = await self._client.find(batch.token) if batch.status == UPLOADED else None
        if found is None:
            self.drop(batch, "the provider never had it")
            return None
        log.info("generate: batch %s was created as an earlier run ended; adopted", found.id)
        return await self._follow(batch, found)

    async def _follow(self, batch: SubmittedBatch, remote: RemoteBatch) -> Untaken | None:
        """Record the state of a batch at the provider; read its results if it has ended."""
        if remote.refused:
            return Untaken(batch, remote)
        self.proven = self.proven or remote.status != VALIDATING
        if remote.status not in ENDED | {"failed"}:
            self._answered[batch.token] = remote.answered
            if (batch.status, batch.batch_id) != (remote.status, remote.id):
                self._ledger.update_batch(replace(batch, status=remote.status, batch_id=remote.id))
            return None
        named = replace(batch, batch_id=remote.id)
        results = BatchResults(
            self._client, self._ledger, named, remote, self._retries, self._on_completed
        )
        await results.read()
        self._close(named)
        results.check()
        return None

    def _close(self, batch: SubmittedBatch) -> None:
        self._answered.pop(batch.token, None)
        self.closed += 1
        self._on_closed(batch)


def _lost(batch: SubmittedBatch, endpoint: str, error: Exception) -> FatalError:
    return FatalError(
        f"The provider does not know a batch of {plural(batch.calls, 'call')}.",
        where=f"{endpoint}, submitted {batch.submitted_at}",
        found=error,
        hint="use the key of the account and project that submitted it",
    )


@dataclass(frozen=True, slots=True)
class _Queued:
    """A batch that found the queue full `tries` times.

    It is tried again after `not_before_s`, or once more than `closed` batches have closed.
    """

    tries: int
    closed: int
    not_before_s: float


class BatchSubmitter:
    """Submits batches of at most `most_requests` calls, as many as the queue has proved to take."""

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
            raise _refused(batch, str(error)) from error
        return replace(batch, input_file_id=file_id)

    async def create(self, batch: SubmittedBatch, dialect: Dialect) -> None:
        """Create a batch from an uploaded file.

        Raises:
            FatalError: The provider refuses, or does not answer; then the next run finds out.
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
            self._tracker.drop(batch, str(error))
            raise _refused(batch, str(error)) from error
        except FatalError as error:
            if isinstance(error.__cause__, EndpointUnusable):  # refused; no answer may mean success
                self._tracker.drop(batch, "the provider does not create batches")
            raise
        else:
            named = replace(batch, batch_id=remote.id, status=remote.status)
            self._ledger.update_batch(named)

    async def retry(self, untaken: Untaken) -> None:
        """Try again to have a batch taken that the provider has not taken.

        Raises:
            FatalError: It will never take it; the batch's calls are missing again.
        """
        batch, remote = untaken
        if remote is None:
            await self._try_again(batch)
        elif remote.no_room:
            self._dialects[batch.token] = remote.dialect
            self._queue_full(batch, remote.reasons, remote.id)
        else:
            self._tracker.drop(batch, remote.reasons)
            raise _refused(batch, remote.reasons)

    def _queue_full(self, batch: SubmittedBatch, reason: str, refused_id: str | None) -> None:
        """Let a batch wait; split one that does not fit into an empty queue."""
        others = [b for b in self._tracker.open() if b.token != batch.token and b.status != WAITING]
        if not others and batch.calls > SMALLEST_BATCH:
            self.most_requests = max(SMALLEST_BATCH, batch.calls // 2)
            self._tracker.drop(batch, reason)
            log.info("generate: %s; batches are limited to %d calls", reason, self.most_requests)
            return
        queued = self._queue.get(batch.token, _Queued(0, 0, 0.0))
        pause_s = min(LONGEST_QUEUE_S, self._pause_s * 2.0 ** min(queued.tries, 20))
        not_before_s = time.monotonic() + pause_s
        self._queue[batch.token] = _Queued(queued.tries + 1, self._tracker.closed, not_before_s)
        waiting = replace(batch, status=WAITING, batch_id=refused_id, note=reason)
        self._ledger.update_batch(waiting)
        if not queued.tries:
            calls = plural(batch.calls, "call")
            log.info("generate: %s; a batch of %s waits for a place in the queue", reason, calls)

    async def _try_again(self, batch: SubmittedBatch) -> None:
        """Create a batch that found the queue full, if it may have shrunk by now."""
        queued = self._queue.get(batch.token)
        if VALIDATING in (each.status for each in self._tracker.open()):
            return  # create one at a time
        is_full = queued is not None and queued.closed == self._tracker.closed
        if queued is not None and is_full and time.monotonic() < queued.not_before_s:
            return
        dialect = self._dialects.get(batch.token)
        if dialect is None and batch.batch_id is not None:  # of an earlier run, refused once
            dialect = (await self._client.get(batch.batch_id)).dialect
        if dialect is None:
            self._tracker.drop(batch, "the form of its requests is no longer known")
        else:
            await self.create(batch, dialect)

    def closed(self, batch: SubmittedBatch) -> None:
        """Forget the state of a batch that has closed."""
        self._queue.pop(batch.token, None)
        self._dialects.pop(batch.token, None)


def _refused(batch: SubmittedBatch, reason: str) -> FatalError:
    """Return the error for a batch that the provider refuses for good."""
    return FatalError(
        f"The provider refused a batch of {plural(batch.calls, 'call')}.",
        where=f"{batch.endpoint}, submitted {batch.submitted_at}",
        found=reason,
        hint="fix the cause and run the same command again; nothing was charged for the batch",
    )
