"""The endpoints of a run, together: who has proven itself, who is left out, who helps whom.

Which endpoint reads which documents is announced before the run. Where that changes in mid-run, as
one fails or is slow, it is said, since documents then go where they were not announced for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.work_queue import WorkQueue, assign, hand_over
from steep.ledger.endpoint_worker import EndpointStatistics, EndpointWorker

log = logging.getLogger("steep")


class Endpoints:
    """The lanes of a run, by their numbers."""

    def __init__(self, workers: Sequence[EndpointWorker[Call]]) -> None:
        self.workers = list(workers)
        self._proven: set[int] = set()
        self._gone: set[int] = set()  # lanes whose endpoint has failed while others go on
        self._helped: set[tuple[int, int]] = set()  # lanes, and those they took documents from
        self._read_by: dict[int, list[Document]] = {}

    def __getitem__(self, number: int) -> EndpointWorker[Call]:
        return self.workers[number]

    def __len__(self) -> int:
        return len(self.workers)

    @property
    def statistics(self) -> EndpointStatistics:
        """Of all lanes together."""
        of_workers = [worker.statistics for worker in self.workers]
        return EndpointStatistics(
            retries=sum(each.retries for each in of_workers),
            overloads=sum(each.overloads for each in of_workers),
        )

    @property
    def any_proven(self) -> bool:
        """Whether any endpoint has ever answered a call."""
        return bool(self._proven)

    def is_proven(self, number: int) -> bool:
        """Whether an endpoint has answered a call."""
        return number in self._proven

    def is_gone(self, number: int) -> bool:
        """Whether an endpoint is left out."""
        return number in self._gone

    def prove(self, number: int) -> None:
        """Note that an endpoint has answered a call."""
        if number not in self._proven:
            self._proven.add(number)
            self._set_patience()

    def shares(self, documents: Sequence[Document]) -> dict[int, list[Document]]:
        """Return which lane reads which documents; those of a lane that is gone go to others."""
        alive = [number for number in range(len(self)) if number not in self._gone]
        self._read_by = dict(zip(alive, assign(documents, len(alive)), strict=True))
        return self._read_by

    def leave_out(self, number: int, error: Exception) -> bool:
        """Go on without an endpoint, if another one works; return whether one does."""
        others = self._proven - self._gone - {number}
        if number not in self._proven or not others:
            return False
        if number not in self._gone:
            log.warning(
                "generate: %s is left out of this run; what is still to do of its %s documents is "
                "sent to %s instead. %s",
                self[number].client.endpoint,
                f"{len(self._read_by.get(number, ())):,}",
                " and ".join(self[each].client.endpoint for each in sorted(others)),
                " ".join(str(error).split()),
            )
        self._gone.add(number)
        self._set_patience()
        return True

    def take_over(self, number: int, queues: Mapping[int, WorkQueue]) -> bool:
        """Give a lane that is done a document that another one has not begun, if there is one."""
        slow = hand_over(queues, number)
        if slow is None:
            return False
        if (number, slow) not in self._helped:
            self._helped.add((number, slow))
            log.warning(
                "generate: %s has done its share, and takes over documents from %s that this "
                "endpoint has not begun",
                self[number].client.endpoint,
                self[slow].client.endpoint,
            )
        return True

    def _set_patience(self) -> None:
        """Only an endpoint that no other one can stand in for is waited for."""
        for number, worker in enumerate(self.workers):
            worker.patient = not self._proven - self._gone - {number}
