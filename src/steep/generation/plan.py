"""The plan: documents x recipes x steps, lazily, each call beside what the ledger knows of it.

Nothing is stored but the ledger. What is to do, what came of it and what it cost are all answered
by going through the plan again, so they cannot disagree with it after a crash or a changed
configuration. A `PlanView` remembers, while a command runs, what each document has and still needs.

Some steps of a recipe *prepare*: others need their answers (a list of entities decides about the
pairs). A refused or empty answer is part of the record, and the recipe may ask again; a *failed*
call (no answer was had) stops the document until a later run: continuing without it would plan, and
pay for, other calls than a run in which the endpoint had answered. All other steps are the *texts*
of the recipe.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

from steep.core.calls import STATUSES, Call, Status, Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.ledger.ledger import Ledger
from steep.ledger.records import CallRecord, SlotTotals
from steep.recipes.recipe import CallSequence, Recipe, Step

CALLS_PER_QUERY = 256
MOST_REASONS = 20
SEQUENCES_KEPT = 256  # of documents: they hold prompts
NO_USAGE = Usage()
TEXT_STATUSES: frozenset[Status] = frozenset({"done", "truncated"})


class PlannedCall(NamedTuple):
    """A call of the plan and, if it was ever made, what came of it."""

    call: Call
    record: CallRecord | None


@dataclass(frozen=True, slots=True)
class Texts:
    """The calls of one step about one document that give texts.

    Attributes:
        key: Of the sequence of calls.
        number: Of calls.
    """

    recipe: Recipe
    step: Step
    document: Document
    key: str
    number: int


@dataclass(frozen=True, slots=True)
class Preparation:
    """How far the preparing steps of a recipe have come about a document.

    Attributes:
        planned: Their calls; some are to do or have failed, unless it is `complete`.
        answers: The texts of each step that is complete.
    """

    planned: tuple[PlannedCall, ...]
    answers: Mapping[str, tuple[str | None, ...]]
    complete: bool


class Failure(NamedTuple):
    """A reason for which calls failed, and how many."""

    reason: str
    calls: int


class Subject(NamedTuple):
    """A document, for one recipe."""

    recipe: str
    document_id: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What came of a plan. `planned` is the sum of all that follow it, up to `to_do`.

    Attributes:
        beyond_target: Calls that are not planned any more, since the target in tokens is reached.
        submitted: Of those to do, how many wait in a provider's batch.
        usage: Tokens of all that was answered.
        reasoning_tokens: Of these, those of the answers that were nothing but reasoning.
        known_usd: Cost of all that was answered, as far as it is known.
        unpriced: Answers whose cost is not known.
        failures: Why calls failed, the commonest reasons first.
        written: Tokens of text of each recipe that count towards its target.
        unprepared: Where a preparing step failed or is to do, so that more calls may follow.
        without_calls: Where the preparing steps gave the recipe nothing to write about.
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
    beyond_target: int = 0
    submitted: int = 0
    usage: Usage = NO_USAGE
    reasoning_tokens: int = 0
    known_usd: float = 0.0
    unpriced: int = 0
    failures: tuple[Failure, ...] = ()
    written: Mapping[str, int] = field(default_factory=dict)
    unprepared: tuple[Subject, ...] = ()
    without_calls: tuple[Subject, ...] = ()

    def __post_init__(self) -> None:
        ended = sum(getattr(self, status) for status in STATUSES)
        if self.planned != ended + self.to_do:
            raise RuntimeError(f"totals do not add up: {self}")

    @property
    def cost_usd(self) -> float | None:
        """Of all that was answered; None when the cost of any answer is unknown."""
        return None if self.unpriced else self.known_usd

    @property
    def counts(self) -> dict[str, int]:
        """The numbers alone, as a manifest shows them."""
        return {name: getattr(self, name) for name in ("planned", *STATUSES, "to_do")}


def is_final(status: str | None) -> bool:
    """Return whether a call has ended for good: neither failed nor waiting in a batch."""
    return status is not None and status not in ("failed", "submitted")


class PlanView:
    """What each document has and still needs, remembered while a command runs.

    Args:
        documents: To write about.
        recipes: What is written.
        ledger: What exists.
        target_tokens: Of text per recipe, after which no more calls are planned.
        most_per_step: Calls for texts of each step about each document; None for all.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        recipes: Sequence[Recipe],
        ledger: Ledger,
        target_tokens: int | None = None,
        most_per_step: int | None = None,
    ) -> None:
        self.documents = documents
        self.recipes = recipes
        self.ledger = ledger
        self.target_tokens = target_tokens
        self._most_per_step = most_per_step
        self._texts: dict[Subject, tuple[Texts, ...]] = {}
        self._prepared: dict[Subject, SlotTotals] = {}
        self._sequences: OrderedDict[str, CallSequence] = OrderedDict()

    def preparation(self, recipe: Recipe, document: Document) -> Preparation:
        """Follow the preparing steps about a document as far as the ledger has answers."""
        planned: list[PlannedCall] = []
        answers: dict[str, tuple[str | None, ...]] = {}
        steps = preparing_steps(recipe)
        for step in steps:
            if any(need not in answers for need in step.needs):
                continue
            calls = step.calls(document, answers)
            found = self._attempts(step, document, calls) if step.one_by_one else self._all(calls)
            if step.one_by_one or all(record and is_final(record.status) for _, record in found):
                texts = tuple(_text(record) for _, record in found)
                if not step.one_by_one or _is_over(step, document, calls, found, texts):
                    answers[step.name] = texts
            planned += found
        return Preparation(tuple(planned), answers, len(answers) == len(steps))

    def texts(self, recipe: Recipe, document: Document) -> tuple[Texts, ...] | None:
        """Return the calls for texts about a document; None until its preparation is complete."""
        subject = Subject(recipe.name, document.id)
        if (found := self._texts.get(subject)) is None:
            preparation = self.preparation(recipe, document)
            if not preparation.complete:
                return None
            found = self._plan_texts(recipe, document, preparation)
            self._texts[subject] = found
            self._prepared[subject] = _sums(preparation.planned)
        return found

    def prepared_calls(self, recipe: Recipe, document: Document) -> int:
        """Return how many calls the complete preparation of a document took."""
        return sum(self._prepared[Subject(recipe.name, document.id)].counts.values())

    def calls(self, texts: Texts) -> CallSequence:
        """Return the sequence of calls behind some texts."""
        if (found := self._sequences.get(texts.key)) is None:
            answers = self.preparation(texts.recipe, texts.document).answers
            found = texts.step.calls(texts.document, answers)
            self._keep(texts, found)
        else:
            self._sequences.move_to_end(texts.key)
        return found

    def finished(self, texts: Texts) -> int:
        """Return how many calls of some texts have ended, whatever plan they were made for."""
        filled = self.ledger.finished(texts.key, texts.number)
        more = self._outside_slots(texts, filled)
        return filled + sum(record is not None and is_final(record.status) for _, record in more)

    def all_texts(self, recipe: Recipe) -> Iterator[Texts]:
        """Yield the planned texts of a recipe, document by document."""
        for document in self.documents:
            yield from self.texts(recipe, document) or ()

    def has_nothing(self, recipe: Recipe, document: Document) -> bool:
        """Return whether the answers about a document leave a recipe nothing to write."""
        texts = self.texts(recipe, document)
        if texts is None or any(each.number for each in texts):
            return False
        return any(each.step.expected_calls(document).high for each in texts)

    def walk(self) -> Iterator[PlannedCall]:
        """Yield every planned call, recipe by recipe and document by document."""
        for recipe in self.recipes:
            for document in self.documents:
                yield from self.preparation(recipe, document).planned
                for texts in self.texts(recipe, document) or ():
                    calls = self.calls(texts)
                    yield from self._records(calls[rank] for rank in range(texts.number))

    def ended(self) -> Iterator[PlannedCall]:
        """Yield the planned calls that have an outcome, in the order of `walk`."""
        for recipe in self.recipes:
            for document in self.documents:
                for planned in self.preparation(recipe, document).planned:
                    if planned.record is not None:
                        yield planned
                for texts in self.texts(recipe, document) or ():
                    yield from self._ended(texts)

    def totals(self) -> Totals:
        """Count what came of the plan; a call that two documents share is counted for each."""
        tally = _Tally()
        for recipe in self.recipes:
            beyond = self._count(recipe, tally)
            if self.target_tokens is not None and tally.written[recipe.name] >= self.target_tokens:
                tally.statuses["to_do"] -= beyond
                tally.beyond_target += beyond
        return tally.totals()

    def is_reached(self, totals: Totals) -> bool:
        """Return whether every recipe has written its target."""
        return self.target_tokens is not None and all(
            totals.written.get(recipe.name, 0) >= self.target_tokens for recipe in self.recipes
        )

    def digest(self) -> str:
        """Hash which calls of the plan have ended, and how: what a reader of texts depends on."""
        state = hashlib.blake2b(digest_size=8)
        for recipe in self.recipes:
            for document in self.documents:
                for call, record in self.preparation(recipe, document).planned:
                    state.update(f"{call.id} {record and record.status}\n".encode())
                for texts in self.texts(recipe, document) or ():
                    outcomes = self.ledger.slot_outcomes(texts.key, texts.number)
                    for rank, call_id, status in outcomes:
                        state.update(f"{rank} {call_id} {status}\n".encode())
        return state.hexdigest()

    def _plan_texts(
        self, recipe: Recipe, document: Document, preparation: Preparation
    ) -> tuple[Texts, ...]:
        found = []
        for step in text_steps(recipe):
            calls = step.calls(document, preparation.answers)
            number = min(len(calls), self._most_per_step or len(calls))
            found.append(Texts(recipe, step, document, calls.key, number))
            self._keep(found[-1], calls)
        return tuple(found)

    def _keep(self, texts: Texts, calls: CallSequence) -> None:
        self._sequences[texts.key] = calls
        while len(self._sequences) > SEQUENCES_KEPT:
            self._sequences.popitem(last=False)

    def _attempts(self, step: Step, document: Document, calls: CallSequence) -> list[PlannedCall]:
        """The attempts up to the first that suffices, or has not ended."""
        found: list[PlannedCall] = []
        texts: list[str | None] = []
        for rank in range(len(calls)):
            if step.is_enough(document, texts):
                break
            call = calls[rank]
            if any(call.id == earlier.call.id for earlier in found):
                raise UserError(
                    f"The step '{step.name}' of the recipe '{call.recipe}' repeats a call.",
                    where=f"document {document.id}",
                    expected="another sample number for another attempt",
                )
            record = self.ledger.get(call.id)
            found.append(PlannedCall(call, record))
            if record is None or not is_final(record.status):
                break
            texts.append(_text(record))
        return found

    def _all(self, calls: CallSequence) -> list[PlannedCall]:
        return list(self._records(calls[rank] for rank in range(len(calls))))

    def _count(self, recipe: Recipe, tally: _Tally) -> int:
        """Add a recipe to a tally; return how many calls for texts are to do and not submitted."""
        to_do, submitted = 0, tally.statuses["submitted"]
        for document in self.documents:
            subject = Subject(recipe.name, document.id)
            texts = self.texts(recipe, document)
            if texts is None:
                tally.unprepared.append(subject)
                for _, record in self.preparation(recipe, document).planned:
                    tally.add(record)
                continue
            tally.add_sums(self._prepared[subject])
            if self.has_nothing(recipe, document):
                tally.without_calls.append(subject)
            for each in texts:
                finished = self.ledger.slot_totals(each.key, each.number)
                tally.add_sums(finished)
                number = sum(finished.counts.values())
                if each.step.counts:
                    tally.written[recipe.name] += finished.usage.completion_tokens
                before = tally.statuses["to_do"]
                looked_up = 0
                for _, record in self._outside_slots(each, number):
                    looked_up += 1
                    tally.add(record)
                    if record is not None and is_final(record.status) and each.step.counts:
                        tally.written[recipe.name] += record.completion.usage.completion_tokens
                tally.statuses["to_do"] += each.number - number - looked_up
                to_do += tally.statuses["to_do"] - before
        return to_do - (tally.statuses["submitted"] - submitted)

    def _ended(self, texts: Texts) -> Iterator[PlannedCall]:
        """Yield the calls of some texts that have an outcome, in order of rank."""
        slots = [rank for rank, *_ in self.ledger.slot_outcomes(texts.key, texts.number)]
        outside = [planned for planned in self._outside_slots(texts, len(slots)) if planned.record]
        calls = self.calls(texts)
        if not outside:
            yield from self._records(calls[rank] for rank in slots)
            return
        ids = {planned.call.id for planned in outside} | {calls[rank].id for rank in slots}
        ranks = (rank for rank in range(texts.number) if calls[rank].id in ids)
        yield from self._records(calls[rank] for rank in ranks)

    def _outside_slots(self, texts: Texts, filled: int) -> Iterator[PlannedCall]:
        """Yield all calls without a slot, if the ledger may hold some; failed ones, for example."""
        recipe, document = texts.recipe, texts.document
        if filled == texts.number:
            return
        known = self.prepared_calls(recipe, document)
        for each in self.texts(recipe, document) or ():
            known += self.ledger.finished(each.key, each.number)
        if self.ledger.calls_of_document(document.id, recipe.name) > known:
            calls = self.calls(texts)
            ranks = self.ledger.free_ranks(texts.key, texts.number)
            yield from self._records(calls[rank] for rank in ranks)

    def _records(self, calls: Iterable[Call]) -> Iterator[PlannedCall]:
        remaining = iter(calls)
        while some := list(itertools.islice(remaining, CALLS_PER_QUERY)):
            records = self.ledger.get_many(call.id for call in some)
            yield from (PlannedCall(call, records.get(call.id)) for call in some)


def preparing_steps(recipe: Recipe) -> list[Step]:
    """Return the steps whose answers other steps need, in order."""
    needed = {need for step in recipe.steps for need in step.needs}
    return [step for step in recipe.steps if step.name in needed]


def text_steps(recipe: Recipe) -> list[Step]:
    """Return the steps that no other step needs, in order."""
    preparing = preparing_steps(recipe)
    return [step for step in recipe.steps if step not in preparing]


def _text(record: CallRecord | None) -> str | None:
    return record.text if record and record.status in TEXT_STATUSES else None


def _is_over(
    step: Step,
    document: Document,
    calls: CallSequence,
    found: Sequence[PlannedCall],
    texts: Sequence[str | None],
) -> bool:
    """Whether no further attempt is planned."""
    if found and not (found[-1].record and is_final(found[-1].record.status)):
        return False
    return len(found) == len(calls) or step.is_enough(document, texts)


def _sums(planned: Iterable[PlannedCall]) -> SlotTotals:
    """Sum calls that have all ended."""
    tally = _Tally()
    for _, record in planned:
        tally.add(record)
    return SlotTotals(
        counts={status: tally.statuses[status] for status in STATUSES if tally.statuses[status]},
        usage=Usage(*tally.tokens),
        cost_usd=tally.cost_usd,
        unpriced=tally.unpriced,
        reasoning_tokens=tally.reasoning_tokens,
        failures=dict(tally.failures),
    )


class _Tally:
    """Sums in the making."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.tokens = [0, 0, 0]
        self.reasoning_tokens = 0
        self.cost_usd = 0.0
        self.unpriced = 0
        self.beyond_target = 0
        self.unprepared: list[Subject] = []
        self.without_calls: list[Subject] = []

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

    def add_sums(self, finished: SlotTotals) -> None:
        self.statuses.update(finished.counts)
        self.failures.update(finished.failures)
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
            beyond_target=self.beyond_target,
            submitted=submitted,
            usage=Usage(*self.tokens),
            reasoning_tokens=self.reasoning_tokens,
            known_usd=self.cost_usd,
            unpriced=self.unpriced,
            failures=_most_common(self.failures),
            written=dict(self.written),
            unprepared=tuple(self.unprepared),
            without_calls=tuple(self.without_calls),
        )


def _most_common(reasons: Counter[str]) -> tuple[Failure, ...]:
    common = [Failure(reason, calls) for reason, calls in reasons.most_common(MOST_REASONS)]
    others = reasons.total() - sum(calls for _, calls in common)
    return (*common, Failure("other reasons", others)) if others else tuple(common)
