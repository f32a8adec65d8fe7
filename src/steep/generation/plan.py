"""The plan: documents x recipe, walked lazily, each call beside what the ledger knows of it.

Nothing is stored but the ledger. What is to do, what came of it and what it cost are all answered
by walking the plan again, so they cannot disagree with it after a crash or a changed configuration.

A document's *opening* (its entity list) decides about its further calls. A refused or empty opening
answer is part of the record, and the recipe may ask again; a *failed* one (no answer was had) stops
the document until a later run: going on without it would plan, and buy, other calls than a run in
which the endpoint had answered.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from steep.core.calls import STATUSES, Call, Status, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.ledger import Ledger
from steep.generation.records import Record
from steep.recipes.recipe import Recipe

CALLS_A_QUERY = 256
MOST_REASONS = 20
NO_USAGE = Usage()
TEXT_STATUSES: frozenset[Status] = frozenset({"done", "truncated"})


class PlannedCall(NamedTuple):
    """A call of the plan and, if it was ever made, what came of it."""

    call: Call
    record: Record | None


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
        usage: Tokens of all that was answered.
        cost_usd: Of all that was answered; None when the cost of any answer is unknown.
        failures: Why calls failed, the commonest reasons first.
        unopened: Documents whose opening failed or is to do, so that more calls may follow.
        without_calls: Documents whose opening gave the recipe nothing to work with.
    """

    planned: int
    done: int = 0
    refused: int = 0
    truncated: int = 0
    empty: int = 0
    failed: int = 0
    skipped: int = 0
    to_do: int = 0
    usage: Usage = NO_USAGE
    cost_usd: float | None = 0.0
    failures: tuple[Failure, ...] = ()
    unopened: tuple[str, ...] = ()
    without_calls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ended = sum(getattr(self, status) for status in STATUSES)
        assert self.planned == ended + self.to_do, f"totals do not add up: {self}"

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
        if record is None or record.status == "failed":
            return Opening(tuple(planned), tuple(texts), complete=False)
        texts.append(record.text if record.status in TEXT_STATUSES else None)
    return Opening(tuple(planned), tuple(texts), complete=True)


def calls_of(document: Document, recipe: Recipe, ledger: Ledger) -> Sequence[Call]:
    """The calls after the opening; none as long as the opening is not complete."""
    opening = opening_of(document, recipe, ledger)
    return recipe.calls(document, opening.texts) if opening.complete else ()


def walk(documents: Iterable[Document], recipe: Recipe, ledger: Ledger) -> Iterator[PlannedCall]:
    """Yield every planned call, document by document: its opening calls, then the others."""
    for document in documents:
        opening = opening_of(document, recipe, ledger)
        yield from opening.planned
        if opening.complete:
            yield from _with_records(recipe.calls(document, opening.texts), ledger)


def totals(documents: Sequence[Document], recipe: Recipe, ledger: Ledger) -> Totals:
    """Count what came of the plan; a call that two documents share is counted for each."""
    statuses: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    prompt_tokens = cached_tokens = completion_tokens = unpriced = 0
    cost_usd = 0.0
    for _, record in walk(documents, recipe, ledger):
        statuses[record.status if record else "to_do"] += 1
        if record is None:
            continue
        completion, usage = record.completion, record.completion.usage
        prompt_tokens += usage.prompt_tokens
        cached_tokens += usage.cached_tokens
        completion_tokens += usage.completion_tokens
        cost_usd += completion.cost_usd or 0.0
        if completion.error is not None:
            failures[completion.error] += 1
        elif completion.cost_usd is None:
            unpriced += 1
    unopened, without_calls = _documents_without_calls(documents, recipe, ledger)
    numbers: dict[str, Any] = {"planned": statuses.total(), **statuses}
    return Totals(
        **numbers,
        usage=Usage(prompt_tokens, cached_tokens, completion_tokens),
        cost_usd=None if unpriced else cost_usd,
        failures=_most_common(failures),
        unopened=unopened,
        without_calls=without_calls,
    )


def _with_records(calls: Iterable[Call], ledger: Ledger) -> Iterator[PlannedCall]:
    remaining = iter(calls)
    while some := list(itertools.islice(remaining, CALLS_A_QUERY)):
        records = ledger.get_many(call.id for call in some)
        yield from (PlannedCall(call, records.get(call.id)) for call in some)


def _documents_without_calls(
    documents: Iterable[Document], recipe: Recipe, ledger: Ledger
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    unopened, without_calls = [], []
    for document in documents:
        opening = opening_of(document, recipe, ledger)
        if not opening.complete:
            unopened.append(document.id)
        elif not len(recipe.calls(document, opening.texts)):
            without_calls.append(document.id)
    return tuple(unopened), tuple(without_calls)


def _most_common(reasons: Counter[str]) -> tuple[Failure, ...]:
    common = [Failure(reason, calls) for reason, calls in reasons.most_common(MOST_REASONS)]
    others = reasons.total() - sum(calls for _, calls in common)
    return (*common, Failure("other reasons", others)) if others else tuple(common)
