"""When a recipe ends: at the target in tokens of text, or when its answers bring nothing new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from steep.core.calls import Call, Completion
from steep.generation.plan import PlanView
from steep.ledger.budget import USUAL_SHARE
from steep.recipes.recipe import Recipe

EXPECTED = 1  # place in `USUAL_SHARE`


class Target:
    """Counts the text of each recipe towards `target_tokens` of a plan, and what is new in it.

    Calls in flight count at the mean length of the answers so far, so that no call is sent beyond
    the target. Without a target and `generate.stop_when`, it is never met.
    """

    def __init__(self, view: PlanView) -> None:
        self._tokens = view.target_tokens
        self._view = view
        self._counting = {
            (recipe.name, step.name)
            for recipe in view.recipes
            for step in recipe.steps
            if step.counts
        }
        self._written: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        counted = [
            texts
            for recipe in view.recipes
            for texts in view.all_texts(recipe)
            if texts.step.counts and texts.number
        ]
        if view.information is not None:
            keys = ((texts.key, texts.number) for texts in counted)
            view.information.start(keys, self._counting)
        if self._tokens is not None:
            for texts in counted:
                finished = view.ledger.slot_totals(texts.key, texts.number)
                self._written[texts.recipe.name] += finished.usage.completion_tokens
                self._answers[texts.recipe.name] += sum(finished.counts.values())
        if self._tokens is not None or self._stops:
            query = (
                "SELECT recipe, stage, count(*) FROM calls WHERE status = 'submitted' GROUP BY 1, 2"
            )
            for name, step, calls in view.ledger.select(query):
                self._in_flight[name] += calls * ((name, step) in self._counting)

    @property
    def is_met(self) -> bool:
        """True if every recipe has ended."""
        may_end = self._tokens is not None or self._stops
        return may_end and not any(map(self.is_wanted, self._view.recipes))

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether a recipe has written less than the target, and still brings news."""
        wanted = self._tokens is None or self._written[recipe.name] < self._tokens
        return wanted and recipe.name not in self._view.exhausted

    def needs(self, call: Call) -> bool:
        """Return whether a call is needed even if all calls in flight give text."""
        if not self._counts(call):
            return True
        information = self._view.information
        if information and not information.allows(call.recipe, self._in_flight[call.recipe]):
            return False
        if self._tokens is None:
            return True
        answers = self._answers[call.recipe]
        mean = self._written[call.recipe] / answers if answers else 0.0
        mean = mean or USUAL_SHARE[EXPECTED] * call.answer_bound
        expected = self._written[call.recipe] + self._in_flight[call.recipe] * mean
        return expected < self._tokens

    def is_over(self, call: Call) -> bool:
        """Return whether the recipe of a call has written enough."""
        if not self._counts(call):
            return False
        is_reached = self._tokens is not None and self._written[call.recipe] >= self._tokens
        return is_reached or call.recipe in self._view.exhausted

    def sent(self, calls: Iterable[Call]) -> None:
        """Note that calls are on their way."""
        self._in_flight.update(call.recipe for call in calls if self._counts(call))

    def ended(self, calls: Sequence[Call], completions: Sequence[Completion] | None) -> None:
        """Note what calls gave; None if they did not end."""
        self._in_flight.subtract(call.recipe for call in calls if self._counts(call))
        for call, each in zip(calls, completions or (), strict=completions is not None):
            if self._counts(call) and each.error is None:
                self._written[call.recipe] += each.usage.completion_tokens
                self._answers[call.recipe] += 1

    def recorded(self, call_ids: Iterable[str]) -> None:
        """Note that the ledger holds what calls gave, of one transaction."""
        if self._view.information is not None:
            self._view.information.recorded(sorted(call_ids))  # as when it is read again

    @property
    def new_information(self) -> Mapping[str, float]:
        """Return the new 4-grams per word of each recipe's last window, relative to its first."""
        return self._view.information.latest if self._view.information else {}

    @property
    def _stops(self) -> bool:
        return self._view.information is not None and self._view.information.threshold is not None

    def _counts(self, call: Call) -> bool:
        return (call.recipe, call.stage) in self._counting
