"""Charge the budget of a run for its calls, and record lost attempts in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from steep.ledger.budget import Budget, Reservation, charge_of, used
from steep.ledger.endpoint_worker import EndpointWorker, Outcome, Sent
from steep.ledger.ledger import Ledger
from steep.ledger.records import Lost
from steep.llm.client import TransientError

log = logging.getLogger("steep")


class Account:
    """Charges the budget of a run for its calls, and records lost attempts in the ledger."""

    def __init__(self, budget: Budget, ledger: Ledger) -> None:
        self.budget = budget
        self.lost = Lost()  # attempts that may be billed, but returned nothing
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
        pairs = zip(calls, outcome.completions, strict=True)
        took = [charge_of(call, each, worker.prices) for call, each in pairs]
        for each in took:
            self.budget.spend(each)
        return took

    def _on_lost(
        self, worker: EndpointWorker[Sent], calls: Sequence[Sent], error: TransientError
    ) -> bool:
        """Charge a lost attempt; return whether another one could be reserved."""
        most = took = worker.most(calls)
        if error.usage is not None:
            took = used(error.usage, error.cost_usd)
        self.budget.release(most)
        self.budget.spend(took)
        self.lost = self.lost.and_(took)
        self._ledger.record_lost(Lost().and_(took))
        return self.budget.reserve(most)


def log_dropped(stage: str, calls: str, most_usd: float | None) -> None:
    """Warn that calls were sent and not waited for."""
    cost = "at an unknown price" if most_usd is None else f"${most_usd:,.4f} at most"
    log.warning(
        "%s: %s sent and not waited for; the provider may bill this, %s", stage, calls, cost
    )
