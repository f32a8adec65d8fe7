"""Read the answer files of a provider's batch into the ledger.

Lines are recorded in chunks as they arrive, so memory does not grow with the batch; after a kill,
the next run reads the batch again and skips what the ledger has. A call without an answer for a
transient reason (expired, overloaded, cut off) is removed from the ledger, so that it is submitted
again, up to a number of submissions per run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from steep.core.calls import Completion, Usage
from steep.core.formatting import plural
from steep.ledger.budget import recounted
from steep.ledger.ledger import Ledger, chunks
from steep.ledger.records import SubmittedBatch
from steep.llm.client import FatalError
from steep.llm.openai_batch_wire import FileGone, Item, RemoteBatch, read_item
from steep.llm.openai_errors import EndpointUnusable, RejectedRequest, UnsupportedParameter
from steep.llm.openai_wire import ParsedAnswer

if TYPE_CHECKING:  # it loads aiohttp
    from steep.llm.openai_batch import BatchClient

CALLS_PER_CHUNK = 500
MOST_READS = 3
MOST_LOST = 0.01  # of the answers; so few are paid again rather than waited for
SILENT = "the batch ended without an answer or error for this call"

log = logging.getLogger("steep")


class RetryCounter:
    """Counts how often calls were not answered; after `most` submissions a call has failed."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._times: Counter[str] = Counter()

    def attempts(self, call_id: str) -> int:
        """Return the number of submissions of a call, including the current one."""
        return self._times[call_id] + 1

    def retry(self, call_id: str) -> bool:
        """Count an unanswered call; return whether to submit it again."""
        if self._most is not None and self.attempts(call_id) >= self._most:
            return False
        self._times[call_id] += 1
        return True


class BatchResults:
    """Records the results of one batch that has ended; `on_completed` is called afterwards."""

    def __init__(
        self,
        client: BatchClient,
        ledger: Ledger,
        batch: SubmittedBatch,
        remote: RemoteBatch,
        retries: RetryCounter,
        on_completed: Callable[[Sequence[Completion]], None],
    ) -> None:
        self._client, self._ledger = client, ledger
        self._batch, self._remote = batch, remote
        self._retries = retries
        self._on_completed = on_completed
        self._unusable_reason: EndpointUnusable | None = None
        self._unreadable = 0
        self.completed = self.failed = self.again = 0

    async def read(self) -> None:
        """Record all results of the batch, and close it.

        Raises:
            FatalError: The provider cannot be asked, or its files are far from complete.
        """
        await self._read_files()
        left = list(self._ledger.waiting(self._batch.token))
        for some in chunks(left, CALLS_PER_CHUNK):
            self._record([self._unanswered(call_id, SILENT) for call_id in some])
        note = f"{self._remote.status}: {self.completed} answered, {self.failed} failed"
        note += f", {self.again} to submit again" if self.again else ""
        note += f", {plural(self._unreadable, 'unreadable line')}" if self._unreadable else ""
        close(self._ledger, self._batch, "collected", note)
        calls = plural(self._batch.calls, "call")
        log.info("generate: batch %s of %s: %s", self._remote.id, calls, note)

    def check(self) -> None:
        """Stop the run if calls failed for a reason that concerns every call.

        Raises:
            FatalError: They did; they are submitted again by the next run.
        """
        if self._unusable_reason is not None:
            raise self._client.fatal(self._unusable_reason, f"batch {self._remote.id}")

    async def _read_files(self) -> None:
        """Read the answer files, again if they hold fewer answers than the provider counts."""
        expected, lines = self._remote.answered, 0
        for _ in range(MOST_READS):
            lines = 0
            for file_id in filter(None, (self._remote.output_file_id, self._remote.error_file_id)):
                found = await self._read(file_id)
                if found is None:
                    return
                lines += found
            if lines >= expected:
                return
        if expected - lines > max(1, MOST_LOST * expected):
            raise self._incomplete(lines)
        log.warning(
            "generate: batch %s: %s counted, its files hold %d; the rest is submitted again",
            *(self._remote.id, plural(expected, "answer"), lines),
        )

    async def _read(self, file_id: str) -> int | None:
        """Record the lines of a file; return their number, or None if the file is gone."""
        number = 0
        items: list[Item] = []
        try:
            async with aclosing(self._client.lines(file_id)) as lines:
                async for line in lines:
                    item = read_item(line, self._remote.dialect)
                    if item is None:
                        self._unreadable += 1
                        continue
                    number += 1
                    items.append(item)
                    if len(items) == CALLS_PER_CHUNK:
                        self._settle(items)
                        items = []
        except FileGone as error:
            log.warning("generate: batch %s: its answers are gone: %s", self._remote.id, error)
            return None
        self._settle(items)
        return number

    def _settle(self, items: Sequence[Item]) -> None:
        """Record the results of calls that still wait; others were recorded before a kill."""
        statuses = self._ledger.statuses(item.call_id for item in items)
        waiting = {item.call_id: item for item in reversed(items)}  # of twins, the first
        left = [i for i in waiting.values() if statuses.get(i.call_id) == "submitted"]
        self._record(list(map(self._result, left)))

    def _record(self, results: Sequence[Completion | str]) -> None:
        """Record completions; an id stands for a call that is to be submitted again."""
        completions = [each for each in results if isinstance(each, Completion)]
        again = [each for each in results if isinstance(each, str)]
        self._ledger.ingest(self._batch.token, completions, again)
        failed = sum(each.error is not None for each in completions)
        self.completed += len(completions) - failed
        self.failed += failed
        self.again += len(again)
        self._on_completed(completions)

    def _result(self, item: Item) -> Completion | str:
        error = item.error
        if error is None:
            return self._completion(item.call_id, item.answer)
        if isinstance(error, UnsupportedParameter):
            if self._client.dialect == self._remote.dialect:
                self._client.dialect = error.dialect
        elif isinstance(error, EndpointUnusable):
            # Others were answered, so a 403 or 404 concerns this call only.
            if not (self._remote.answered and error.status in (403, 404)):
                self._unusable_reason = error
                return item.call_id
            return self._completion(item.call_id, None, str(error))
        elif isinstance(error, RejectedRequest):
            return self._completion(item.call_id, None, str(error))
        return self._unanswered(item.call_id, str(error))

    def _unanswered(self, call_id: str, reason: str) -> Completion | str:
        if self._retries.retry(call_id):
            return call_id
        return self._completion(call_id, None, reason)

    def _completion(
        self, call_id: str, answer: ParsedAnswer | None, error: str | None = None
    ) -> Completion:
        usage = answer.usage if answer else None
        completion = Completion(
            call_id=call_id,
            text=answer.text if answer else "",
            finish_reason=answer.finish_reason if answer else "error",
            usage=usage or Usage(),
            cost_usd=self._client.prices.cost_usd(usage) if usage else None,
            latency_s=0.0,  # unknown: a batch takes hours, a call of it seconds
            endpoint=self._client.endpoint,
            attempts=self._retries.attempts(call_id),
            error=None if error is None else f"{error} [{self._client.endpoint}]",
        )
        return recounted(completion)

    def _incomplete(self, lines: int) -> FatalError:
        return FatalError(
            "The files of a batch lack answers that were paid for.",
            where=f"{self._client.endpoint}, batch {self._remote.id}",
            expected=f"{self._remote.answered:,} answers, as the provider counts them",
            found=f"{lines:,}",
            hint="run the same command again later; what was there is recorded",
        )


def drop(ledger: Ledger, batch: SubmittedBatch, note: str) -> None:
    """Close a batch that the provider does not have or take; its calls are missing again."""
    for some in chunks(list(ledger.waiting(batch.token)), CALLS_PER_CHUNK):
        ledger.ingest(batch.token, (), some)
    close(ledger, batch, "rejected", note)


def close(ledger: Ledger, batch: SubmittedBatch, status: str, note: str) -> None:
    """Record that a batch is closed."""
    finished_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    ledger.update_batch(replace(batch, status=status, finished_at=finished_at, note=note))
