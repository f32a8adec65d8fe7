"""The plan: documents x recipe, lazily, each call beside what the ledger knows of it.

Nothing is stored but the ledger. What is to do, what came of it and what it cost are all answered
by going through the plan again, so they cannot disagree with it after a crash or a changed
configuration. A plan may take only the first calls of each document (`counts`): the share that a
goal in tokens or dollars gives it.

A document's *opening* (its entity list) decides about its further calls. A refused or empty opening
answer is part of the record, and the recipe may ask again; a *failed* one (no answer was had) stops
the document until a later run: going on without it would plan, and buy, other calls than a run in
which the endpoint had answered.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

from steep.core.calls import STATUSES, Call, Status, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import CallRecord, SlotTotals
from steep.recipes.recipe import CallSequence, Recipe

CALLS_PER_QUERY = 256
MOST_REASONS = 20
NO_USAGE = Usage()
TEXT_STATUSES: frozenset[Status] = frozenset({"done", "truncated"})


class PlannedCall(NamedTuple):
    """A call of the plan and, if it was ever made, what came of it."""

    call: Call
    record: CallRecord | None


@dataclass(frozen=True, slots=True)
class Opening:
    """How far the opening of a document has come.

    `planned` ends with a call that is still to do or failed, unless `complete`.
    """

    planned: tuple[PlannedCall, ...]
    texts: tuple[str | None, ...]
    complete: bool


class Failure(NamedTuple):
    """A reason for which calls failed, and how many."""

    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What came of a plan. `planned` is the sum of all that follow it, up to `to_do`.

    Attributes:
        submitted: Of those to do, how many wait in a provider's batch.
        usage: Tokens of all that was answered.
        reasoning_tokens: Of these, those of the answers that were nothing but reasoning.
        known_usd: Of all that was answered, as far as it is known.
        unpriced: Answers whose cost is not known.
        failures: Why calls failed, the commonest reasons first.
        unopened: Documents whose opening failed or is to do, so that more calls may follow.
        without_calls: Documents whose opening gave the recipe nothing to work with.
    """

    planned: int
    done: int = 0
    refused: int = 0
    truncated: int = 0
    empty: int = 0
    reasoning: int = 0
    failed: int = 0
    skipped: int = 0
    to_do: int = 0
    submitted: int = 0
    usage: Usage = NO_USAGE
    reasoning_tokens: int = 0
    known_usd: float = 0.0
    unpriced: int = 0
    failures: tuple[Failure, ...] = ()
    unopened: tuple[str, ...] = ()
    without_calls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ended = sum(getattr(self, status) for status in STATUSES)
        assert self.planned == ended + self.to_do, f"totals do not add up: {self}"

    @property
    def cost_usd(self) -> float | None:
        """Of all that was answered; None when the cost of any answer is unknown."""
        return None if self.unpriced else self.known_usd

    @property
    def counts(self) -> dict[str, int]:
        """The numbers alone, as a manifest shows them."""
        return {name: getattr(self, name) for name in ("planned", *STATUSES, "to_do")}


def opening_of(document: Document, recipe: Recipe, ledger: Ledger) -> Opening:
    """Follow the opening of a document as far as the ledger has answers."""
    planned: list[PlannedCall] = []
    texts: list[str | None] = []
    while (call := recipe.opening(document, texts)) is not None:
        if any(call.id == earlier.call.id for earlier in planned):
            raise UserError(
                f"The recipe '{recipe.name}' repeats an opening call instead of ending.",
                where=f"document {document.id}",
                expected="another sample number for another try",
            )
        record = ledger.get(call.id)
        planned.append(PlannedCall(call, record))
        if record is None or not is_final(record.status):
            return Opening(tuple(planned), tuple(texts), complete=False)
        texts.append(record.text if record.status in TEXT_STATUSES else None)
    return Opening(tuple(planned), tuple(texts), complete=True)


def is_final(status: str | None) -> bool:
    """Whether a call has ended for good: it was made, and neither failed nor waits in a batch."""
    return status is not None and status not in ("failed", "submitted")


class CountedCalls(NamedTuple):
    """A document's calls after the opening, and how many of them belong to the plan."""

    calls: CallSequence
    below: int


def counted_calls(
    document: Document, recipe: Recipe, ledger: Ledger, counts: Mapping[str, int] | None = None
) -> CountedCalls:
    """The calls after the opening; none as long as the opening is not complete."""
    opening = opening_of(document, recipe, ledger)
    return _counted(document, recipe, opening, counts)


def walk(
    documents: Iterable[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None = None,
) -> Iterator[PlannedCall]:
    """Yield every planned call, document by document: its opening calls, then the others."""
    for document in documents:
        opening = opening_of(document, recipe, ledger)
        yield from opening.planned
        calls, below = _counted(document, recipe, opening, counts)
        yield from _with_records((calls[rank] for rank in range(below)), ledger)


def totals(
    documents: Sequence[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None = None,
) -> Totals:
    """Count what came of the plan; a call that two documents share is counted for each."""
    tally = _Tally()
    for document in documents:
        opening = opening_of(document, recipe, ledger)
        for _, record in opening.planned:
            tally.add(record)
        if not opening.complete:
            tally.unopened.append(document.id)
            continue
        calls, below = _counted(document, recipe, opening, counts)
        if not len(calls):
            tally.without_calls.append(document.id)
        finished = ledger.slot_totals(calls.key, below)
        tally.add_slots(finished)
        left = below - sum(finished.counts.values())
        made = ledger.calls_of_document(document.id, recipe.name)
        if left and made > below - left + len(opening.planned):
            # The ledger holds more on this document: failed calls, or some of another plan.
            ranks = ledger.free_ranks(calls.key, below)
            for _, record in _with_records((calls[rank] for rank in ranks), ledger):
                tally.add(record)
        else:
            tally.statuses["to_do"] += left
    return tally.totals()


def digest(
    documents: Iterable[Document],
    recipe: Recipe,
    ledger: Ledger,
    counts: Mapping[str, int] | None = None,
) -> str:
    """Hash which calls of the plan have ended, and how: what a reader of their texts depends on."""
    state = hashlib.blake2b(digest_size=8)
    for document in documents:
        opening = opening_of(document, recipe, ledger)
        for call, record in opening.planned:
            state.update(f"{call.id} {record and record.status}\n".encode())
        calls, below = _counted(document, recipe, opening, counts)
        for rank, call_id, status in ledger.slot_outcomes(calls.key, below):
            state.update(f"{rank} {call_id} {status}\n".encode())
    return state.hexdigest()


class _Tally:
    """Sums under way."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.tokens = [0, 0, 0]
        self.reasoning_tokens = 0
        self.cost_usd = 0.0
        self.unpriced = 0
        self.unopened: list[str] = []
        self.without_calls: list[str] = []

    def add(self, record: CallRecord | None) -> None:
        if record is None or record.status == "submitted":
            self.statuses["to_do"] += 1
            self.statuses["submitted"] += record is not None
            return
        self.statuses[record.status] += 1
        completion = record.completion
        self._add_usage(completion.usage)
        if record.status == "reasoning":
            self.reasoning_tokens += completion.usage.completion_tokens
        self.cost_usd += completion.cost_usd or 0.0
        if record.status in ("failed", "skipped"):
            self.failures[completion.error or "unknown"] += 1
        elif completion.cost_usd is None:
            self.unpriced += 1

    def add_slots(self, finished: SlotTotals) -> None:
        self.statuses.update(finished.counts)
        self._add_usage(finished.usage)
        self.reasoning_tokens += finished.reasoning_tokens
        self.cost_usd += finished.cost_usd
        self.unpriced += finished.unpriced

    def _add_usage(self, usage: Usage) -> None:
        for place, tokens in enumerate(astuple(usage)):
            self.tokens[place] += tokens

    def totals(self) -> Totals:
        submitted = self.statuses.pop("submitted", 0)
        numbers: dict[str, Any] = {"planned": self.statuses.total(), **self.statuses}
        return Totals(
            **numbers,
            submitted=submitted,
            usage=Usage(*self.tokens),
            reasoning_tokens=self.reasoning_tokens,
            known_usd=self.cost_usd,
            unpriced=self.unpriced,
            failures=_most_common(self.failures),
            unopened=tuple(self.unopened),
            without_calls=tuple(self.without_calls),
        )


def _counted(
    document: Document, recipe: Recipe, opening: Opening, counts: Mapping[str, int] | None
) -> CountedCalls:
    calls = recipe.calls(document, opening.texts if opening.complete else ())
    if not opening.complete:
        return CountedCalls(calls, 0)
    share = len(calls) if counts is None else counts.get(document.id, 0)
    return CountedCalls(calls, min(share, len(calls)))


def _with_records(calls: Iterable[Call], ledger: Ledger) -> Iterator[PlannedCall]:
    remaining = iter(calls)
    while some := list(itertools.islice(remaining, CALLS_PER_QUERY)):
        records = ledger.get_many(call.id for call in some)
        yield from (PlannedCall(call, records.get(call.id)) for call in some)


def _most_common(reasons: Counter[str]) -> tuple[Failure, ...]:
    common = [Failure(reason, calls) for reason, calls in reasons.most_common(MOST_REASONS)]
    others = reasons.total() - sum(calls for _, calls in common)
    return (*common, Failure("other reasons", others)) if others else tuple(common)
