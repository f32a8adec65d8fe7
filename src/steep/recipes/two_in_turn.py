"""A step whose calls are those of two others in turn."""

from __future__ import annotations

from dataclasses import dataclass

from steep.core.calls import Call
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.recipe import Answers, CallSequence, Repeated, Step


@dataclass(frozen=True)
class TwoInTurn(Step):
    """The calls of two steps, which take turns until one of them has no more.

    The calls of both must bear the name of this step, and `needs` are those of the first. More
    calls of the more numerous step add at the end.
    """

    name: str
    one: Step
    other: Step

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The needs of the first step."""
        return self.one.needs

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return the first call of each step, the second of each, and so on."""
        one, other = (each.calls(document, answers) for each in (self.one, self.other))
        in_turn = min(len(one), len(other))
        longer = one if len(one) > len(other) else other

        def make(rank: int) -> Call:
            if rank < 2 * in_turn:
                return (one, other)[rank % 2][rank // 2]
            return longer[rank - in_turn]

        basis = [one.key, other.key, in_turn, longer is one]
        return Repeated(make, len(one) + len(other), basis)

    def expected_calls(self, document: Document) -> Range:
        """Expect the calls of both steps."""
        return self.one.expected_calls(document) + self.other.expected_calls(document)

    def specimen(self, document: Document) -> Call:
        """Return a call of the first step, unless it has none."""
        first = self.one if self.one.expected_calls(document).high else self.other
        return first.specimen(document)
