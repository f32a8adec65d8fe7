"""The open batches of a project: watched at the provider, and landed when they have ended.

A batch of which the ledger has only the token (see `steep.generation.batches`) is looked for at the
provider, and adopted or forgotten. What to do with a batch that the provider did not take is not
decided here: a run that submits batches and one that only collects them do different things.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from steep.core.calls import Completion
from steep.core.formatting import plural
from steep.generation.batch_results import BatchResults, RetryCounter, forget
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.llm.client import FatalError
from steep.llm.openai_batch_wire import ENDED, BatchUnknown, RemoteBatch

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

# Our own words for what happens before the provider has named a batch.
PREPARING, UPLOADED, WAITING = "preparing", "uploaded", "waiting"
VALIDATING = "validating"  # the provider's

log = logging.getLogger("steep")


class Stuck(NamedTuple):
    """A batch that the provider did not take; `remote` is None for one that waits for room."""

    batch: SubmittedBatch
    remote: RemoteBatch | None


class BatchTracker:
    """Watches the open batches of one provider.

    Args:
        client: The provider.
        ledger: Where the batches are recorded.
        returns: Which calls that come back go out again.
        on_landed: Told of completions once they are recorded.
        on_closed: Told of batches of which nothing more will come.
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
        self.closed = 0  # batches so far

    def open(self) -> list[SubmittedBatch]:
        """The batches that this provider has to answer for, oldest first."""
        return [b for b in self._ledger.batches() if b.endpoint == self._client.endpoint]

    @property
    def answered(self) -> int:
        """Calls of open batches that the provider has answered by now."""
        return sum(self._answered.values())

    async def look(self) -> list[Stuck]:
        """Look at every open batch once; return those that the provider did not take.

        Raises:
            FatalError: The provider cannot be asked, or answers no call at all.
        """
        looked_at = [await self._look_at(batch) for batch in self.open()]
        return [stuck for stuck in looked_at if stuck is not None]

    def forget(self, batch: SubmittedBatch, note: str) -> None:
        """Close a batch that the provider does not have or take: its calls are to do again."""
        forget(self._ledger, batch, note)
        self._close(batch)

    async def _look_at(self, batch: SubmittedBatch) -> Stuck | None:
        if batch.status == WAITING:
            return Stuck(batch, None)
        if batch.batch_id is None:
            return await self._seek(batch)
        try:
            remote = await self._client.get(batch.batch_id)
        except BatchUnknown as error:
            raise _lost(batch, self._client.endpoint, error) from error
        return await self._follow(batch, remote)

    async def _seek(self, batch: SubmittedBatch) -> Stuck | None:
        """Find out whether the provider has a batch that the ledger knows by its token only."""
        found = await self._client.find(batch.token) if batch.status == UPLOADED else None
        if found is None:
            self.forget(batch, "the provider never had it")
            return None
        log.info("generate: batch %s was made as an earlier run ended; it is adopted", found.id)
        return await self._follow(batch, found)

    async def _follow(self, batch: SubmittedBatch, remote: RemoteBatch) -> Stuck | None:
        """Act upon what the provider says about a batch."""
        if remote.refused:
            return Stuck(batch, remote)
        self.proven = self.proven or remote.status != VALIDATING
        if remote.status not in ENDED | {"failed"}:
            self._answered[batch.token] = remote.answered
            if (batch.status, batch.batch_id) != (remote.status, remote.id):
                self._ledger.update_batch(replace(batch, status=remote.status, batch_id=remote.id))
            return None
        named = replace(batch, batch_id=remote.id)
        landing = BatchResults(
            self._client, self._ledger, named, remote, self._retries, self._on_completed
        )
        await landing.read()
        self._close(named)
        landing.check()
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
