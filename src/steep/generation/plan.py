"""The plan: documents x recipes x steps, lazily, each call with its record in the ledger.

Only the ledger is stored. The calls to do, their outcomes and costs all follow from the plan and
the ledger, so they agree after a crash or a changed configuration. A `PlanView` remembers, while a
command runs, what each document has and still needs.

Some steps of a recipe *prepare*: others need their answers (a list of entities decides about the
pairs). A refused or empty answer is final, and the recipe may ask again; a *failed* call stops the
document until a later run: continuing without it would plan, and pay for, other calls than a run in
which the endpoint had answered. All other steps are the *texts* of the recipe.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from steep.core.calls import Call, Status
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.new_information import NewInformation
from steep.generation.plugin_errors import guarded
from steep.generation.totals import Subject, Tally, Totals
from steep.ledger.ledger import Ledger, chunks
from steep.ledger.records import CallRecord
from steep.recipes.recipe import CallSequence, Recipe, Step

CALLS_PER_QUERY = 256
SEQUENCES_KEPT = 64  # of documents: they hold prompts
TEXT_STATUSES: frozenset[Status] = frozenset({"done", "truncated"})


class PlannedCall(NamedTuple):
    """A call of the plan, with its record if the ledger has one."""

    call: Call
    record: CallRecord | None


@dataclass(frozen=True, slots=True)
class Texts:
    """The calls of one step about one document that give texts."""

    recipe: Recipe
    step: Step
    document: Document
    key: str  # of the sequence of calls
    number: int


@dataclass(frozen=True, slots=True)
class Preparation:
    """The state of the preparing steps of a recipe about a document."""

    planned: tuple[PlannedCall, ...]
    answers: Mapping[str, tuple[str | None, ...]]  # texts of each step that is complete
    complete: bool  # no planned call is to do or has failed


def is_final(status: str | None) -> bool:
    """Return whether a call has ended for good: neither failed nor waiting in a batch."""
    return status is not None and status not in ("failed", "submitted")


class PlanView:
    """The calls that each document has and still needs, remembered while a command runs.

    No more calls are planned after `target_tokens` of text per recipe, or when `information` says
    that it is exhausted, and at most `most_per_step` for texts of each step about each document.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        recipes: Sequence[Recipe],
        ledger: Ledger,
        target_tokens: int | None = None,
        most_per_step: int | None = None,
        information: NewInformation | None = None,
    ) -> None:
        self.documents = documents
        self.recipes = recipes
        self.ledger = ledger
        self.target_tokens = target_tokens
        self.information = information
        self._most_per_step = most_per_step
        self._texts: dict[Subject, tuple[Texts, ...]] = {}
        self._prepared: dict[Subject, tuple[CallRecord, ...]] = {}
        self._sequences: OrderedDict[str, CallSequence] = OrderedDict()
        self._linked: dict[str, Recipe] = {}  # by name, once all documents are prepared
        self._waits_for: dict[str, int] = {}  # place of the first document that may be unprepared
        self._incomplete: dict[Subject, Preparation] = {}  # as of so many changes of the ledger
        self._changes = -1

    def preparation(self, recipe: Recipe, document: Document) -> Preparation:
        """Follow the preparing steps about a document as far as the ledger has answers."""
        if self._changes != self.ledger.changes:
            self._changes = self.ledger.changes
            self._incomplete.clear()
        subject = Subject(recipe.name, document.id)
        if (known := self._incomplete.get(subject)) is not None:
            return known
        found = self._follow(recipe, document)
        if not found.complete:
            self._incomplete[subject] = found
        return found

    def _follow(self, recipe: Recipe, document: Document) -> Preparation:
        planned: list[PlannedCall] = []
        answers: dict[str, tuple[str | None, ...]] = {}
        steps = preparing_steps(recipe)
        for step in steps:
            if any(need not in answers for need in step.needs):
                continue
            calls = guarded(recipe, step, document, answers)
            found, over = (
                self._attempts(step, document, calls) if step.one_by_one else self._all(calls)
            )
            if over:
                answers[step.name] = tuple(_text(record) for _, record in found)
            planned += found
        return Preparation(tuple(planned), answers, len(answers) == len(steps))

    def texts(self, recipe: Recipe, document: Document) -> tuple[Texts, ...] | None:
        """Return the calls for texts about a document; None until its preparation is complete."""
        if (known := self._texts.get(Subject(recipe.name, document.id))) is not None:
            return known
        return self._plan_texts(recipe, document, self.preparation(recipe, document))

    def of(self, subject: Subject) -> tuple[Recipe, Document]:
        """Return the recipe and the document of a subject."""
        recipe = next(each for each in self.recipes if each.name == subject.recipe)
        return recipe, next(each for each in self.documents if each.id == subject.document_id)

    def prepared_calls(self, recipe: Recipe, document: Document) -> Counter[str]:
        """Return how many calls of each step the complete preparation of a document took."""
        records = self._prepared[Subject(recipe.name, document.id)]
        return Counter(record.stage for record in records)

    def calls(self, texts: Texts) -> CallSequence:
        """Return the sequence of calls behind some texts."""
        if (found := self._sequences.get(texts.key)) is None:
            answers = self.preparation(texts.recipe, texts.document).answers
            found = guarded(texts.recipe, texts.step, texts.document, answers)
            self._keep(texts, found)
        else:
            self._sequences.move_to_end(texts.key)
        return found

    def all_texts(self, recipe: Recipe) -> Iterator[Texts]:
        """Yield the planned texts of a recipe, document by document."""
        for document in self.documents:
            yield from self.texts(recipe, document) or ()

    def has_nothing(self, recipe: Recipe, document: Document) -> bool:
        """Return whether a document, or the answers about it, leave a recipe nothing to write."""
        texts = self.texts(recipe, document)
        if texts is None or any(each.number for each in texts):
            return False
        expects = any(each.step.expected_calls(document).high for each in texts)
        return expects or recipe.unsuitable(document) is not None

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
                texts = self.texts(recipe, document) or ()
                filled = [self.ledger.finished(each.key, each.number) for each in texts]
                outside = self._are_outside_slots(recipe, document, texts, filled)
                for each in texts:
                    yield from self._ended(each, outside)

    def totals(self) -> Totals:
        """Count the outcomes of the plan; a call that two documents share is counted for each."""
        tally = Tally()
        for recipe in self.recipes:
            beyond = self._count(recipe, tally)
            if self._has_ended(recipe, tally.written):
                tally.drop_to_do(recipe.name, [step.name for step in text_steps(recipe)], beyond)
        return tally.totals()

    def is_reached(self, totals: Totals) -> bool:
        """Return whether every recipe has written its target or is exhausted."""
        return all(self._has_ended(recipe, totals.written) for recipe in self.recipes)

    @property
    def exhausted(self) -> frozenset[str]:
        """Return the recipes that `generate.stop_when` has ended."""
        return self.information.exhausted if self.information else frozenset()

    def _has_ended(self, recipe: Recipe, written: Mapping[str, int]) -> bool:
        target = self.target_tokens
        is_reached = target is not None and written.get(recipe.name, 0) >= target
        return is_reached or recipe.name in self.exhausted

    def textless_calls(self, max_attempts: int) -> list[str]:
        """Return the ids of the planned calls whose answers hold no text and may be repeated."""
        if not self.ledger.has_textless(max_attempts):
            return []
        found: dict[str, None] = {}
        for recipe in self.recipes:
            for texts in self.all_texts(recipe):
                ids = self.ledger.textless_slots(texts.key, texts.number, max_attempts)
                found |= dict.fromkeys(ids)
        return list(found)

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
    ) -> tuple[Texts, ...] | None:
        """Plan the texts about a document that is prepared, and remember them."""
        if not preparation.complete or (linked := self._link(recipe)) is None:
            return None
        found = []
        for step in text_steps(linked):
            calls = guarded(recipe, step, document, preparation.answers)
            number = min(len(calls), self._most_per_step or len(calls))
            found.append(Texts(recipe, step, document, calls.key if number else "", number))
            if number:
                self._keep(found[-1], calls)
        subject = Subject(recipe.name, document.id)
        records = [record for _, record in preparation.planned if record]
        self._prepared[subject] = tuple(map(_without_text, records))
        self._texts[subject] = tuple(found)
        return tuple(found)

    def _link(self, recipe: Recipe) -> Recipe | None:
        """Return a recipe that knows the other documents; None until all of them are prepared."""
        if not recipe.links_documents:
            return recipe
        if (known := self._linked.get(recipe.name)) is not None:
            return known
        first = self._waits_for.get(recipe.name, 0)
        for place in range(first, len(self.documents)):
            if not self.preparation(recipe, self.documents[place]).complete:
                self._waits_for[recipe.name] = place
                return None
        answers = {each.id: self.preparation(recipe, each).answers for each in self.documents}
        return self._linked.setdefault(recipe.name, recipe.linked(self.documents, answers))

    def _keep(self, texts: Texts, calls: CallSequence) -> None:
        self._sequences[texts.key] = calls
        while len(self._sequences) > SEQUENCES_KEPT:
            self._sequences.popitem(last=False)

    def _attempts(
        self, step: Step, document: Document, calls: CallSequence
    ) -> tuple[list[PlannedCall], bool]:
        """Return the attempts up to one that suffices or is to do, and whether all have ended."""
        found: list[PlannedCall] = []
        texts: list[str | None] = []
        for rank in range(len(calls)):
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
                return found, False
            texts.append(_text(record))
            if step.is_enough(document, texts):
                break
        return found, True

    def _all(self, calls: CallSequence) -> tuple[list[PlannedCall], bool]:
        """Return all calls of a step, and whether all of them have ended."""
        found = list(self._records(calls[rank] for rank in range(len(calls))))
        return found, all(record and is_final(record.status) for _, record in found)

    def _count(self, recipe: Recipe, tally: Tally) -> int:
        """Add a recipe to a tally; return how many calls for texts are to do and not submitted."""
        to_do, submitted = 0, tally.statuses["submitted"]
        for document in self.documents:
            subject = Subject(recipe.name, document.id)
            if (texts := self.texts(recipe, document)) is None:
                tally.unprepared.append(subject)
                for call, record in self.preparation(recipe, document).planned:
                    tally.add(subject, call.stage, record)
                continue
            for record in self._prepared[subject]:
                tally.add(subject, record.stage, record)
            if self.has_nothing(recipe, document):
                tally.without_calls.append(subject)
            before = tally.statuses["to_do"]
            self._count_texts(subject, texts, tally)
            to_do += tally.statuses["to_do"] - before
        return to_do - (tally.statuses["submitted"] - submitted)

    def _count_texts(self, subject: Subject, texts: Sequence[Texts], tally: Tally) -> None:
        texts = [each for each in texts if each.number]
        slots = [self.ledger.slot_totals(each.key, each.number) for each in texts]
        filled = [sum(each.counts.values()) for each in slots]
        outside = texts and self._are_outside_slots(
            texts[0].recipe, texts[0].document, texts, filled
        )
        for each, finished, number in zip(texts, slots, filled, strict=True):
            step = each.step
            tally.add_slots(subject, step.name, finished, counts=step.counts)
            if outside and number < each.number:
                for _, record in self._outside_slots(each):
                    tally.add(subject, step.name, record, counts=step.counts)
            else:
                tally.add_to_do(subject, step.name, each.number - number)

    def _ended(self, texts: Texts, are_outside: bool) -> Iterator[PlannedCall]:
        """Yield the calls of some texts that have an outcome, in order of rank."""
        slots = [rank for rank, *_ in self.ledger.slot_outcomes(texts.key, texts.number)]
        calls = self.calls(texts) if texts.number else ()
        outside = []
        if are_outside and len(slots) < texts.number:
            outside = [planned for planned in self._outside_slots(texts) if planned.record]
        if not outside:
            yield from self._records(calls[rank] for rank in slots)
            return
        ids = {planned.call.id for planned in outside} | {calls[rank].id for rank in slots}
        ranks = (rank for rank in range(texts.number) if calls[rank].id in ids)
        yield from self._records(calls[rank] for rank in ranks)

    def _are_outside_slots(
        self, recipe: Recipe, document: Document, texts: Sequence[Texts], filled: Sequence[int]
    ) -> bool:
        """Return whether the ledger may hold calls without a slot; failed ones, for example."""
        if sum(filled) == sum(each.number for each in texts):
            return False
        prepared = self._prepared[Subject(recipe.name, document.id)]  # some by another recipe
        known = sum(record.recipe == recipe.name for record in prepared) + sum(filled)
        return self.ledger.calls_of_document(document.id, recipe.name) > known

    def _outside_slots(self, texts: Texts) -> Iterator[PlannedCall]:
        """Yield all calls without a slot."""
        calls = self.calls(texts)
        ranks = self.ledger.free_ranks(texts.key, texts.number)
        return self._records(calls[rank] for rank in ranks)

    def _records(self, calls: Iterable[Call]) -> Iterator[PlannedCall]:
        for some in chunks(calls, CALLS_PER_QUERY):
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


def _without_text(record: CallRecord) -> CallRecord:
    return replace(record, completion=replace(record.completion, text=""))
