"""The arithmetic of a plan: three courses of things, followed through all documents.

A cheap, the expected and a dear one. Without a goal, cheap means few calls, short prompts, short
answers. With a goal in tokens, what is written is given, and short answers are dear: more of them
are needed, each with its prompt. With a goal in dollars, what is spent is given, and dear calls are
few.

A hard limit in dollars cuts every course where the money ends: what lies behind is not to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from steep.core.calls import Usage
from steep.generation.allot import whole_calls
from steep.generation.estimate import Case, Range, hosted_cache
from steep.generation.goals import Goal
from steep.generation.prospects import Counts, Prospect, Spent
from steep.llm.prices import Prices

ROUNDS = 12  # of finding how many calls meet a goal; each comes some ten times nearer
NEAR = 0.001

# Which prefixes are cached: none, those that hosted providers cache, or all that calls share.
Caching = Literal["none", "long", "all"]


class Course(NamedTuple):
    """A course of things: which end of each range comes true, and which prefixes are cached.

    `cached` None leaves that to what is expected of the endpoint.
    """

    calls: Case
    prompts: Case
    answers: Case
    cached: Caching | None


CASES: tuple[Case, Case, Case] = ("low", "expected", "high")
# How many tokens of a shared prefix are cached.
KEPT: dict[Caching, Callable[[float], float]] = {
    "none": lambda prefix_tokens: 0.0,
    "long": hosted_cache,
    "all": lambda prefix_tokens: prefix_tokens,
}
EXPECTED = Course("expected", "expected", "expected", None)
WHOLE_PLAN = (Course("low", "low", "low", "all"), EXPECTED, Course("high", "high", "high", "none"))
# So many tokens: the longer the answers, the fewer calls are made, and prompts paid for.
TOKEN_GOAL = (Course("low", "low", "high", "all"), EXPECTED, Course("high", "high", "low", "none"))
# So many dollars: the dearer a call, the fewer are made.
DOLLAR_GOAL = (
    Course("low", "high", "high", "none"),
    EXPECTED,
    Course("high", "low", "low", "all"),
)


class Amounts(NamedTuple):
    """What is to do, in one course of things."""

    openings: float
    pairs: float
    triplets: float
    prompt_tokens: float
    cached_tokens: float
    completion_tokens: float

    @property
    def usage(self) -> Usage:
        """The tokens, to be priced."""
        return Usage(
            round(self.prompt_tokens), round(self.cached_tokens), round(self.completion_tokens)
        )

    def part(self, share: float) -> Amounts:
        """A share of it."""
        return self if share == 1 else Amounts(*(share * each for each in self))


NO_AMOUNTS = Amounts(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A document, or all of them. Ranges are of what is to do; `cost_usd` None is unknown.

    Attributes:
        exact: Whether the number of calls is known.
        bought: Calls of the plan that have ended.
    """

    document_id: str
    title: str
    exact: bool
    entities: Range
    bought: Counts
    openings: Range
    pairs: Range
    triplets: Range
    prompt_tokens: Range
    cached_tokens: Range
    completion_tokens: Range
    cost_usd: Range | None

    @property
    def calls(self) -> Range:
        """Of all stages."""
        return self.openings + self.pairs + self.triplets


class Rows(NamedTuple):
    """What is to do, as far as the money goes; `uncut_usd` is what it takes without a limit."""

    documents: tuple[Row, ...]
    total: Row
    uncut_usd: Range | None


@dataclass(frozen=True, slots=True)
class Planner:
    """Follows the three courses of things through all documents.

    Attributes:
        prospects: What is known of the documents.
        prices: Of each endpoint.
        caches: Which prefixes the endpoint is expected to cache; `none` means it never does.
        goal: What is to be reached, if not the whole plan is made.
        counts: How many calls of each document were decided upon already, for this goal.
        spent_usd: What the project has spent in all.
        left_usd: What it may spend from now on; None is no limit.
    """

    prospects: Sequence[Prospect]
    prices: Sequence[Prices]
    caches: Caching
    goal: Goal | None
    counts: Mapping[str, int]
    spent_usd: float
    left_usd: float | None = None

    def rows(self) -> Rows:
        """A row a document, and their sum."""
        uncut = [
            self._follow(course, case) for course, case in zip(self._courses, CASES, strict=True)
        ]
        by_case = [self._cut(amounts, case) for amounts, case in zip(uncut, CASES, strict=True)]
        rows = tuple(
            self._row(prospect, amounts)
            for prospect, *amounts in zip(self.prospects, *by_case, strict=True)
        )
        total = self._widened(self._total(rows, [_sum(amounts) for amounts in by_case]))
        return Rows(rows, total, self._cost_range([_sum(amounts) for amounts in uncut]))

    @property
    def _courses(self) -> tuple[Course, Course, Course]:
        if self.goal is None:
            return WHOLE_PLAN
        return TOKEN_GOAL if self.goal.unit == "tokens" else DOLLAR_GOAL

    def _follow(self, course: Course, case: Case) -> list[Amounts]:
        """What each document takes."""
        shares = self._shares(course, case) if self.goal else {}
        return [
            self._amounts(each, course, shares.get(each.document_id)) for each in self.prospects
        ]

    def _widened(self, total: Row) -> Row:
        """A goal in dollars may be missed by a cheap plan, and spent by a dear one.

        So every range also spans the whole plan, as far as the money goes: the ends of the cost
        belong to numbers of tokens and calls that are within theirs.
        """
        if self.goal is None or self.goal.unit == "tokens" or self.left_usd is None:
            return total
        whole = [
            _sum(self._cut([self._amounts(each, course, None) for each in self.prospects], case))
            for course, case in zip(WHOLE_PLAN, CASES, strict=True)
        ]
        spans = {
            name: getattr(total, name).spanning(getattr(amounts, name) for amounts in whole)
            for name in Amounts._fields
        }
        cost_usd, of_whole = total.cost_usd, self._cost_range(whole)
        if cost_usd is not None and of_whole is not None:
            cost_usd = cost_usd.spanning((of_whole.low, of_whole.high))
        return replace(total, cost_usd=cost_usd, **spans)

    def _cut(self, amounts: list[Amounts], case: Case) -> list[Amounts]:
        """The same share of everything, so that it costs no more than may be spent."""
        cost_usd = self._cost_usd(_sum(amounts), case)
        if self.left_usd is None or not cost_usd or cost_usd <= self.left_usd:
            return amounts
        return [each.part(self.left_usd / cost_usd) for each in amounts]

    def _caching(self, course: Course) -> Caching:
        return self.caches if self.caches == "none" or course.cached is None else course.cached

    def _amounts(self, prospect: Prospect, course: Course, share: int | None) -> Amounts:
        openings = prospect.openings[course.calls]
        pairs, triplets = prospect.pairs[course.calls], prospect.triplets[course.calls]
        if share is not None:
            pairs = min(pairs, share)
            triplets = min(triplets, share - pairs)
        left = {
            "entities": openings,
            "pair": max(0.0, pairs - prospect.bought.pairs),
            "triplet": max(0.0, triplets - prospect.bought.triplets),
        }
        kept = KEPT[self._caching(course)]
        prompts = cached = answers = 0.0
        for stage, calls in left.items():
            if calls and (one := prospect.stages.get(stage)):
                prompts += calls * one.prompt[course.prompts]
                answers += calls * one.answer[course.answers]
                cached += max(0.0, calls - 1) * kept(one.prefix[course.prompts])
        if left["pair"] and left["triplet"]:  # the pairs have warmed the document for the others
            cached += kept(prospect.common[course.prompts])
        return Amounts(openings, left["pair"], left["triplet"], prompts, cached, answers)

    def _shares(self, course: Course, case: Case) -> dict[str, int]:
        """How many relation calls of each document meet the goal, in this course of things."""
        assert self.goal is not None
        capacities = {
            each.document_id: round(each.pairs[course.calls] + each.triplets[course.calls])
            for each in self.prospects
        }
        weights = {each.document_id: each.characters for each in self.prospects}
        bought = sum(each.reached for each in self.prospects)
        openings = self._units(course, case, {})
        # Dollars pay for the openings, too; their text does not count as text on the documents.
        left = self._left() - (openings if self.goal.unit == "usd" else 0.0)
        new = max(1.0, 0.01 * sum(capacities.values())) if left > 0 else 0.0
        counts = self._at_least({}, capacities)
        for _ in range(ROUNDS if left > 0 else 0):
            counts = self._at_least(whole_calls(bought + new, weights, capacities), capacities)
            units = self._units(course, case, counts) - openings
            all_made = bought + new >= sum(capacities.values())
            if units <= 0 or abs(units - left) <= NEAR * left or (all_made and units < left):
                break
            new *= left / units
        return counts

    def _at_least(self, counts: Mapping[str, int], capacities: Mapping[str, int]) -> dict[str, int]:
        """Nothing is taken from a document that it was given, or has got."""
        return {
            each.document_id: max(
                counts.get(each.document_id, 0),
                min(self.counts.get(each.document_id, 0), capacities[each.document_id]),
                each.reached,
            )
            for each in self.prospects
        }

    def _left(self) -> float:
        """What the goal lacks."""
        assert self.goal is not None
        if self.goal.unit == "tokens":
            spent = sum_spent(each.spent_on_relations for each in self.prospects)
            return self.goal.amount - spent.usage.completion_tokens
        return self.goal.amount - self.spent_usd

    def _units(self, course: Course, case: Case, counts: Mapping[str, int]) -> float:
        """Tokens of texts, or dollars, that so many calls and the openings take."""
        assert self.goal is not None
        total = _sum(
            self._amounts(each, course, counts.get(each.document_id, 0)) for each in self.prospects
        )
        if self.goal.unit == "usd":
            return self._cost_usd(total, case) or 0.0
        return total.completion_tokens

    def _cost_usd(self, amounts: Amounts, case: Case) -> float | None:
        """By the cheapest, the mean or the most expensive endpoint."""
        costs = [prices.cost_usd(amounts.usage) for prices in self.prices]
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs):
            return None
        return {"low": min(known), "expected": sum(known) / len(known), "high": max(known)}[case]

    def _row(self, prospect: Prospect, amounts: Sequence[Amounts]) -> Row:
        return Row(
            document_id=prospect.document_id,
            title=prospect.title,
            exact=prospect.complete,
            entities=prospect.entities,
            bought=prospect.bought,
            cost_usd=self._cost_range(amounts),
            **_ranges(amounts),
        )

    def _total(self, rows: Sequence[Row], amounts: Sequence[Amounts]) -> Row:
        entities = Range(0, 0, 0)
        for row in rows:
            entities += row.entities
        return Row(
            document_id="total",
            title="",
            exact=all(row.exact for row in rows),
            entities=entities,
            bought=Counts(*map(sum, zip(Counts(), *(row.bought for row in rows), strict=True))),
            cost_usd=self._cost_range(amounts),
            **_ranges(amounts),
        )

    def _cost_range(self, amounts: Sequence[Amounts]) -> Range | None:
        low, expected, high = (
            self._cost_usd(each, case) for each, case in zip(amounts, CASES, strict=True)
        )
        if low is None or expected is None or high is None:
            return None
        return Range.around(low, expected, high)


def _ranges(amounts: Sequence[Amounts]) -> dict[str, Any]:
    columns = zip(*amounts, strict=True)
    return {
        name: Range.around(*column) for name, column in zip(Amounts._fields, columns, strict=True)
    }


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    return Amounts(*map(sum, zip(NO_AMOUNTS, *amounts, strict=True)))


def sum_spent(spent: Iterable[Spent]) -> Spent:
    """What all took together."""
    total = Spent()
    for each in spent:
        total = total.and_(each)
    return total
