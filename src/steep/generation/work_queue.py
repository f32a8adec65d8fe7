"""The calls to do of a plan, in the order in which they are sent.

**Documents take turns**: some `TURN_CALLS` calls per turn, longer documents more. So a run that
ends at any limit of tokens or dollars has written about every document in proportion to its length,
and within a turn prompts share a cached prefix. The recipes of a plan take turns, too, within those
of a document.

An HTTP endpoint gets single calls: one call of every new prefix goes ahead to *warm* the cache, the
others follow together when it is back, and a document stays with the endpoint that has read it. The
next turn is warmed while the last calls of the one before are in flight.

A model in this process gets whole batches, and **its batches depend on the plan alone**: the n-th
batch is the n-th run of `batch_size` consecutive planned calls. It draws random numbers for a whole
batch, so a run that was killed and resumed must make the same batches as one that was not. That
holds because a batch is recorded in one transaction. (A batch is sent in part only when some of its
calls failed, or were completed under another configuration.)
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.plan import PlanView, Texts, is_final, preparing_steps
from steep.ledger.records import Slot
from steep.recipes.recipe import Recipe, Step

TURN_CALLS = 64  # about a document of mean length


class Planned(NamedTuple):
    """A call to be sent. `position` is its place in the whole plan, or in its preparing round."""

    call: Call
    slot: Slot | None
    position: int


Group = list[Planned]


class WorkQueue(Protocol):
    """Hands out groups of calls to one endpoint."""

    def next(self) -> Group | None:
        """Return the next group: empty to ask again at once, None while there is nothing."""
        ...

    def completed(self, group: Group) -> None:
        """Note that a group is back."""
        ...


def assign(documents: Iterable[Document], workers: int) -> list[list[Document]]:
    """Divide documents among endpoints, each in turn to the one with the least text so far.

    The shares follow from the documents alone, so a document has the same endpoint in every run.
    """
    shares: list[list[Document]] = [[] for _ in range(workers)]
    characters = [0] * workers
    for document in documents:
        worker = characters.index(min(characters))
        shares[worker].append(document)
        characters[worker] += len(document.text)
    return shares


Round = tuple[int, int]  # place of a preparing step, and number of the attempt


def preparing_rounds(view: PlanView, documents: Iterable[Document]) -> dict[Round, list[Planned]]:
    """Return the calls of preparing steps that can be sent now, by rounds.

    All calls of a step are one round; attempts, which go one by one, are a round each. `position`
    counts the calls of the round about documents before.
    """
    rounds: dict[Round, list[Planned]] = {}
    so_far: Counter[Round] = Counter()
    for recipe in view.recipes:
        steps = {step.name: (place, step) for place, step in enumerate(preparing_steps(recipe))}
        if not steps:
            continue
        for document in documents:
            if view.texts(recipe, document) is not None:
                for name, calls in view.prepared_calls(recipe, document).items():
                    place, step = steps[name]
                    so_far.update(_rounds_of(place, step, calls))
                continue
            planned = view.preparation(recipe, document).planned
            ranks: Counter[str] = Counter()
            for call, record in planned:
                place, step = steps[call.stage]
                number = (place, ranks[call.stage] if step.one_by_one else 0)
                if record is None or record.status == "failed":
                    found = Planned(call, None, so_far[number])
                    rounds.setdefault(number, []).append(found)
                ranks[call.stage] += 1
                so_far[number] += 1
    return dict(sorted(rounds.items()))


def _rounds_of(place: int, step: Step, calls: int) -> Iterator[Round]:
    """Yield the round of each of the first calls of a preparing step."""
    return ((place, rank if step.one_by_one else 0) for rank in range(calls))


def preparing_round(view: PlanView) -> list[Planned]:
    """Return all calls of preparing steps that can be sent now."""
    rounds = preparing_rounds(view, view.documents)
    return list(itertools.chain.from_iterable(rounds.values()))


class Turn(NamedTuple):
    """Some calls about one document: ranks `start` to `stop` of a step's texts.

    `position` is the place of the first one in the whole plan.
    """

    texts: Texts
    start: int
    stop: int
    position: int


def turn_sizes(view: PlanView) -> dict[str, int]:
    """Return how many calls each document makes per turn: in proportion to its length."""
    mean = sum(len(each.text) for each in view.documents) / max(1, len(view.documents))
    return {
        each.id: max(1, round(TURN_CALLS * len(each.text) / max(mean, 1.0)))
        for each in view.documents
    }


def turns(
    view: PlanView,
    documents: Sequence[Document],
    is_wanted: Callable[[Recipe], bool] = lambda recipe: True,
) -> Iterator[Turn]:
    """Yield the turns of documents lazily, also those without calls to do.

    A recipe that `is_wanted` no longer accepts before a turn gets no more of them.
    """
    sizes = turn_sizes(view)
    position = 0
    left = [(document, recipe) for document in documents for recipe in view.recipes]
    for number in itertools.count():
        if not left:
            return
        unfinished = []
        for document, recipe in left:
            if not any(map(is_wanted, view.recipes)):
                return
            size = sizes[document.id]
            all_texts = view.texts(recipe, document) or ()
            for turn in _parts(all_texts, number * size, (number + 1) * size, position):
                position += turn.stop - turn.start
                if is_wanted(recipe):
                    yield turn
            if sum(each.number for each in all_texts) > (number + 1) * size:
                unfinished.append((document, recipe))
        left = unfinished


def _parts(all_texts: Iterable[Texts], start: int, stop: int, position: int) -> Iterator[Turn]:
    """Cut a range of the calls of all steps, one step after another, at the ends of the steps."""
    before = 0
    for texts in all_texts:
        first, last = max(start - before, 0), min(stop - before, texts.number)
        if first < last:
            yield Turn(texts, first, last, position)
            position += last - first
        before += texts.number


def preparing_work(calls: Iterable[Planned]) -> Iterator[TurnWork]:
    """Yield the calls of a preparing round, those about one document together."""
    for _, own in itertools.groupby(calls, lambda planned: planned.call.document_id):
        some = list(own)
        yield TurnWork(len(some), partial(list, some))


def missing(
    view: PlanView, is_wanted: Callable[[Recipe], bool] = lambda recipe: True
) -> Iterator[Planned]:
    """Yield the calls of the plan that the ledger lacks, or has as failed; lazily."""
    for work in document_work(view, view.documents, is_wanted):
        yield from work.load()


@dataclass(slots=True)
class TurnWork:
    """The calls to do of one turn."""

    left: int  # upper bound
    load: Callable[[], list[Planned]]  # builds them, without those known to the ledger by content
    ahead: list[Planned] | None = None  # loaded calls, the last one first
    warm: tuple[object, ...] | None = None  # the prefix that the endpoint has cached
    warming: tuple[object, ...] | None = None  # the prefix in flight


def document_work(
    view: PlanView,
    documents: Sequence[Document],
    is_wanted: Callable[[Recipe], bool] = lambda recipe: True,
) -> Iterator[TurnWork]:
    """Yield the turns that have calls left; documents that are not prepared have none yet."""
    full: dict[str, bool] = {}  # by the key of the texts: whether no call is left
    for turn in turns(view, documents, is_wanted):
        texts = turn.texts
        if texts.key not in full:
            full[texts.key] = view.ledger.finished(texts.key, texts.number) == texts.number
        if full[texts.key]:
            continue
        ranks = list(view.ledger.free_ranks(texts.key, turn.stop, turn.start))
        if ranks:
            yield TurnWork(len(ranks), partial(_unknown_calls, view, turn, ranks))


def _unknown_calls(view: PlanView, turn: Turn, ranks: Sequence[int]) -> list[Planned]:
    """Look up calls without a slot; what the ledger knows by content gets one here."""
    calls, ledger, key = view.calls(turn.texts), view.ledger, turn.texts.key
    offset = turn.position - turn.start
    planned = [Planned(calls[rank], Slot(key, rank), offset + rank) for rank in ranks]
    statuses = ledger.statuses(each.call.id for each in planned)
    there = [each for each in planned if is_final(statuses.get(each.call.id))]
    if there:
        ledger.link_existing([(each.slot, each.call.id) for each in there if each.slot])
    waiting = {call_id for call_id, status in statuses.items() if status != "failed"}
    to_send = [each for each in planned if each.call.id not in waiting]
    failed = [call_id for call_id, status in statuses.items() if status == "failed"]
    if failed and (tried := ledger.textless_attempts(failed)):
        return [_with_another_seed(each, tried.get(each.call.id, 0)) for each in to_send]
    return to_send


def _with_another_seed(planned: Planned, textless: int) -> Planned:
    return planned._replace(call=replace(planned.call, textless=textless)) if textless else planned


class FlatQueue:
    """Batches of `batch_size`, for a model that draws one stream of random numbers per batch."""

    def __init__(self, parts: Iterable[list[Planned]], batch_size: int) -> None:
        self._groups = _batches(parts, batch_size)

    def next(self) -> Group | None:
        """Return the next batch."""
        return next(self._groups, None)

    def completed(self, group: Group) -> None:
        """Do nothing: no call waits for a batch."""


def _batches(parts: Iterable[list[Planned]], batch_size: int) -> Iterator[Group]:
    """Cut calls at multiples of `batch_size` of their positions."""
    batch: Group = []
    for calls in parts:
        for planned in calls:
            if batch and planned.position // batch_size != batch[0].position // batch_size:
                yield batch
                batch = []
            batch.append(planned)
        if not calls:
            yield []
    if batch:
        yield batch


class DocumentQueue:
    """Single calls, turn by turn; `width` is how many the endpoint may have in flight."""

    def __init__(self, works: Iterator[TurnWork], width: int) -> None:
        self._works = works
        self._width = width
        self._open: list[TurnWork] = []
        self._more = True

    def next(self) -> Group | None:
        """Return the next call: one that warms a new document, or one whose prefix is warm."""
        if self._more and sum(work.left for work in self._open) < self._width:
            if (work := next(self._works, None)) is None:
                self._more = False
            else:
                self._open.append(work)
                return self._take(work)
        for work in self._open:
            if work.warming is None:
                return self._take(work)
        return None

    @property
    def is_done(self) -> bool:
        """True if all turns of this endpoint are done, except for calls in flight."""
        return not self._more and not self._open

    def take_over(self, other: DocumentQueue) -> bool:
        """Take the next turn of another endpoint that is not begun, if there is one."""
        work = next(other._works, None)
        if work is not None:
            self._open.append(work)
        return work is not None

    def _take(self, work: TurnWork) -> Group:
        """Return the next call of a turn; none closes it."""
        if work.ahead is None:
            work.ahead = work.load()[::-1]
            work.left = len(work.ahead)
        if not work.ahead:
            self._open.remove(work)
            return []
        prefix = prefix_of(work.ahead[-1].call)
        if prefix != work.warm:
            work.warming = prefix
        work.left -= 1
        return [work.ahead.pop()]

    def completed(self, group: Group) -> None:
        """Note that a prefix is warm, also when its call failed: the rest must continue."""
        for work in self._open:
            if work.warming is not None and work.warming == prefix_of(group[0].call):
                work.warm, work.warming = work.warming, None


def prefix_of(call: Call) -> tuple[object, ...]:
    """Return what a call has in common with others of its document: all but its last part."""
    *before, last = call.messages
    return (*before, last.parts[:-1])
