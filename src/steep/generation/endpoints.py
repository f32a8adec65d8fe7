"""The endpoints of a run: which of them work, which are excluded, and which takes over documents.

Which endpoint reads which documents is logged before the run, and so is every change of it: when an
endpoint fails or is slow, documents go where they were not announced for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.work_queue import DocumentQueue, WorkQueue, assign
from steep.ledger.endpoint_worker import EndpointStatistics, EndpointWorker

log = logging.getLogger("steep")


class Endpoints:
    """The workers of a run, by number.

    Attributes:
        proven: Those that have answered a call.
        excluded: Those that have failed while others continue.
    """

    def __init__(self, workers: Sequence[EndpointWorker[Call]]) -> None:
        self.workers = list(workers)
        self.proven: set[int] = set()
        self.excluded: set[int] = set()
        self._helped: set[tuple[int, int]] = set()  # workers, and those they took documents from
        self._read_by: dict[int, list[Document]] = {}

    def __getitem__(self, number: int) -> EndpointWorker[Call]:
        return self.workers[number]

    @property
    def statistics(self) -> EndpointStatistics:
        """Sum the attempts of all workers."""
        of_workers = [worker.statistics for worker in self.workers]
        return EndpointStatistics(
            retries=sum(each.retries for each in of_workers),
            overloads=sum(each.overloads for each in of_workers),
        )

    def prove(self, number: int) -> None:
        """Note that an endpoint has answered a call."""
        if number not in self.proven:
            self.proven.add(number)
            self._set_patience()

    def shares(self, documents: Sequence[Document]) -> dict[int, list[Document]]:
        """Divide the documents among the workers that are not excluded."""
        alive = [number for number in range(len(self.workers)) if number not in self.excluded]
        self._read_by = dict(zip(alive, assign(documents, len(alive)), strict=True))
        return self._read_by

    def exclude(self, number: int, error: Exception) -> bool:
        """Continue without an endpoint, if another one works; return whether one does."""
        others = self.proven - self.excluded - {number}
        if number not in self.proven or not others:
            return False
        if number not in self.excluded:
            log.warning(
                "generate: %s is left out of this run; what is still to do of its %s documents is "
                "sent to %s instead. %s",
                self[number].client.endpoint,
                f"{len(self._read_by.get(number, ())):,}",
                " and ".join(self[each].client.endpoint for each in sorted(others)),
                " ".join(str(error).split()),
            )
        self.excluded.add(number)
        self._set_patience()
        return True

    def take_over(self, number: int, queues: Mapping[int, WorkQueue]) -> bool:
        """Give an endpoint that is done a turn that another one has not begun, if there is one."""
        mine = queues[number]
        if not (isinstance(mine, DocumentQueue) and mine.is_done):
            return False
        for slow, other in queues.items():
            if slow != number and isinstance(other, DocumentQueue) and mine.take_over(other):
                break
        else:
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
        """Wait only for an endpoint that no other one can replace."""
        for number, worker in enumerate(self.workers):
            worker.patient = not self.proven - self.excluded - {number}
