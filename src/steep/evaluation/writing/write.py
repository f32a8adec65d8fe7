"""Write questions in rounds, until enough of them pass the gates or a limit is reached.

    steep questions

In each round the writer is asked for what is missing of each document and kind; the kinds of a
document are written one after another, so that each prompt names what was asked before. The
questions pass the gates in a fixed order, those that cost calls last; the first failed gate is
recorded. What is missing after the last round is taken from spare questions, of the same kind
first. Accepted questions, rejected ones and counts are an artifact. All answers are in the ledger:
after a kill, the same command continues and pays for nothing twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.files import write_json, write_jsonl
from steep.core.formatting import plural, shorten
from steep.core.ids import derive_seed
from steep.documents.store import documents_of
from steep.evaluation.engines import Decoding, NoLikelihoods
from steep.evaluation.prompts import LETTERS
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.writing import session as sessions
from steep.evaluation.writing.asked_gates import Sifted, known_to_base
from steep.evaluation.writing.candidates import (
    GATES,
    HARDEST_FIRST,
    KINDS,
    OPTIONS,
    Gate,
    QuestionCandidate,
    RejectedQuestion,
    question_rows,
)
from steep.evaluation.writing.config import QuestionsConfig
from steep.evaluation.writing.free_gates import Filed, check_free, find_spans, rank
from steep.evaluation.writing.prompts import (
    EARLIER_CHARACTERS,
    MOST_EARLIER,
    templates,
    write_prompt,
)
from steep.evaluation.writing.quotas import Order, QuestionSlot, orders, wanted
from steep.evaluation.writing.reading import read_questions
from steep.evaluation.writing.results import (
    QUESTIONS_NAME,
    REJECTED_NAME,
    RESULT_NAME,
    BlindCount,
    GateCount,
    KindCount,
    WritingResult,
)
from steep.evaluation.writing.session import WritingSession
from steep.evaluation.writing.sources import Sources
from steep.ledger.caller import OverBudget

log = logging.getLogger("steep")

VERSION = 2
STAGE = "questions"
ORDERS_AT_ONCE = 16  # calls of the writer, whose questions pass all gates together
WRITE_TEMPERATURE = 0.7


def identity_of(setup: EvaluationSetup, settings: QuestionsConfig, documents: Artifact) -> Identity:
    """Return what decides the written questions."""
    base = {"train.model": setup.base_name} if settings.base_gate else {}
    fields = {**identity_fields("questions", settings), **base, "prompts": templates()}
    return Identity(STAGE, VERSION, fields, {"documents": documents})


def questions_artifact(
    setup: EvaluationSetup, settings: QuestionsConfig, documents: Artifact
) -> Artifact:
    """Write the questions, unless it has been done.

    Raises:
        UserError: No writer is configured, a model fails, or the limits of the project are reached.
    """
    sessions.check(setup, settings)

    def make(directory: Path) -> dict[str, Any]:
        sources = Sources(documents_of(documents))
        with sessions.open_session(setup, settings, sources) as session:
            written = Writing(session)
            written.run()
            result = written.result()
        write_set(directory, written.accepted, written.rejected, result, settings.seed)
        return counts_of(result)

    if find_written(setup, settings, documents) is None:
        sessions.check_base(setup, settings)
    return build(setup.project, identity_of(setup, settings, documents), make)


def write_set(
    directory: Path,
    accepted: Sequence[QuestionCandidate],
    rejected: Sequence[RejectedQuestion],
    result: WritingResult,
    seed: int,
    rejected_before: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the question set, the rejected candidates and the result."""
    run = [each.gate for each in result.gates if each.checked is not None]
    rows = [{**row, "gates": run} for row in question_rows(accepted, seed)]
    write_jsonl(directory / QUESTIONS_NAME, rows)
    write_jsonl(directory / REJECTED_NAME, [*rejected_before, *(each.row for each in rejected)])
    write_json(directory / RESULT_NAME, asdict(result))


def counts_of(result: WritingResult) -> dict[str, Any]:
    """Return the counts for a manifest."""
    names = ("candidates", "accepted", "rejected", "spare", "unfinished")
    return {"counts": {name: getattr(result, name) for name in names}}


@dataclass
class Writing:
    """The questions so far: accepted, rejected, and how many of them each gate has seen.

    `spare` ones passed the gates without calls, and are asked once others have failed. Of
    duplicates, one is asked at a time.
    """

    session: WritingSession
    accepted: list[QuestionCandidate] = field(default_factory=list)
    known: Filed = field(default_factory=Filed)  # the accepted ones
    spare: list[QuestionCandidate] = field(default_factory=list)
    rejected: list[RejectedQuestion] = field(default_factory=list)
    checked: Counter[Gate] = field(default_factory=Counter)
    asked_blind: Counter[str] = field(default_factory=Counter)  # questions by kind
    candidates: int = 0
    asked_for: int = 0
    rounds: int = 0
    exhausted: bool = False  # the writer wrote nothing in the last round
    limit_reached: bool = False
    base_is_silent: bool = False  # its server gives no likelihoods

    def __post_init__(self) -> None:
        self.wanted = wanted(self.session.sources, self.session.settings)

    def run(self) -> None:
        """Write and check, round after round.

        Raises:
            UserError: A model fails, or the limits end the work before a question was accepted.
        """
        try:
            for number in range(self.session.settings.rounds):
                if self.exhausted or not self._missing(0):
                    break
                self.rounds, before = number + 1, self.candidates
                self._round(number)
                self._use_spare(0)
                self.exhausted = self.candidates == before
            for level in (1, 2):
                self._use_spare(level)
        except OverBudget:
            if not (self.session.limit.is_lower and self.accepted):
                raise
            self.limit_reached = True
            text = "questions: questions.max_cost_usd is reached with %d of %d questions"
            log.warning(text, len(self.accepted), self.wanted.total())

    def _missing(self, level: int) -> Counter[tuple[str, ...]]:
        """Count missing questions: by part and kind (level 0), by kind (1), in total (2)."""
        want = Counter[tuple[str, ...]]()
        for slot, number in self.wanted.items():
            want[slot[level:]] += number
        return want - Counter(_slot(each)[level:] for each in self.accepted)

    def _use_spare(self, level: int) -> None:
        """Ask spare questions while some are missing that they could be."""
        while needed := self._needed(level, self.session.sources.by_id):
            self._ask(needed, f"{self.rounds}, spare questions")

    def _needed(self, level: int, part_ids: Container[str]) -> list[QuestionCandidate]:
        """Take as many spare candidates of these parts as are missing (see `_missing`).

        Documents with few questions come first. Duplicates of accepted ones are rejected. A
        duplicate of a needed one stays spare: it is asked if the other one fails.
        """
        seed = self.session.settings.seed
        have = Counter(each.document_ids[0] for each in self.accepted)
        spare = [each for each in self.spare if each.part_ids[0] in part_ids]
        spare.sort(key=lambda each: (have[each.document_ids[0]], rank(each, seed)))
        missing, filed, needed = self._missing(level), Filed(), list[QuestionCandidate]()
        self.spare = [each for each in self.spare if each.part_ids[0] not in part_ids]
        for each in spare:
            own, document_id = _slot(each)[level:], each.document_ids[0]
            has_room = have[document_id] < self.session.settings.max_per_document
            if twin := self.known.rejection(each):
                self.rejected.append(twin)
            elif missing[own] > 0 and has_room and not filed.rejection(each):
                filed.add(each)
                needed.append(each)
                missing[own] -= 1
                have[document_id] += 1
            else:
                self.spare.append(each)
        return needed

    def _round(self, number: int) -> None:
        missing = self._missing(0)
        slots = {slot: missing[slot] for slot in self.wanted}
        done, every = 0, orders(slots, self.session.sources, number)
        for some in _batches(every):
            done += len(some)
            before = len(self.accepted)
            label = f"{number + 1}"
            self._check(self._write(some, number, label), label)
            log.info(
                "questions, round %s, %d of %d prompts: %s accepted, %d of %d in total",
                label,
                done,
                len(every),
                plural(len(self.accepted) - before, "question"),
                len(self.accepted),
                self.wanted.total(),
            )

    def _write(self, some: Sequence[Order], number: int, label: str) -> list[QuestionCandidate]:
        """Have the writer fill orders; another round asks equal prompts with another seed."""
        own, found = self.session, list[QuestionCandidate]()
        prompts = [self._prompt(each) for each in some]
        seed = derive_seed(own.settings.seed, "write", number)
        decoding = Decoding(1, WRITE_TEMPERATURE, own.settings.max_tokens, seed=seed)
        update = self._progress(f"{label}: writing", sends=True)
        outputs = own.writer.generate(prompts, decoding, update)
        self.asked_for += sum(each.count for each in some)
        for order, (output,) in zip(some, outputs, strict=True):
            read = read_questions(output, order.kind, order.parts, order.count)
            self.candidates += len(read.candidates) + len(read.rejected)
            self.checked["unreadable"] += len(read.candidates) + len(read.rejected)
            self.rejected += read.rejected
            found += read.candidates
        return found

    def _prompt(self, order: Order) -> str:
        """Return the prompt, with what was asked before about its texts: accepted ones first."""
        rejected = (each.candidate for each in self.rejected if each.candidate is not None)
        ids = {part.id for part in order.parts}
        earlier = dict.fromkeys(
            shorten(f"{each.question} ({each.answer})", EARLIER_CHARACTERS)
            for each in (*self.accepted, *self.spare, *rejected)
            if ids.intersection(each.part_ids)
        )
        shown = list(earlier)[:MOST_EARLIER]
        names = self.session.sources.names_near(order.parts[0])
        return write_prompt(order.parts, order.kind, order.count, names, shown, order.section)

    def _check(self, candidates: Sequence[QuestionCandidate], label: str) -> None:
        """Take written candidates through all gates; accept those that pass."""
        passed = self._check_free(candidates)
        self.checked["duplicate"] += len(passed)
        self.spare += passed
        self._ask(self._needed(0, {each.part_ids[0] for each in passed}), label)

    def _ask(self, candidates: list[QuestionCandidate], label: str) -> None:
        """Take candidates through the gates that ask a model."""
        settings = self.session.settings
        checks, left = self.session.checks, candidates
        left = self._asked("ambiguous between documents", left, label, checks.ambiguous)
        left = self._asked("one sentence is enough", left, label, checks.one_sentence)
        samples = settings.open_book_samples
        left = self._asked(
            "not answerable with the document",
            left,
            label,
            lambda some, update: checks.not_answerable(some, samples, update),
        )
        if settings.blind_gate:
            self.asked_blind.update(each.kind for each in left)
            left = self._asked(
                "answerable without the document",
                left,
                label,
                lambda some, update: checks.answered_blind(some, settings.blind_samples, update),
            )
        if settings.base_gate and not self.base_is_silent:
            left = self._asked("known to the base model", left, label, self._known_to_base)
        self.accepted += left
        for each in left:
            self.known.add(each)

    def _check_free(self, candidates: Sequence[QuestionCandidate]) -> list[QuestionCandidate]:
        found = list(find_spans(candidates, self.session.sources))
        lost = [each for each in found if isinstance(each, RejectedQuestion)]
        self._count("span not in the document", len(found), lost)
        left = [each for each in found if isinstance(each, QuestionCandidate)]
        failed = [failure for each in left if (failure := check_free(each))]
        reached = len(left)
        for gate in GATES[GATES.index("answer not in the span") : GATES.index("duplicate")]:
            own = [each for each in failed if each.gate == gate]
            self._count(gate, reached, own)
            reached -= len(own)
        gone = {each.candidate for each in failed}
        return [each for each in left if each not in gone]

    def _asked(
        self,
        gate: Gate,
        candidates: list[QuestionCandidate],
        label: str,
        ask: Callable[[Sequence[QuestionCandidate], Callable[[float, int], None]], Sifted],
    ) -> list[QuestionCandidate]:
        """Take candidates through a gate that asks a model."""
        if not candidates:
            return []
        sends = gate != "known to the base model" or self.session.base_is_served
        found = ask(candidates, self._progress(f"{label}: {gate}", sends))
        self._count(gate, len(candidates), found.rejected)
        return found.passed

    def _progress(self, step: str, sends: bool) -> Callable[[float, int], None]:
        return self.session.progress(step, sends, len(self.accepted), self.wanted.total())

    def _known_to_base(
        self, candidates: Sequence[QuestionCandidate], update: Callable[[float, int], None]
    ) -> Sifted:
        try:
            return known_to_base(self.session.base, candidates, self.session.sources, update)
        except NoLikelihoods as error:
            log.warning("questions: the base model is not asked closed book. %s", error)
            self.base_is_silent = True
            return Sifted(list(candidates), [])

    def _count(self, gate: Gate, reached: int, rejected: Iterable[RejectedQuestion]) -> None:
        self.checked[gate] += reached
        self.rejected += rejected

    def result(self) -> WritingResult:
        """Return the result: counts, models, prompts and cost."""
        own, settings = self.session, self.session.settings
        assert settings.writer is not None
        blind = (settings.blind or settings.writer).model if settings.blind_gate else None
        costs = own.costs()
        return WritingResult(
            writer=settings.writer.model,
            blind=blind,
            base=own.setup.base_name if settings.base_gate and not self.base_is_silent else None,
            kinds=self._by_kind(),
            asked_for=self.asked_for,
            candidates=self.candidates,
            gates=self._gates(),
            blind_kinds=self._blind_kinds(),
            spare=len(self.spare),
            unfinished=self.candidates - len(self.accepted) - len(self.spare) - len(self.rejected),
            rounds=self.rounds,
            exhausted=self.exhausted,
            short=self._short(),
            unrelated=len(own.sources.without_related) if settings.shares.across else 0,
            limit_reached=self.limit_reached,
            prompts=templates(),
            requests=sum(each.requests for each in costs),
            known_usd=sum(each.known_usd for each in costs),
            unpriced=sum(each.unpriced for each in costs),
            **about_accepted(self.accepted, own.sources, settings.seed),
        )

    def _by_kind(self) -> tuple[KindCount, ...]:
        wanted_by, have = Counter[str](), Counter(each.kind for each in self.accepted)
        for slot, number in self.wanted.items():
            wanted_by[slot.kind] += number
        return tuple(KindCount(k, wanted_by[k], have[k]) for k in KINDS if wanted_by[k])

    def _blind_kinds(self) -> tuple[BlindCount, ...]:
        failed = Counter[str](
            each.candidate.kind
            for each in self.rejected
            if each.gate == "answerable without the document" and each.candidate is not None
        )
        return tuple(BlindCount(k, self.asked_blind[k], failed[k]) for k in self.asked_blind)

    def _short(self) -> tuple[str, ...]:
        by_id, lacking = self.session.sources.by_id, self.wanted.copy()
        lacking.subtract(map(_slot, self.accepted))
        left = Counter[str]()
        for slot, number in lacking.items():
            left[by_id[slot.part_id].whole_id] += number
        return tuple(document_id for document_id, number in left.items() if number > 0)

    def _gates(self) -> tuple[GateCount, ...]:
        settings = self.session.settings
        off = {"rejected in review"}
        off |= set() if settings.blind_gate else {"answerable without the document"}
        if self.base_is_silent or not settings.base_gate:
            off.add("known to the base model")
        failed = Counter(each.gate for each in self.rejected)
        return tuple(
            GateCount(gate, None if gate in off else self.checked[gate], failed[gate])
            for gate in GATES
        )


def _slot(candidate: QuestionCandidate) -> QuestionSlot:
    return QuestionSlot(candidate.part_ids[0], candidate.kind)


def _batches(every: Sequence[Order]) -> Iterator[list[Order]]:
    """Yield orders of one kind that are written together."""
    for kind in HARDEST_FIRST:
        own = [each for each in every if each.kind == kind]
        for start in range(0, len(own), ORDERS_AT_ONCE):
            yield own[start : start + ORDERS_AT_ONCE]


def about_accepted(
    accepted: Sequence[QuestionCandidate], sources: Sources, seed: int
) -> dict[str, Any]:
    """Return the fields of a result that follow from the accepted questions."""
    asked = {each.document_ids[0] for each in accepted}
    letters = Counter(row["gold"] for row in question_rows(accepted, seed) if "gold" in row)
    return {
        "documents": len(sources.wholes),
        "without_questions": tuple(each for each in sources.wholes if each not in asked),
        "letters": {LETTERS[place]: letters[place] for place in range(OPTIONS)},
        "marks": dict(Counter(each.mark for each in accepted)),
    }


def find_written(
    setup: EvaluationSetup, settings: QuestionsConfig, documents: Artifact
) -> Artifact | None:
    """Return the written questions of these settings, if they are finished."""
    return setup.project.find(STAGE, identity_of(setup, settings, documents).hash8)


def finished(setup: EvaluationSetup, settings: QuestionsConfig, documents: Artifact) -> Artifact:
    """Return the written questions of these settings.

    Raises:
        UserError: They have not been written.
    """
    found = find_written(setup, settings, documents)
    if found is None:
        identity = identity_of(setup, settings, documents)
        raise UserError(
            "No questions have been written with this configuration.",
            where=setup.project.artifact_path(STAGE, identity.hash8),
            hint="steep questions writes them",
        )
    return found
