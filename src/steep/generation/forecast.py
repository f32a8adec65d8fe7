"""Forecast a plan: calls times tokens and dollars per call, each low, expected and high.

What is known (calls of documents whose preparing steps are complete) is the same in all three.
Otherwise a step says how many calls to expect (`Step.expected_calls`), corrected by what the
prepared documents of the same plan turned out to have. Tokens per call come from what the ledger
has measured of the same model (`usage_stats`), else from what is usual: four characters of English
prose per token, and answers of a third of the length that they may have. Upper bounds, which limits
rely on, are in `steep.ledger.budget`.

A limit cuts the plan where documents, taking turns, will have used it up: each of the three cases
by itself, so that no value exceeds the limit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from steep.core.calls import Call, Usage
from steep.core.ranges import CASES, Range
from steep.documents.document import Document
from steep.generation.plan import PlanView, preparing_steps
from steep.generation.totals import Subject, Totals
from steep.generation.usage_stats import Measured
from steep.generation.work_queue import TURN_CALLS, turn_sizes
from steep.ledger.budget import (
    MOST_CHARACTERS_PER_TOKEN,
    USUAL_CHARACTERS_PER_TOKEN,
    USUAL_SHARE,
    reservation,
)
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe, Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

FEW_DOCUMENTS = 3  # prepared ones, before their spread is believed
MOST_COMPARED = 200  # prepared documents whose numbers of calls correct the others'
SPREAD = 0.1  # added to the extremes of what was measured: the rest may lie beyond them
# Hosted providers cache a prefix from so many tokens on, in steps; a server of one's own, any.
LEAST_CACHED_TOKENS, CACHE_STEP_TOKENS = 1024, 128
NONE = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """The usage of some calls; `cost_usd` is None if a price is unknown."""

    calls: Range = NONE
    prompt_tokens: Range = NONE
    cached_tokens: Range = NONE
    completion_tokens: Range = NONE
    cost_usd: Range | None = NONE

    @classmethod
    def of(cls, numbers: Numbers) -> Amounts:
        """Return the amounts in rows of fields and columns of `CASES`, low <= expected <= high.

        A limit leaves fewer of expensive calls, so the cases may come in any order. An unknown
        cost is NaN.
        """
        rows = [Range.around(*row) for row in numbers.tolist()]
        calls, prompts, cached, answers, cost = rows
        is_known = not math.isnan(cost.expected)
        return cls(calls, prompts, cached, answers, cost if is_known else None)


@dataclass(frozen=True, slots=True)
class StepForecast:
    """The calls of one step: how many have ended, and the usage of those to do."""

    recipe: str
    step: str
    done: int
    to_do: Amounts


@dataclass(frozen=True, slots=True)
class DocumentForecast:
    """One document; `exact` is true if the number of its calls is known."""

    document_id: str
    title: str
    characters: int
    exact: bool
    steps: tuple[StepForecast, ...]
    to_do: Amounts


@dataclass(frozen=True, slots=True)
class Forecast:
    """A whole plan, by document and by step."""

    documents: tuple[DocumentForecast, ...]
    steps: tuple[StepForecast, ...]
    to_do: Amounts
    uncut: Amounts  # to do if there were no limits
    least_usd: float | None  # worst case of the smallest call to do; None if its price is unknown


@dataclass(frozen=True, slots=True)
class Limits:
    """What is left of the limits of a plan; None is no limit."""

    usd: float | None = None
    tokens: float | None = None
    text_tokens: Mapping[str, float] = field(default_factory=dict)  # by recipe


@dataclass(slots=True)
class _Item:
    """A step about a document: its calls, and the usage of each (rows as in `Amounts`)."""

    document: Document
    recipe: Recipe
    step: Step
    calls: Range
    done: int
    exact: bool
    prepares: bool
    one: list[list[float]]
    most_usd: float | None

    @property
    def subject(self) -> Subject:
        return Subject(self.recipe.name, self.document.id)

    @property
    def key(self) -> tuple[str, str]:
        return self.recipe.name, self.step.name


def forecast(
    view: PlanView,
    totals: Totals,
    measured: Measured,
    prices: Mapping[str, Prices],
    limits: Limits,
    *,
    hosted_caches: bool = True,
) -> Forecast:
    """Forecast the calls to do of a plan.

    With `hosted_caches`, prompts without a measured cache are expected to be cached as hosted
    providers do; batches have no cache. `prices` are those of each document, by its ID.
    """
    import numpy as np

    items: list[_Item] = []
    for document in view.documents:
        own = prices[document.id]
        for recipe in view.recipes:
            items += _items(view, recipe, document, totals, measured, own, hosted_caches)
    _correct(items)
    one = np.array([item.one for item in items]).reshape(-1, len(Amounts.__slots__), len(CASES))
    calls = np.array([[item.calls[case] for case in CASES] for item in items]).reshape(-1, 1, 3)
    to_do = one * _within(calls[:, 0], one, items, view, limits)[:, None]
    return Forecast(
        documents=tuple(_by_document(view, items, to_do)),
        steps=tuple(_by_step(view, items, to_do)),
        to_do=Amounts.of(to_do.sum(0)),
        uncut=Amounts.of((one * calls).sum(0)),
        least_usd=_least_usd(items),
    )


def _items(
    view: PlanView,
    recipe: Recipe,
    document: Document,
    totals: Totals,
    measured: Measured,
    prices: Prices,
    hosted_caches: bool,
) -> Iterator[_Item]:
    """Yield the steps of a recipe that have or had calls about a document."""
    subject = Subject(recipe.name, document.id)
    all_texts = view.texts(recipe, document)
    planned = {each.step.name: each.number for each in all_texts or ()}
    preparing, exact = {step.name for step in preparing_steps(recipe)}, all_texts is not None
    for step in recipe.steps:
        done, prepares = totals.ended.get((subject, step.name), 0), step.name in preparing
        if exact:
            calls = Range.exactly(0 if prepares else planned[step.name] - done)
        else:
            calls = step.expected_calls(document)
            if prepares:
                least = float(step.one_by_one)  # attempts so far did not suffice
                calls = Range(*(max(least, calls[case] - done) for case in CASES))
        one, most_usd = [[0.0] * 3] * 4 + [[0.0 if prices.known else float("nan")] * 3], None
        if calls.high:
            call, step_key = step.specimen(document), (recipe.name, step.name)
            one = _one_call(call, step_key, measured, prices, hosted_caches and not prepares)
            most_usd = reservation(call, prices).cost_usd
        if calls.high or done:
            yield _Item(document, recipe, step, calls, done, exact, prepares, one, most_usd)


class PromptSize(NamedTuple):
    """Characters of a prompt, those of the shared prefix, and the bound on its tokens."""

    characters: float
    prefix_characters: float
    bound_tokens: float


def _one_call(
    call: Call, step: tuple[str, str], measured: Measured, prices: Prices, has_cache: bool
) -> list[list[float]]:
    """Return the usage of a call of typical size: rows as in `Amounts`, columns of `CASES`."""
    characters = sum(len(part) for message in call.messages for part in message.parts)
    size = PromptSize(characters, characters - len(call.messages[-1].parts[-1]), call.prompt_bound)
    prompt = prompt_tokens(size, measured.tokens_per_character)
    cached = _cached_tokens(size, prompt, measured.cached_share) if has_cache else NONE
    answer = answer_tokens(call.answer_bound, measured.answers.get(step))
    certain = Range(cached.expected, cached.expected, cached.low)  # few are cached at high cost
    rows = [[1.0] * 3, [], [], [], []]
    for case in CASES:
        rows[1].append(prompt[case])
        rows[2].append(min(cached[case], prompt[case]))
        rows[3].append(answer[case])
        tokens = (prompt[case], min(certain[case], prompt[case]), answer[case])
        cost = prices.cost_usd(Usage(*map(round, tokens)))
        rows[4].append(float("nan") if cost is None else cost)
    return rows


def _cached_tokens(size: PromptSize, prompt: Range, measured_share: float | None) -> Range:
    """Return the tokens that the endpoint has read before: but for the first call of a turn."""
    if measured_share is not None:
        return prompt.times(measured_share)
    share = size.prefix_characters / max(1.0, size.characters) * (1 - 1 / TURN_CALLS)
    return prompt.times(share).map(hosted_cache)


def prompt_tokens(size: PromptSize, tokens_per_character: Range | None) -> Range:
    """Return the tokens of a prompt: as measured, else as usual; its upper bound holds."""
    if tokens_per_character is None:
        low = size.characters / MOST_CHARACTERS_PER_TOKEN
        expected = size.characters / USUAL_CHARACTERS_PER_TOKEN
        return Range(low, expected, max(expected, size.bound_tokens))
    low = size.characters * tokens_per_character.low * (1 - SPREAD)
    expected = size.characters * tokens_per_character.expected
    high = size.characters * tokens_per_character.high * (1 + SPREAD)
    return Range(low, expected, max(expected, min(high, size.bound_tokens)))


def hosted_cache(prefix_tokens: float) -> float:
    """Return the tokens of a shared prefix that a hosted provider caches: none of a short one."""
    if prefix_tokens < LEAST_CACHED_TOKENS:
        return 0.0
    return prefix_tokens // CACHE_STEP_TOKENS * CACHE_STEP_TOKENS


def answer_tokens(max_tokens: int, measured: Range | None) -> Range:
    """Return the tokens of an answer: as measured, else a usual share of the most it may have."""
    low, expected, high = (share * max_tokens for share in USUAL_SHARE)
    if measured is not None:
        low, expected = min(measured.low, max_tokens), min(measured.expected, max_tokens)
    return Range(low, expected, high)


def _correct(items: Sequence[_Item]) -> None:
    """Correct expected numbers of calls by what the prepared documents turned out to have."""
    by_step: dict[tuple[str, str], list[_Item]] = defaultdict(list)
    for item in items:
        by_step[item.key].append(item)
    for own in by_step.values():
        step = own[0].step
        unknown = [item for item in own if not item.exact and not item.prepares]
        known = [item for item in own if item.exact][:MOST_COMPARED]
        if not unknown or not known:
            continue
        guesses = [max(step.expected_calls(item.document).expected, 1e-9) for item in known]
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
    calls: Numbers, one: Numbers, items: Sequence[_Item], view: PlanView, limits: Limits
) -> Numbers:
    """Return how many calls of each item the limits allow, in each case."""
    import numpy as np

    _, prompts, _, answers, costs = one.swapaxes(0, 1)
    units = [
        (left, answers * [[item.recipe.name == name and item.step.counts] for item in items])
        for name, left in limits.text_tokens.items()
    ]
    if limits.tokens is not None:
        units.append((limits.tokens, prompts + answers))
    if limits.usd is not None:
        units.append((limits.usd, np.nan_to_num(costs)))
    sizes = turn_sizes(view) if units else {}
    kept = list(calls.T)
    for left, each in units:
        kept = [_cut(items, *both, left, sizes) for both in zip(kept, each.T, strict=True)]
    return np.array(kept).T


def _cut(
    items: Sequence[_Item], calls: Numbers, units: Numbers, left: float, sizes: Mapping[str, int]
) -> Numbers:
    """Let documents take turns until their calls have used up what is left of a limit.

    `units` is the usage per call of each item, in the unit of the limit; items without usage are
    not cut. `sizes` are the calls per turn, by document.
    """
    import numpy as np

    if (calls * units).sum() <= left:
        return calls
    size = np.array([sizes[item.document.id] for item in items])
    prepares = np.array([item.prepares for item in items]) & (units > 0)
    are_texts = ~prepares & (units > 0)
    starts = np.zeros(len(items))  # the calls of its document that come before an item
    before_texts: dict[Subject, float] = defaultdict(float)
    for place in np.flatnonzero(are_texts).tolist():
        starts[place] = before_texts[items[place].subject] + items[place].done
        before_texts[items[place].subject] = starts[place] + calls[place]
    # Where the usage per turn changes, in turns, and by how much.
    ends, rates = (starts + calls) / size, units * size * are_texts
    changes = [*zip(starts / size, rates, strict=True), *zip(ends, -rates, strict=True)]
    before = (calls * units)[prepares].sum()
    turns = _turns_within(left - before, sorted(changes))
    share = min(1.0, left / before) if before else 1.0  # the preparing steps alone may take more
    texts = np.minimum(calls, np.maximum(0.0, turns * size - starts))
    return np.where(are_texts, texts, np.where(prepares, calls * share, calls))


def _turns_within(left: float, changes: Iterable[tuple[float, float]]) -> float:
    """Return how many turns `left` suffices for."""
    at = rate = 0.0
    for turn, change in changes:
        if rate * (turn - at) >= left:
            break
        left -= rate * (turn - at)
        at, rate = turn, rate + change
    return at + max(0.0, left) / rate * (1 - 1e-12) if rate > 0 else at


def _by_document(
    view: PlanView, items: Sequence[_Item], to_do: Numbers
) -> Iterator[DocumentForecast]:
    places: dict[str, list[int]] = {each.id: [] for each in view.documents}
    for place, item in enumerate(items):
        places[item.document.id].append(place)
    for document in view.documents:
        own = places[document.id]
        yield DocumentForecast(
            document.id,
            document.title,
            len(document.text),
            all(items[place].exact for place in own),
            tuple(
                StepForecast(*items[place].key, items[place].done, Amounts.of(to_do[place]))
                for place in own
            ),
            Amounts.of(to_do[own].sum(0)),
        )


def _by_step(view: PlanView, items: Sequence[_Item], to_do: Numbers) -> Iterator[StepForecast]:
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.key].append(place)
    for recipe in view.recipes:
        for step in recipe.steps:
            own = places[recipe.name, step.name]
            done = sum(items[place].done for place in own)
            yield StepForecast(recipe.name, step.name, done, Amounts.of(to_do[own].sum(0)))


def _least_usd(items: Sequence[_Item]) -> float | None:
    """Return what must be left for any call: the worst case of the smallest one to send now."""
    waiting = {item.subject for item in items if item.prepares and item.calls.high}
    costs = [
        item.most_usd
        for item in items
        if item.calls.high and (item.prepares or item.subject not in waiting)
    ]
    return min((cost for cost in costs if cost is not None), default=None)
