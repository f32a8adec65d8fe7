"""Totals of a plan: how many of its calls ended in which way, what they took, what is to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

from steep.core.calls import STATUSES, Usage
from steep.ledger.records import CallRecord, SlotTotals

MOST_REASONS = 20
NO_USAGE = Usage()


class Failure(NamedTuple):
    """A reason for which calls failed, and how many."""

    reason: str
    calls: int


class Subject(NamedTuple):
    """A document, for one recipe."""

    recipe: str
    document_id: str


@dataclass(frozen=True, slots=True)
class StepTotals:
    """The outcomes of one step of a recipe.

    Attributes:
        counts: Planned calls, and how many of them ended in which way or are to do.
        usage: Tokens of all that was answered.
        known_usd: Cost of all that was answered, as far as it is known.
        unpriced: Answers whose cost is not known.
    """

    recipe: str
    step: str
    counts: Mapping[str, int]
    usage: Usage
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The outcomes of a plan. `planned` is the sum of all that follow it, up to `to_do`.

    Attributes:
        beyond_target: Calls that are not planned any more, since the target in tokens is reached.
        submitted: Of those to do, how many wait in a provider's batch.
        usage: Tokens of all that was answered.
        reasoning_tokens: Of these, those of the answers that were nothing but reasoning.
        known_usd: Cost of all that was answered, as far as it is known.
        unpriced: Answers whose cost is not known.
        failures: Why calls failed, the commonest reasons first.
        written: Tokens of text of each recipe that count towards its target.
        ended: Calls that ended for good, by document and step.
        unprepared: Where a preparing step failed or is to do, so that more calls may follow.
        without_calls: Where the preparing steps gave the recipe nothing to write about.
        steps: The same by recipe and step.
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
    ended: Mapping[tuple[Subject, str], int] = field(default_factory=dict)
    unprepared: tuple[Subject, ...] = ()
    without_calls: tuple[Subject, ...] = ()
    steps: tuple[StepTotals, ...] = ()

    def __post_init__(self) -> None:
        ended = sum(getattr(self, status) for status in STATUSES)
        by_step = sum(step.counts["planned"] for step in self.steps)
        if self.planned != ended + self.to_do or (self.steps and by_step != self.planned):
            raise RuntimeError(f"totals do not add up: {self}")

    @property
    def cost_usd(self) -> float | None:
        """Cost of all that was answered; None when that of any answer is unknown."""
        return None if self.unpriced else self.known_usd

    @property
    def counts(self) -> dict[str, int]:
        """The numbers alone, as a manifest shows them."""
        return {name: getattr(self, name) for name in ("planned", *STATUSES, "to_do")}


class _StepTally:
    """The totals of a step while its calls are counted."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.submitted = 0
        self._tokens = [0, 0, 0, 0]
        self._cost_usd = 0.0
        self._unpriced = 0

    def add(self, calls: SlotTotals) -> None:
        self.statuses.update(calls.counts)
        pairs = zip(self._tokens, astuple(calls.usage), strict=True)
        self._tokens = [before + new for before, new in pairs]
        self._cost_usd += calls.cost_usd
        self._unpriced += calls.unpriced

    def totals(self, recipe: str, step: str) -> StepTotals:
        named = {name: self.statuses[name] for name in (*STATUSES, "to_do")}
        counts = {"planned": sum(named.values()), **named}
        return StepTotals(
            recipe, step, counts, Usage(*self._tokens), self._cost_usd, self._unpriced
        )


class Tally:
    """Totals while calls are counted."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.beyond_target = 0
        self.unprepared: list[Subject] = []
        self.without_calls: list[Subject] = []
        self._failures: Counter[str] = Counter()
        self._ended: Counter[tuple[Subject, str]] = Counter()
        self._tokens = [0, 0, 0, 0]
        self._reasoning_tokens = 0
        self._cost_usd = 0.0
        self._unpriced = 0
        self._steps: defaultdict[tuple[str, str], _StepTally] = defaultdict(_StepTally)

    def add(
        self, subject: Subject, step: str, record: CallRecord | None, *, counts: bool = False
    ) -> None:
        """Add a call; if it `counts`, its text counts towards the target of the recipe."""
        if record is None or record.status == "submitted":
            self.add_to_do(subject, step, 1, submitted=record is not None)
            return
        status, completion = record.status, record.completion
        usage, is_lost = completion.usage, status in ("failed", "skipped")
        if is_lost:
            self._failures[completion.error or "unknown"] += 1
        reasoning = usage.completion_tokens if status == "reasoning" else 0
        unpriced = completion.cost_usd is None and not is_lost
        one = SlotTotals({status: 1}, usage, completion.cost_usd or 0.0, unpriced, reasoning)
        self.add_slots(subject, step, one, counts=counts and status != "failed")

    def add_to_do(
        self, subject: Subject, step: str, calls: int, *, submitted: bool = False
    ) -> None:
        """Add calls that have not ended, `submitted` ones of which wait in a batch."""
        self.statuses["to_do"] += calls
        self.statuses["submitted"] += calls * submitted
        own = self._steps[subject.recipe, step]
        own.statuses["to_do"] += calls
        own.submitted += calls * submitted

    def drop_to_do(self, recipe: str, steps: Iterable[str], calls: int) -> None:
        """Count calls of these steps that are to do, and not submitted, as beyond the target."""
        self.statuses["to_do"] -= calls
        self.beyond_target += calls
        for step in steps:
            own = self._steps[recipe, step]
            dropped = min(calls, own.statuses["to_do"] - own.submitted)
            own.statuses["to_do"] -= dropped
            calls -= dropped

    def add_slots(self, subject: Subject, step: str, calls: SlotTotals, *, counts: bool) -> None:
        """Add calls that have ended."""
        self._steps[subject.recipe, step].add(calls)
        self.statuses.update(calls.counts)
        usage = calls.usage
        tokens = astuple(usage)
        self._tokens = [before + new for before, new in zip(self._tokens, tokens, strict=True)]
        self._reasoning_tokens += calls.reasoning_tokens
        self._cost_usd += calls.cost_usd
        self._unpriced += calls.unpriced
        failed = calls.counts.get("failed", 0)
        self._ended[subject, step] += sum(calls.counts.values()) - failed
        self.written[subject.recipe] += usage.text_tokens * counts

    def totals(self) -> Totals:
        """Return the totals of all calls that were added."""
        submitted = self.statuses.pop("submitted", 0)
        numbers: dict[str, Any] = {"planned": self.statuses.total(), **self.statuses}
        return Totals(
            **numbers,
            beyond_target=self.beyond_target,
            submitted=submitted,
            usage=Usage(*self._tokens),
            reasoning_tokens=self._reasoning_tokens,
            known_usd=self._cost_usd,
            unpriced=self._unpriced,
            failures=_most_common(self._failures),
            written=dict(self.written),
            ended={step: calls for step, calls in self._ended.items() if calls},
            unprepared=tuple(self.unprepared),
            without_calls=tuple(self.without_calls),
            steps=tuple(own.totals(*names) for names, own in self._steps.items()),
        )


def _most_common(reasons: Counter[str]) -> tuple[Failure, ...]:
    common = [Failure(reason, calls) for reason, calls in reasons.most_common(MOST_REASONS)]
    others = reasons.total() - sum(calls for _, calls in common)
    return (*common, Failure("other reasons", others)) if others else tuple(common)
