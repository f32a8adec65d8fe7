"""What the writing of questions sends, planned before anything is spent.

The first round is known: one prompt per text and kind. Checks are planned for questions of usual
length. Later rounds only fill what is missing: at least none, and at most all of it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from steep.core.calls import MESSAGE_TOKENS, Usage
from steep.core.ranges import CASES, Range
from steep.documents.document import Document
from steep.evaluation.prompts import short_answer_prompt
from steep.evaluation.questions import Question
from steep.evaluation.rows import SHORT_TOKENS
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.writing.asked_gates import OTHER_DOCUMENTS
from steep.evaluation.writing.candidates import OPTIONS, QuestionCandidate, SupportingSpan
from steep.evaluation.writing.config import QuestionsConfig
from steep.evaluation.writing.prompts import (
    EARLIER_CHARACTERS,
    MOST_EARLIER,
    blind_prompt,
    open_book_prompt,
    other_document_prompt,
    sentences_prompt,
    write_prompt,
)
from steep.evaluation.writing.quotas import Order, orders, wanted
from steep.evaluation.writing.reading import MOST_ANSWER_CHARACTERS, MOST_QUESTION_CHARACTERS
from steep.evaluation.writing.session import (
    BASE_SERVER,
    BLIND,
    PURPOSE,
    WRITER,
    endpoints,
    missing_packages,
)
from steep.evaluation.writing.sources import Sources
from steep.ledger import requests
from steep.ledger.budget import MOST_CHARACTERS_PER_TOKEN, USUAL_CHARACTERS_PER_TOKEN
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices

QUESTION_TOKENS = 150  # usual answer of the writer, per question
ANSWER_TOKENS = 30  # usual answer to a question
BYTES_PER_CHARACTER = 3  # at most, of what is usual in any script
SURVIVING = 0.75  # of the questions of a round, before the gates that ask
AGAIN = 0.5  # of the first round, usually written again
_QUESTION, _OPTION = "x" * MOST_QUESTION_CHARACTERS, "x" * MOST_ANSWER_CHARACTERS
_SPAN = SupportingSpan("", 0, _QUESTION)  # a long sentence
_QUESTION_BYTES = BYTES_PER_CHARACTER * (MOST_QUESTION_CHARACTERS + 4 * MOST_ANSWER_CHARACTERS)


@dataclass(frozen=True, slots=True)
class WritingStep:
    """The calls of one step to one endpoint; `cost_usd` is None if the price is unknown."""

    step: str
    section: str
    model: str
    base_url: str
    calls: Range
    tokens_in: Range
    tokens_out: Range
    cost_usd: Range | None


@dataclass(frozen=True, slots=True)
class WritingPlan:
    """The calls of all steps, and what was spent on questions in the project before.

    Attributes:
        by_kind: Wanted questions by kind.
        completed: Requests for questions in the ledger, of this plan or of others.
        asks_base: Whether the base model is loaded and asked, too.
        missing_packages: What the base model needs, and is not installed.
        unrelated: Documents that have no related one, and so no question across documents.
        is_finished: Whether the questions of these settings are written, so that nothing is sent.
    """

    documents: int
    questions: int
    by_kind: dict[str, int]
    steps: tuple[WritingStep, ...]
    completed: int
    spent_usd: float
    unpriced: int
    max_cost_usd: float | None
    asks_base: bool
    missing_packages: tuple[str, ...]
    unrelated: int
    is_finished: bool = False

    @property
    def cost_usd(self) -> Range | None:
        """The cost of all steps; None if a price is unknown."""
        costs = [each.cost_usd for each in self.steps if each.cost_usd is not None]
        if len(costs) < len(self.steps):
            return None
        return sum(costs, Range.exactly(0.0))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        cost = self.cost_usd
        return asdict(self) | {"cost_usd": None if cost is None else asdict(cost)}


class _Load(NamedTuple):
    """The calls of a step in one round: their number, characters, and tokens of answers.

    `bytes` are at most so many, also with the questions that later rounds name.
    """

    calls: int
    characters: int
    bytes: int
    usual_out: int
    most_out: int


def plan_writing(
    setup: EvaluationSetup,
    settings: QuestionsConfig,
    parts: Sequence[Document],
    ledger: Ledger,
) -> WritingPlan:
    """Plan the calls of all rounds.

    Raises:
        UserError: No writer is configured.
    """
    used = {each.section: each for each in endpoints(setup, settings)}
    sources = Sources(parts)
    slots = wanted(sources, settings)
    first = orders(slots, sources)
    blind = BLIND if BLIND in used else WRITER
    loads = [
        ("write", WRITER, _write_load(first, sources, settings)),
        ("ambiguous between documents", WRITER, _other_load(first, sources, settings)),
        ("needed sentences", WRITER, _sentences_load(first, settings)),
        ("answer with the document", WRITER, _open_load(first, settings)),
    ]
    if settings.blind_gate:
        loads.append(("answer without the document", blind, _blind_load(first, settings)))
    if BASE_SERVER in used:
        loads.append(("answer closed book", BASE_SERVER, _base_load(first)))
    by_kind: dict[str, int] = {}
    for slot, number in slots.items():
        by_kind[slot.kind] = by_kind.get(slot.kind, 0) + number
    costs = [each for each in requests.costs(ledger) if each.purpose == PURPOSE]
    return WritingPlan(
        documents=len(sources.wholes),
        questions=slots.total(),
        by_kind=by_kind,
        steps=tuple(
            _planned(step, section, used[section], load, settings.rounds)
            for step, section, load in loads
        ),
        completed=sum(each.requests for each in costs),
        spent_usd=sum(each.known_usd for each in costs),
        unpriced=sum(each.unpriced for each in costs),
        max_cost_usd=settings.max_cost_usd,
        asks_base=settings.base_gate,
        missing_packages=missing_packages(setup, settings),
        unrelated=len(sources.without_related) if settings.shares.across else 0,
    )


def _planned(step: str, section: str, used: Any, load: _Load, rounds: int) -> WritingStep:
    again = AGAIN if rounds > 1 else 0.0
    writes = step == "write"
    low = 1.0 if writes else 0.0  # all questions may fail before they are asked
    usual = (1 + again) * (1.0 if writes else SURVIVING)
    factors = Range(low, usual, rounds)
    most_in = load.bytes + MESSAGE_TOKENS * load.calls
    usual_in = load.characters / USUAL_CHARACTERS_PER_TOKEN
    tokens_in = Range(
        low * load.characters / MOST_CHARACTERS_PER_TOKEN,
        usual * usual_in,
        rounds * max(usual_in, most_in),
    )
    tokens_out = Range(low * load.usual_out / 2, usual * load.usual_out, rounds * load.most_out)
    return WritingStep(
        step=step,
        section=section,
        model=used.settings.model,
        base_url=used.settings.base_url,
        calls=factors.map(lambda factor: round(factor * load.calls)),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost_usd=_cost(used.prices, tokens_in, tokens_out),
    )


def _cost(prices: Prices, tokens_in: Range, tokens_out: Range) -> Range | None:
    if not prices.known:
        return None
    usages = (Usage(round(tokens_in[each]), 0, round(tokens_out[each])) for each in CASES)
    return Range(*(prices.cost_usd(usage) or 0.0 for usage in usages))


def _write_load(first: Sequence[Order], sources: Sources, settings: QuestionsConfig) -> _Load:
    names = {each.parts[0].id: each.parts[0] for each in first}
    near = {part_id: sources.names_near(part) for part_id, part in names.items()}
    prompts = [
        write_prompt(each.parts, each.kind, each.count, near[each.parts[0].id], (), each.section)
        for each in first
    ]
    usual = QUESTION_TOKENS * sum(each.count for each in first)
    widest = max((len(each.encode()) / len(each) for each in prompts), default=1.0)
    earlier = math.ceil(MOST_EARLIER * EARLIER_CHARACTERS * widest)  # in the script of the texts
    return _load(prompts, usual, settings.max_tokens, earlier)


def _open_load(first: Sequence[Order], settings: QuestionsConfig) -> _Load:
    return _checks(
        first,
        settings.open_book_samples,
        settings.answer_tokens,
        lambda each, order: open_book_prompt(each, order.parts, _order_of(each)),
    )


def _blind_load(first: Sequence[Order], settings: QuestionsConfig) -> _Load:
    return _checks(
        first,
        settings.blind_samples,
        settings.answer_tokens,
        lambda each, order: blind_prompt(each, order.parts, _order_of(each)),
    )


def _other_load(first: Sequence[Order], sources: Sources, settings: QuestionsConfig) -> _Load:
    chunk = max(sources.chunks, key=lambda each: len(each.shown.encode()))
    others = min(OTHER_DOCUMENTS, len(sources.wholes) - 1)
    shown, tokens = chunk.shown, settings.answer_tokens
    return _checks(first, others, tokens, lambda each, _: other_document_prompt(each, shown))


def _sentences_load(first: Sequence[Order], settings: QuestionsConfig) -> _Load:
    joins = [each for each in first if each.kind in ("joined", "across")]
    return _checks(joins, 1, settings.answer_tokens, lambda each, _: sentences_prompt(each))


def _base_load(first: Sequence[Order]) -> _Load:
    """Return the load of scoring each option, and the prompt alone, with the document and not."""
    return _checks(
        first,
        2 * (1 + OPTIONS),
        SHORT_TOKENS,
        lambda each, order: short_answer_prompt(
            Question("", "", "", each.question, (), ()), order.parts[0]
        ),
    )


def _checks(
    first: Sequence[Order],
    samples: int,
    answer_tokens: int,
    prompt: Callable[[QuestionCandidate, Order], str],
) -> _Load:
    """Return the load of asking each question of a round so many times."""
    loads = []
    for order in first:
        times = samples * order.count
        text = prompt(_usual(order), order)
        own = _load([text], ANSWER_TOKENS, answer_tokens, _QUESTION_BYTES)
        loads.append(_Load(*(times * each for each in own)))
    return _Load(*map(sum, zip(*loads, strict=True))) if loads else _Load(0, 0, 0, 0, 0)


def _load(prompts: Sequence[str], usual_out: int, most_per_call: int, more_bytes: int) -> _Load:
    return _Load(
        len(prompts),
        sum(map(len, prompts)),
        sum(len(each.encode()) + more_bytes for each in prompts),
        usual_out,
        most_per_call * len(prompts),
    )


def _usual(order: Order) -> QuestionCandidate:
    """Return a question as long as one is at most."""
    wrong = () if order.kind == "short-answer" else (_OPTION,) * 3
    ids = tuple(each.id for each in order.parts)
    return QuestionCandidate(order.kind, ids, ids, _QUESTION, (_OPTION,), wrong, (), (_SPAN, _SPAN))


def _order_of(candidate: QuestionCandidate) -> tuple[int, ...] | None:
    return (0, 1, 2, 3) if candidate.is_choice else None
