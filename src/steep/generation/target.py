"""The target in tokens of text per recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from steep.core.calls import Call, Completion
from steep.generation.plan import PlanView
from steep.ledger.budget import USUAL_SHARE
from steep.recipes.recipe import Recipe

EXPECTED = 1  # place in `USUAL_SHARE`


class Target:
    """Counts the text of each recipe towards `target_tokens` of a plan; without one, never met.

    Calls in flight count at the mean length of the answers so far, so that no call is sent beyond
    the target.
    """

    def __init__(self, view: PlanView) -> None:
        self._tokens = view.target_tokens
        self._counting = {
            (recipe.name, step.name)
            for recipe in view.recipes
            for step in recipe.steps
            if step.counts
        }
        self._recipes = view.recipes
        self._written: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        if self._tokens is not None:
            for recipe in view.recipes:
                for texts in view.all_texts(recipe):
                    if texts.step.counts:
                        finished = view.ledger.slot_totals(texts.key, texts.number)
                        self._written[recipe.name] += finished.usage.text_tokens
                        self._answers[recipe.name] += sum(finished.counts.values())
            query = (
                "SELECT recipe, stage, count(*) FROM calls WHERE status = 'submitted' GROUP BY 1, 2"
            )
            for name, step, calls in view.ledger.select(query):
                self._in_flight[name] += calls * ((name, step) in self._counting)

    @property
    def is_met(self) -> bool:
        """True if every recipe has written the target."""
        return self._tokens is not None and not any(map(self.is_wanted, self._recipes))

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether a recipe has written less than the target."""
        return self._tokens is None or self._written[recipe.name] < self._tokens

    def needs(self, call: Call) -> bool:
        """Return whether a call is needed even if all calls in flight give text."""
        if self._tokens is None or not self._counts(call):
            return True
        answers = self._answers[call.recipe]
        mean = self._written[call.recipe] / answers if answers else 0.0
        mean = mean or USUAL_SHARE[EXPECTED] * call.answer_bound
        expected = self._written[call.recipe] + self._in_flight[call.recipe] * mean
        return expected < self._tokens

    def is_over(self, call: Call) -> bool:
        """Return whether the recipe of a call has written enough."""
        written = self._written[call.recipe]
        return self._tokens is not None and self._counts(call) and written >= self._tokens

    def sent(self, calls: Iterable[Call]) -> None:
        """Note that calls are on their way."""
        self._in_flight.update(call.recipe for call in calls if self._counts(call))

    def ended(self, calls: Sequence[Call], completions: Sequence[Completion] | None) -> None:
        """Note what calls gave; None if they did not end."""
        self._in_flight.subtract(call.recipe for call in calls if self._counts(call))
        for call, each in zip(calls, completions or (), strict=completions is not None):
            if self._counts(call) and each.error is None:
                self._written[call.recipe] += each.usage.text_tokens
                self._answers[call.recipe] += 1

    def _counts(self, call: Call) -> bool:
        return (call.recipe, call.stage) in self._counting
