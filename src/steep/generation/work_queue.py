"""What is left of a plan, in the order in which it should be sent.

Two feeds. An HTTP endpoint gets single calls, document by document: a document's calls share a long
prefix, which the endpoint keeps once it has read it. So of every new prefix one call goes ahead to
*warm* the cache, the others follow together when it is back, and a document stays with the endpoint
that has read it. The next document is warmed while the last calls of the one before are under way.

A model in this process gets whole batches, and **its batches depend on the plan alone**, never on
what is already done: the n-th batch is the n-th run of `batch_size` consecutive planned calls. It
draws random numbers for a whole batch, so the texts of a batch depend on its company, and a run
that was killed and resumed must make the same batches as one that was not. That holds because a
batch is recorded in one transaction: it is either whole in the ledger or not at all. (A batch is
sent in part only when some of its calls failed, or were bought before under another configuration.)
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.plan import counted_calls, is_final, opening_of
from steep.ledger.ledger import Ledger
from steep.ledger.records import Slot
from steep.recipes.recipe import CallSequence, Recipe

CALLS_PER_CHUNK = 256


class Planned(NamedTuple):
    """A call to be sent. `position` is its place in the whole plan, or in its opening round."""

    call: Call
    slot: Slot | None
    position: int


Group = list[Planned]


class WorkQueue(Protocol):
    """Hands out groups of calls to one lane."""

    def next(self) -> Group | None:
        """The next group: empty to ask again at once, None while there is nothing."""
        ...

    def completed(self, group: Group) -> None:
        """A group is back."""
        ...


def assign(documents: Iterable[Document], workers: int) -> list[list[Document]]:
    """Divide documents among lanes, each in turn to the one with the least text so far.

    Who reads what follows from the documents alone, so that it can be said beforehand, and a
    document is read by the same endpoint in every run.
    """
    shares: list[list[Document]] = [[] for _ in range(workers)]
    characters = [0] * workers
    for document in documents:
        worker = characters.index(min(characters))
        shares[worker].append(document)
        characters[worker] += len(document.text)
    return shares


def opening_rounds(
    documents: Iterable[Document], recipe: Recipe, ledger: Ledger
) -> dict[int, list[Planned]]:
    """The opening calls that lack an answer and do not wait for it, by the number of the try.

    `position` counts the documents that have come as far as this try.
    """
    rounds: dict[int, list[Planned]] = {}
    come_so_far: Counter[int] = Counter()
    for document in documents:
        opening = opening_of(document, recipe, ledger)
        last = len(opening.planned) - 1
        if not opening.complete:
            call, record = opening.planned[-1]
            if record is None or record.status != "submitted":
                rounds.setdefault(last, []).append(Planned(call, None, come_so_far[last]))
        come_so_far.update(range(last + 1))
    return dict(sorted(rounds.items()))


def opening_round(documents: Iterable[Document], recipe: Recipe, ledger: Ledger) -> list[Planned]:
    """The next opening call of every document that lacks one and does not wait for it."""
    rounds = opening_rounds(documents, recipe, ledger)
    return list(itertools.chain.from_iterable(rounds.values()))


def missing(
    documents: Iterable[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None = None,
) -> Iterator[Planned]:
    """Yield the calls of the plan that the ledger lacks, or has as failed; lazily."""
    for work in document_work(documents, recipe, ledger, counts):
        for chunk in work.chunks:
            yield from chunk.missing


class CallChunk(NamedTuple):
    """A run of calls without a slot: how many were looked at, and those to be sent."""

    looked_at: int
    missing: list[Planned]


@dataclass(slots=True)
class DocumentWork:
    """What is left of one document. `left` is an upper bound of the calls that will come."""

    left: int
    chunks: Iterator[CallChunk]


def document_work(
    documents: Iterable[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None = None,
) -> Iterator[DocumentWork]:
    """Yield the documents that have calls left; those without an opening have none yet."""
    offset = 0
    for document in documents:
        calls, below = counted_calls(document, recipe, ledger, counts)
        if below and (left := below - ledger.finished(calls.key, below)):
            yield DocumentWork(left, _chunks(calls, calls.key, below, offset, ledger))
        offset += below


def _chunks(
    calls: CallSequence, key: str, below: int, offset: int, ledger: Ledger
) -> Iterator[CallChunk]:
    """Look up what has no slot; what the ledger knows by content gets one here."""
    ranks = ledger.free_ranks(key, below)
    while some := list(itertools.islice(ranks, CALLS_PER_CHUNK)):
        planned = [Planned(calls[rank], Slot(key, rank), offset + rank) for rank in some]
        statuses = ledger.statuses(each.call.id for each in planned)
        there = [each for each in planned if is_final(statuses.get(each.call.id))]
        if there:
            ledger.link_existing([(each.slot, each.call.id) for each in there if each.slot])
        waiting = {call_id for call_id, status in statuses.items() if status != "failed"}
        to_send = [each for each in planned if each.call.id not in waiting]
        failed = [call_id for call_id, status in statuses.items() if status == "failed"]
        if failed and (tried := ledger.textless_attempts(failed)):
            to_send = [_with_another_seed(each, tried.get(each.call.id, 0)) for each in to_send]
        yield CallChunk(len(some), to_send)


def _with_another_seed(planned: Planned, textless: int) -> Planned:
    return planned._replace(call=replace(planned.call, textless=textless)) if textless else planned


class FlatQueue:
    """Batches of `batch_size` for a model that draws one stream of random numbers a batch."""

    def __init__(self, chunks: Iterable[CallChunk], batch_size: int) -> None:
        self._groups = _batches(chunks, batch_size)

    def next(self) -> Group | None:
        """The next batch."""
        return next(self._groups, None)

    def completed(self, group: Group) -> None:
        """Nothing waits for a batch."""


def _batches(chunks: Iterable[CallChunk], batch_size: int) -> Iterator[Group]:
    """Cut calls at multiples of `batch_size` of their positions."""
    batch: Group = []
    for _, calls in chunks:
        for planned in calls:
            if batch and planned.position // batch_size != batch[0].position // batch_size:
                yield batch
                batch = []
            batch.append(planned)
        if not calls:
            yield []
    if batch:
        yield batch


@dataclass(slots=True)
class _OpenDocument:
    """A document that a lane is at work on; `warming` is the prefix that is under way."""

    work: DocumentWork
    ahead: Group
    warm: tuple[object, ...] | None = None
    warming: tuple[object, ...] | None = None


class DocumentQueue:
    """Single calls, document by document; `width` is how many the lane may have in flight."""

    def __init__(self, works: Iterator[DocumentWork], width: int) -> None:
        self._works = works
        self._width = width
        self._open: list[_OpenDocument] = []
        self._more = True

    def next(self) -> Group | None:
        """The next call: one that warms a new document, or one whose prefix is warm."""
        if self._more and sum(each.work.left for each in self._open) < self._width:
            if (work := next(self._works, None)) is None:
                self._more = False
            else:
                self._open.append(_OpenDocument(work, []))
                return self._take(self._open[-1])
        for document in self._open:
            if document.warming is None:
                return self._take(document)
        return None

    @property
    def is_done(self) -> bool:
        """Whether all documents of this lane are done, but for what is in flight."""
        return not self._more and not self._open

    def take_over(self, other: DocumentQueue) -> bool:
        """Take the next document of another lane that is not begun, if there is one."""
        work = next(other._works, None)
        if work is not None:
            self._open.append(_OpenDocument(work, []))
        return work is not None

    def _take(self, document: _OpenDocument) -> Group:
        """The document's next call, or none if its next stretch held none."""
        if not document.ahead:
            chunk = next(document.work.chunks, None)
            if chunk is None:
                self._open.remove(document)
                return []
            document.ahead = chunk.missing[::-1]
            document.work.left -= chunk.looked_at - len(chunk.missing)
        if not document.ahead:
            return []
        prefix = prefix_of(document.ahead[-1].call)
        if prefix != document.warm:
            document.warming = prefix
        document.work.left -= 1
        return [document.ahead.pop()]

    def completed(self, group: Group) -> None:
        """What has come back has warmed its prefix, also when it failed: the rest must go on."""
        for document in self._open:
            if document.warming is not None and document.warming == prefix_of(group[0].call):
                document.warm, document.warming = document.warming, None


def hand_over(queues: Mapping[int, WorkQueue], idle: int) -> int | None:
    """Give the lane that is done a document that another one has not begun; return whose."""
    mine = queues[idle]
    if isinstance(mine, DocumentQueue) and mine.is_done:
        for number, other in queues.items():
            if number != idle and isinstance(other, DocumentQueue) and mine.take_over(other):
                return number
    return None


def prefix_of(call: Call) -> tuple[object, ...]:
    """What a call has in common with others of its document: all but its last part."""
    *before, last = call.messages
    return (*before, last.parts[:-1])
