"""What a plan will take: calls x tokens per step, each with a low, an expected and a high value.

What is known (calls of documents whose preparing steps are complete) is the same in all three.
Otherwise a step says how many calls to expect (`Step.expected_calls`), corrected by what the
prepared documents of the same plan turned out to have. Lengths of answers come from what the ledger
has measured of the same model, else from what is usual.

A limit cuts the plan where documents, taking turns, will have used it up: each of the three cases
by itself, so that no value exceeds the limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from steep.core.calls import Call, Usage
from steep.core.ranges import Case, Range
from steep.documents.document import Document
from steep.generation.estimate import (
    PromptSize,
    answer_tokens,
    hosted_cache,
    prompt_tokens,
)
from steep.generation.plan import PlanView, is_final, preparing_steps, text_steps
from steep.generation.usage_stats import Measured
from steep.generation.work_queue import TURN_CALLS, turn_sizes
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe, Step

CASES: tuple[Case, ...] = ("low", "expected", "high")
FEW_DOCUMENTS = 3  # prepared ones, before their spread is believed
MOST_COMPARED = 200  # prepared documents whose numbers of calls correct the others'
NONE = Range(0.0, 0.0, 0.0)


class Amounts(NamedTuple):
    """What some calls take; `cost_usd` is None where a price is unknown."""

    calls: Range = NONE
    prompt_tokens: Range = NONE
    cached_tokens: Range = NONE
    completion_tokens: Range = NONE
    cost_usd: Range | None = NONE

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum."""
        cost = None
        if self.cost_usd is not None and other.cost_usd is not None:
            cost = self.cost_usd + other.cost_usd
        calls, prompt, cached, answer = (a + b for a, b in zip(self[:4], other[:4], strict=True))
        return Amounts(calls, prompt, cached, answer, cost)

    def ordered(self) -> Amounts:
        """Return the same with low <= expected <= high: a limit leaves fewer of expensive calls."""
        calls, prompt, cached, answer = map(_ordered, self[:4])
        cost = self.cost_usd and _ordered(self.cost_usd)
        return Amounts(calls, prompt, cached, answer, cost)


def _ordered(each: Range) -> Range:
    return Range.around(each.low, each.expected, each.high)


@dataclass(frozen=True, slots=True)
class StepForecast:
    """The calls of one step: how many have ended, and what those to do take."""

    recipe: str
    step: str
    done: int
    to_do: Amounts


@dataclass(frozen=True, slots=True)
class DocumentForecast:
    """One document. `exact` says whether the number of its calls is known."""

    document_id: str
    title: str
    characters: int
    exact: bool
    steps: tuple[StepForecast, ...]
    to_do: Amounts


@dataclass(frozen=True, slots=True)
class Forecast:
    """A whole plan.

    Attributes:
        documents: In the order of the plan.
        steps: The same by step, over all documents.
        to_do: The sum.
        uncut: Cost of all calls, were there no limits.
        least_usd: The worst case of the smallest call to do; None where nothing is to do, or its
            price is unknown.
    """

    documents: tuple[DocumentForecast, ...]
    steps: tuple[StepForecast, ...]
    to_do: Amounts
    uncut: Amounts
    least_usd: float | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is left of the limits of a plan; None is no limit.

    Attributes:
        text_tokens: By recipe, for the steps that count towards the target.
    """

    usd: float | None = None
    tokens: float | None = None
    text_tokens: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Item:
    """A step about a document: its calls, and what each takes."""

    document: Document
    recipe: Recipe
    step: Step
    calls: Range
    done: int
    exact: bool
    prepares: bool
    prompt: Range
    cached: Range
    answer: Range
    bound_tokens: float
    prices: Prices

    def per_call(self, case: Case) -> tuple[float, float, float]:
        """Tokens of prompt and answer, and cost in dollars, of one call."""
        prompt, answer = self.prompt[case], self.answer[case]
        cached = self.cached.low if case == "high" else self.cached.expected
        usage = Usage(round(prompt), round(min(cached, prompt)), round(answer))
        return prompt, answer, self.prices.cost_usd(usage) or 0.0


def forecast(
    view: PlanView,
    measured: Measured,
    prices: Callable[[Document], Prices],
    limits: Limits,
    *,
    hosted_caches: bool = True,
) -> Forecast:
    """Forecast what is to do of a plan.

    Args:
        view: The plan.
        measured: What is known of the model.
        prices: Those of the endpoint that reads a document.
        limits: What is left of them.
        hosted_caches: Whether prompts without a measured cache are expected to be cached as hosted
            providers do; batches have no cache.
    """
    items = [
        item
        for document in view.documents
        for recipe in view.recipes
        for item in _items(view, document, recipe, measured, prices(document), hosted_caches)
    ]
    _correct(items, view)
    uncut = {case: [item.calls[case] for item in items] for case in CASES}
    kept = {case: _within(items, uncut[case], case, view, limits) for case in CASES}
    # Sums are made case by case, and put in order last: each case keeps within the limits.
    of_items = [
        _amounts(item, *(kept[case][at] for case in CASES)) for at, item in enumerate(items)
    ]
    whole = (_amounts(item, *(item.calls[case] for case in CASES)) for item in items)
    return Forecast(
        documents=tuple(_by_document(view, items, of_items)),
        steps=tuple(_by_step(view, items, of_items)),
        to_do=_sum(of_items).ordered(),
        uncut=_sum(whole).ordered(),
        least_usd=_least_usd(items),
    )


def _items(
    view: PlanView,
    document: Document,
    recipe: Recipe,
    measured: Measured,
    prices: Prices,
    hosted_caches: bool,
) -> Iterable[_Item]:
    texts = view.texts(recipe, document)
    planned = () if texts is not None else view.preparation(recipe, document).planned
    by_step = {each.step.name: each for each in texts or ()}
    preparing = preparing_steps(recipe)
    for step in recipe.steps:
        done, calls = 0, NONE
        if step in preparing:
            ended = [p for p in planned if p.call.stage == step.name and p.record is not None]
            done = sum(is_final(p.record.status) for p in ended if p.record)
            if texts is None:
                calls = _left(step.expected_calls(document), done)
            else:
                done = view.prepared_calls(recipe, document) if step is preparing[0] else 0
        elif (own := by_step.get(step.name)) is not None:
            done = view.finished(own)
            calls = Range.exactly(own.number - done)
        else:
            calls = step.expected_calls(document)
        if not calls.high and not done:
            continue
        call = step.specimen(document)
        size = _size(call)
        prompt = prompt_tokens(size, measured.tokens_per_character)
        yield _Item(
            document, recipe, step, calls, done,
            exact=texts is not None,
            prepares=step in preparing,
            prompt=prompt,
            cached=_cached(size, prompt, measured, hosted_caches, step in preparing),
            answer=answer_tokens(call.answer_bound, measured.answers.get((recipe.name, step.name))),
            bound_tokens=size.bound_tokens,
            prices=prices,
        )  # fmt: skip


def _left(expected: Range, done: int) -> Range:
    return expected.map(lambda calls: max(1.0, calls - done))


def _size(call: Call) -> PromptSize:
    characters = sum(len(part) for message in call.messages for part in message.parts)
    prefix = characters - len(call.messages[-1].parts[-1])
    return PromptSize(characters, prefix, call.prompt_bound)


def _cached(
    size: PromptSize, prompt: Range, measured: Measured, hosted: bool, prepares: bool
) -> Range:
    """Tokens of a prompt that the endpoint has read before: but for the first call of a turn."""
    if prepares or not hosted:
        return NONE
    if measured.cached_share is not None:
        return prompt.times(measured.cached_share)
    share = size.prefix_characters / max(1.0, size.characters) * (1 - 1 / TURN_CALLS)
    return prompt.times(share).map(hosted_cache)


def _correct(items: Sequence[_Item], view: PlanView) -> None:
    """Correct expected numbers of calls by what the prepared documents turned out to have."""
    for recipe in view.recipes:
        for step in text_steps(recipe):
            own = [item for item in items if item.recipe is recipe and item.step is step]
            unknown = [item for item in own if not item.exact]
            known = [item for item in own if item.exact][:MOST_COMPARED]
            if not unknown or not known:
                continue
            guesses = [
                max(item.step.expected_calls(item.document).expected, 1e-9) for item in known
            ]
            found = [item.done + item.calls.expected for item in known]
            ratios = [number / guess for number, guess in zip(found, guesses, strict=True)]
            mean = sum(found) / sum(guesses)
            for item in unknown:
                low, high = item.calls.low, item.calls.high
                if len(known) >= FEW_DOCUMENTS:
                    low = max(low, min(high, item.calls.expected * min(ratios)))
                    high = max(low, min(high, item.calls.expected * max(ratios)))
                expected = min(max(item.calls.expected * mean, low), high)
                item.calls = Range(low, expected, high)


def _within(
    items: Sequence[_Item], calls: list[float], case: Case, view: PlanView, limits: Limits
) -> list[float]:
    """How many calls of each item the limits allow, in one case."""
    sizes = turn_sizes(view)
    per_call = [item.per_call(case) for item in items]
    for recipe, left in limits.text_tokens.items():
        of_recipe = [
            answer * (item.recipe.name == recipe and item.step.counts)
            for item, (_, answer, _) in zip(items, per_call, strict=True)
        ]
        calls = _cut(items, calls, of_recipe, left, sizes)
    if limits.tokens is not None:
        calls = _cut(items, calls, [a + b for a, b, _ in per_call], limits.tokens, sizes)
    if limits.usd is not None:
        calls = _cut(items, calls, [usd for *_, usd in per_call], limits.usd, sizes)
    return calls


def _cut(
    items: Sequence[_Item],
    calls: list[float],
    units: Sequence[float],
    left: float,
    sizes: Mapping[str, int],
) -> list[float]:
    """Let documents take turns until their calls have used what is left of something.

    Args:
        items: All items.
        calls: Of each.
        units: What one call of each item takes; items that take nothing are not cut.
        left: How much there is.
        sizes: Calls per turn, by document.
    """

    def used(turns: float) -> float:
        return sum(n * unit for n, unit in zip(allowed(turns), units, strict=True))

    def allowed(turns: float) -> list[float]:
        before: dict[tuple[str, str], float] = {}
        found = []
        for item, number, unit in zip(items, calls, units, strict=True):
            if item.prepares or not unit:
                found.append(number)
                continue
            key = (item.recipe.name, item.document.id)
            room = max(0.0, turns * sizes[item.document.id] - item.done - before.get(key, 0.0))
            before[key] = before.get(key, 0.0) + number + item.done
            found.append(min(number, room))
        return found

    if sum(n * unit for n, unit in zip(calls, units, strict=True)) <= left:
        return calls
    low, high = (
        0.0,
        max(
            (item.done + number) / sizes[item.document.id] * len(items)
            for item, number in zip(items, calls, strict=True)
        ),
    )
    for _ in itertools.repeat(None, 40):
        middle = (low + high) / 2
        low, high = (middle, high) if used(middle) <= left else (low, middle)
    found = allowed(low)
    taken = sum(n * unit for n, unit in zip(found, units, strict=True))
    if taken > left:  # the preparing steps alone take more
        found = [n * left / taken if unit else n for n, unit in zip(found, units, strict=True)]
    return found


def _amounts(item: _Item, low: float, expected: float, high: float) -> Amounts:
    calls = dict(zip(CASES, (low, expected, high), strict=True))
    per_call = {case: item.per_call(case) for case in CASES}

    def of(values: Mapping[Case, float]) -> Range:
        return Range(*(calls[case] * values[case] for case in CASES))

    return Amounts(
        Range(low, expected, high),
        of({case: per_call[case][0] for case in CASES}),
        of({case: min(item.cached[case], item.prompt[case]) for case in CASES}),
        of({case: per_call[case][1] for case in CASES}),
        of({case: per_call[case][2] for case in CASES}) if item.prices.known else None,
    )


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    found = Amounts()
    for each in amounts:
        found = found.plus(each)
    return found


def _by_document(
    view: PlanView, items: Sequence[_Item], amounts: Sequence[Amounts]
) -> Iterable[DocumentForecast]:
    by_id: dict[str, list[tuple[_Item, Amounts]]] = {each.id: [] for each in view.documents}
    for item, each in zip(items, amounts, strict=True):
        by_id[item.document.id].append((item, each))
    for document in view.documents:
        own = by_id[document.id]
        yield DocumentForecast(
            document.id,
            document.title,
            len(document.text),
            all(item.exact for item, _ in own),
            tuple(
                StepForecast(item.recipe.name, item.step.name, item.done, each.ordered())
                for item, each in own
            ),
            _sum(each for _, each in own).ordered(),
        )


def _by_step(
    view: PlanView, items: Sequence[_Item], amounts: Sequence[Amounts]
) -> Iterable[StepForecast]:
    for recipe in view.recipes:
        for step in recipe.steps:
            own = [
                (item.done, each)
                for item, each in zip(items, amounts, strict=True)
                if item.recipe is recipe and item.step is step
            ]
            done = sum(number for number, _ in own)
            yield StepForecast(
                recipe.name, step.name, done, _sum(each for _, each in own).ordered()
            )


def _least_usd(items: Sequence[_Item]) -> float | None:
    """What must be left for any call: the worst case of the smallest one that can be sent now."""
    waiting = {(i.recipe.name, i.document.id) for i in items if i.prepares and i.calls.high}
    costs = [
        item.prices.cost_usd(Usage(round(item.bound_tokens), 0, round(item.answer.high)))
        for item in items
        if item.calls.high
        and (item.prepares or (item.recipe.name, item.document.id) not in waiting)
    ]
    return min((cost for cost in costs if cost is not None), default=None)
