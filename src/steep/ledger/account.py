"""What is reserved for calls and what they took: the budget of a run, kept with its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from steep.core.calls import Payable
from steep.ledger.bounds import is_counted, most_of
from steep.ledger.budget import Budget, Reservation
from steep.ledger.endpoint_worker import EndpointWorker, Outcome
from steep.ledger.ledger import Ledger
from steep.ledger.records import Lost
from steep.llm.client import TransientError

Sent = TypeVar("Sent", bound=Payable)


class Account:
    """Settles what a run sends.

    Attributes:
        budget: What may be spent.
        lost: Attempts that may be billed, and gave nothing.
    """

    def __init__(self, budget: Budget, ledger: Ledger) -> None:
        self.budget = budget
        self.lost = Lost()
        self._ledger = ledger

    def attach(self, worker: EndpointWorker[Sent]) -> None:
        """Let an endpoint report its lost attempts here."""
        worker.on_lost = partial(self._on_lost, worker)

    def settle(
        self,
        worker: EndpointWorker[Sent],
        calls: Sequence[Sent],
        most: Reservation,
        outcome: Outcome,
    ) -> list[Reservation]:
        """Release what was reserved for calls; count what each took, and return that."""
        if not outcome.unaffordable:
            self.budget.release(most)
        if outcome.completions is None:
            return []
        took: list[Reservation] = []
        for call, each in zip(calls, outcome.completions, strict=True):
            usage = each.usage
            tokens = usage.prompt_tokens + usage.completion_tokens
            own = Reservation(tokens, each.cost_usd)
            took.append(own if is_counted(each) else most_of(call, each, worker.prices))
            self.budget.spend_most(took[-1])
        return took

    def _on_lost(
        self, worker: EndpointWorker[Sent], calls: Sequence[Sent], error: TransientError
    ) -> bool:
        """Count an attempt that gave nothing; return whether another one could be reserved."""
        most = took = worker.most(calls)
        if error.usage is not None:
            tokens = error.usage.prompt_tokens + error.usage.completion_tokens
            took = Reservation(tokens, error.cost_usd)
        self.budget.release(most)
        self.budget.spend_most(took)
        self.lost = self.lost.and_(took)
        self._ledger.record_lost(Lost().and_(took))
        return self.budget.reserve(most)
