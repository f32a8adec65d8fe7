"""What a plan will take: calls x tokens per step, each with a low, an expected and a high value.

What is known (calls of documents whose preparing steps are complete) is the same in all three.
Otherwise a step says how many calls to expect (`Step.expected_calls`), corrected by what the
prepared documents of the same plan turned out to have. Lengths of answers come from what the ledger
has measured of the same model, else from what is usual.

A limit cuts the plan where documents, taking turns, will have used it up: each of the three cases
by itself, so that no value exceeds the limit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from steep.core.ranges import Range
from steep.documents.document import Document
from steep.generation.estimate import CASES, NONE, Amounts, of_one_call
from steep.generation.plan import PlanView, preparing_steps, text_steps
from steep.generation.totals import Subject, Totals
from steep.generation.usage_stats import Measured
from steep.generation.work_queue import turn_sizes
from steep.ledger.budget import reservation
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe, Step

FEW_DOCUMENTS = 3  # prepared ones, before their spread is believed
MOST_COMPARED = 200  # prepared documents whose numbers of calls correct the others'


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
    """A step about a document: its calls, and what each takes, of which `most_usd` at most."""

    document: Document
    recipe: Recipe
    step: Step
    calls: Range
    done: int
    exact: bool
    prepares: bool
    one: Amounts
    most_usd: float | None

    @property
    def subject(self) -> Subject:
        return Subject(self.recipe.name, self.document.id)

    def forecast(self, to_do: Amounts) -> StepForecast:
        return StepForecast(self.recipe.name, self.step.name, self.done, to_do)


def forecast(
    view: PlanView,
    totals: Totals,
    measured: Measured,
    prices: Callable[[Document], Prices],
    limits: Limits,
    *,
    hosted_caches: bool = True,
) -> Forecast:
    """Forecast what is to do of a plan.

    Args:
        view: The plan.
        totals: What came of it so far.
        measured: What is known of the model.
        prices: Those of the endpoint that reads a document.
        limits: What is left of them.
        hosted_caches: Whether prompts without a measured cache are expected to be cached as hosted
            providers do; batches have no cache.
    """
    unprepared = frozenset(totals.unprepared)
    items: list[_Item] = []
    for document in view.documents:
        for recipe in view.recipes:
            subject = Subject(recipe.name, document.id)
            numbers = _numbers(view, recipe, document, totals, subject in unprepared)
            for step, calls, done, prepares in numbers:
                own = prices(document)
                one, most_usd = Amounts(cost_usd=NONE if own.known else None), None
                if calls.high:
                    call, caches = step.specimen(document), hosted_caches and not prepares
                    key = recipe.name, step.name
                    one = of_one_call(call, key, measured, own, hosted_caches=caches)
                    most_usd = reservation(call, own).cost_usd
                exact = subject not in unprepared
                items.append(
                    _Item(document, recipe, step, calls, done, exact, prepares, one, most_usd)
                )
    _correct(items, view)
    cut = _within([item.calls for item in items], items, view, limits)
    # Sums are made case by case, and put in order last: each case keeps within the limits.
    to_do = [item.one.times(calls) for item, calls in zip(items, cut, strict=True)]
    return Forecast(
        documents=tuple(_by_document(view, items, to_do)),
        steps=tuple(_by_step(view, items, to_do)),
        to_do=Amounts.total(to_do),
        uncut=Amounts.total([item.one.times(item.calls) for item in items]),
        least_usd=_least_usd(items),
    )


def _numbers(
    view: PlanView, recipe: Recipe, document: Document, totals: Totals, is_unprepared: bool
) -> Iterator[tuple[Step, Range, int, bool]]:
    """Yield the steps with calls: those to do, how many have ended, whether the step prepares."""
    subject = Subject(recipe.name, document.id)
    texts = () if is_unprepared else view.texts(recipe, document) or ()
    planned = {each.step.name: each.number for each in texts}
    preparing = {step.name for step in preparing_steps(recipe)}
    for step in recipe.steps:
        done, prepares = totals.ended.get((subject, step.name), 0), step.name in preparing
        if not is_unprepared:
            calls = Range.exactly(0 if prepares else planned[step.name] - done)
        elif prepares:
            calls = _left(step.expected_calls(document), done)
        else:
            calls = step.expected_calls(document)
        if calls.high or done:
            yield step, calls, done, prepares


def _left(expected: Range, done: int) -> Range:
    return expected.map(lambda calls: max(1.0, calls - done))


def _correct(items: Sequence[_Item], view: PlanView) -> None:
    """Correct expected numbers of calls by what the prepared documents turned out to have."""
    by_step: dict[tuple[str, str], list[_Item]] = {}
    for item in items:
        by_step.setdefault((item.recipe.name, item.step.name), []).append(item)
    for recipe in view.recipes:
        for step in text_steps(recipe):
            own = by_step.get((recipe.name, step.name), [])
            unknown = [item for item in own if not item.exact]
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
    calls: list[Range], items: Sequence[_Item], view: PlanView, limits: Limits
) -> list[Range]:
    """Return how many calls of each item the limits allow, in each case."""
    counted = [
        (left, [item.recipe.name == recipe and item.step.counts for item in items])
        for recipe, left in limits.text_tokens.items()
    ]
    if not counted and limits.tokens is None and limits.usd is None:
        return calls
    sizes, by_case = turn_sizes(view), []
    for case in CASES:
        kept = [each[case] for each in calls]
        answers = [item.one.completion_tokens[case] for item in items]
        for left, counts in counted:
            units = [answer * is_text for answer, is_text in zip(answers, counts, strict=True)]
            kept = _cut(items, kept, units, left, sizes)
        if limits.tokens is not None:
            prompts = (item.one.prompt_tokens[case] for item in items)
            units = [a + b for a, b in zip(prompts, answers, strict=True)]
            kept = _cut(items, kept, units, limits.tokens, sizes)
        if limits.usd is not None:
            costs = [item.one.cost_usd[case] if item.one.cost_usd else 0.0 for item in items]
            kept = _cut(items, kept, costs, limits.usd, sizes)
        by_case.append(kept)
    return [Range(*three) for three in zip(*by_case, strict=True)]


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
    used = [number * unit for number, unit in zip(calls, units, strict=True)]
    if sum(used) <= left:
        return calls
    before = sum(each for item, each in zip(items, used, strict=True) if item.prepares)
    before_texts: dict[Subject, float] = defaultdict(float)
    starts: list[float | None] = []  # the calls of its document that come before an item
    changes: list[tuple[float, float]] = []  # a turn, and by how much more a turn takes from then
    for item, number, unit in zip(items, calls, units, strict=True):
        if item.prepares or not unit:
            starts.append(None)
            continue
        size, start = sizes[item.document.id], before_texts[item.subject] + item.done
        before_texts[item.subject] = start + number
        starts.append(start)
        changes += [(start / size, unit * size), ((start + number) / size, -unit * size)]
    turns = _turns_within(left - before, sorted(changes))
    share = min(1.0, left / before) if before else 1.0  # the preparing steps alone may take more
    return [
        (number * share if item.prepares and unit else number)
        if start is None
        else min(number, max(0.0, turns * sizes[item.document.id] - start))
        for item, number, unit, start in zip(items, calls, units, starts, strict=True)
    ]


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
    view: PlanView, items: Sequence[_Item], amounts: Sequence[Amounts]
) -> Iterator[DocumentForecast]:
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
            tuple(item.forecast(each.ordered()) for item, each in own),
            Amounts.total([each for _, each in own]),
        )


def _by_step(
    view: PlanView, items: Sequence[_Item], amounts: Sequence[Amounts]
) -> Iterator[StepForecast]:
    by_step: dict[tuple[str, str], list[Amounts]] = {}
    done: Counter[tuple[str, str]] = Counter()
    for item, each in zip(items, amounts, strict=True):
        key = item.recipe.name, item.step.name
        by_step.setdefault(key, []).append(each)
        done[key] += item.done
    for recipe in view.recipes:
        for step in recipe.steps:
            key = recipe.name, step.name
            yield StepForecast(*key, done[key], Amounts.total(by_step.get(key, ())))


def _least_usd(items: Sequence[_Item]) -> float | None:
    """Return what must be left for any call: the worst case of the smallest one to send now."""
    waiting = {item.subject for item in items if item.prepares and item.calls.high}
    costs = [
        item.most_usd
        for item in items
        if item.calls.high and (item.prepares or item.subject not in waiting)
    ]
    return min((cost for cost in costs if cost is not None), default=None)
