"""Totals of a plan: how many of its calls ended in which way, what they took, what is to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
        ended: Calls that ended for good, by document and step.
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
    ended: Mapping[tuple[Subject, str], int] = field(default_factory=dict)
    unprepared: tuple[Subject, ...] = ()
    without_calls: tuple[Subject, ...] = ()

    def __post_init__(self) -> None:
        ended = sum(getattr(self, status) for status in STATUSES)
        if self.planned != ended + self.to_do:
            raise RuntimeError(f"totals do not add up: {self}")

    @property
    def cost_usd(self) -> float | None:
        """Cost of all that was answered; None when that of any answer is unknown."""
        return None if self.unpriced else self.known_usd

    @property
    def counts(self) -> dict[str, int]:
        """The numbers alone, as a manifest shows them."""
        return {name: getattr(self, name) for name in ("planned", *STATUSES, "to_do")}


class Tally:
    """Totals while calls are counted."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.ended: Counter[tuple[Subject, str]] = Counter()
        self.tokens = [0, 0, 0]
        self.reasoning_tokens = 0
        self.cost_usd = 0.0
        self.unpriced = 0
        self.beyond_target = 0
        self.unprepared: list[Subject] = []
        self.without_calls: list[Subject] = []

    def add(
        self, subject: Subject, step: str, record: CallRecord | None, *, counts: bool = False
    ) -> None:
        """Add a call; if it `counts`, its text counts towards the target of the recipe."""
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
        if record.status != "failed":
            self.ended[subject, step] += 1
            self.written[subject.recipe] += completion.usage.completion_tokens * counts

    def add_slots(self, subject: Subject, step: str, finished: SlotTotals, *, counts: bool) -> None:
        """Add the calls of filled slots."""
        self.statuses.update(finished.counts)
        self._add_usage(finished.usage)
        self.reasoning_tokens += finished.reasoning_tokens
        self.cost_usd += finished.cost_usd
        self.unpriced += finished.unpriced
        self.ended[subject, step] += sum(finished.counts.values())
        self.written[subject.recipe] += finished.usage.completion_tokens * counts

    def _add_usage(self, usage: Usage) -> None:
        for place, tokens in enumerate(astuple(usage)):
            self.tokens[place] += tokens

    def totals(self) -> Totals:
        """Return what was counted."""
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
            ended=dict(self.ended),
            unprepared=tuple(self.unprepared),
            without_calls=tuple(self.without_calls),
        )


def _most_common(reasons: Counter[str]) -> tuple[Failure, ...]:
    common = [Failure(reason, calls) for reason, calls in reasons.most_common(MOST_REASONS)]
    others = reasons.total() - sum(calls for _, calls in common)
    return (*common, Failure("other reasons", others)) if others else tuple(common)
