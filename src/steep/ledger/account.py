"""Charge the budget of a run for its calls, and record lost attempts in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from steep.core.calls import Payable
from steep.ledger.budget import Budget, Reservation, is_counted, most_of
from steep.ledger.endpoint_worker import EndpointWorker, Outcome
from steep.ledger.ledger import Ledger
from steep.ledger.records import Lost
from steep.llm.client import TransientError

Sent = TypeVar("Sent", bound=Payable)


class Account:
    """The budget of a run, and what was lost.

    Attributes:
        budget: The limits of the run.
        lost: Attempts that may be billed, but returned nothing.
    """

    def __init__(self, budget: Budget, ledger: Ledger) -> None:
        self.budget = budget
        self.lost = Lost()
        self._ledger = ledger

    def attach(self, worker: EndpointWorker[Sent]) -> None:
        """Charge this account for the lost attempts of an endpoint."""
        worker.on_lost = partial(self._on_lost, worker)

    def settle(
        self,
        worker: EndpointWorker[Sent],
        calls: Sequence[Sent],
        most: Reservation,
        outcome: Outcome,
    ) -> list[Reservation]:
        """Release what was reserved for calls; charge and return what each used."""
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
        """Charge a lost attempt; return whether another one could be reserved."""
        most = took = worker.most(calls)
        if error.usage is not None:
            tokens = error.usage.prompt_tokens + error.usage.completion_tokens
            took = Reservation(tokens, error.cost_usd)
        self.budget.release(most)
        self.budget.spend_most(took)
        self.lost = self.lost.and_(took)
        self._ledger.record_lost(Lost().and_(took))
        return self.budget.reserve(most)
