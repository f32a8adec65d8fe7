"""The status of a plan and the spending of its project; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from steep.documents.document import Document
from steep.generation.config import GenerateConfig
from steep.generation.plan import PlanView, preparing_steps
from steep.generation.setup import base_urls, plan_view, prices_of, project_budget
from steep.generation.totals import Totals
from steep.ledger import queries, requests
from steep.ledger.ledger import Ledger


def plan_status(
    settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger
) -> dict[str, Any]:
    """Return the totals of the plan and the spending of the ledger, as plain data for JSON."""
    sums, imported = queries.paid(ledger)  # before the plan: a running generation adds to both
    view = plan_view(settings, documents, ledger)
    totals = view.totals()
    failed = sums.counts.get("failed", 0)
    in_plan = totals.planned - totals.to_do + totals.submitted
    return {
        "plan": totals.counts if view.recipes else None,
        "reasoning_tokens": totals.reasoning_tokens or None,
        "submitted": totals.submitted,
        "beyond_target": totals.beyond_target,
        "exhausted": sorted(view.exhausted),
        "new_information": view.information.windows if view.information else {},
        "unprepared": len(totals.unprepared),
        "rest": _rest(view, totals),
        "asked_again": len(view.textless_calls(settings.max_attempts)),
        "failures": [failure._asdict() for failure in totals.failures],
        "documents": len(documents),
        "without_texts": [each._asdict() for each in totals.without_calls],
        "ledger": {
            "calls": sums.calls - failed,
            "failed": failed,
            "not_in_plan": max(0, sums.calls - in_plan),
            "imported": imported,
            "lost": ledger.lost()._asdict(),
            **sums.as_json(),
        },
        "requests": [asdict(each) for each in requests.costs(ledger)],
        "limits": _limits(settings, ledger),
        "batches": queries.batches(ledger),
    }


def _rest(view: PlanView, totals: Totals) -> dict[str, Any] | None:
    """Return the numbers of calls of prepared documents, which unprepared ones will have, too."""
    if not totals.unprepared:
        return None
    calls = [
        sum(each.number for each in texts)
        for recipe in view.recipes
        for document in view.documents
        if preparing_steps(recipe) and (texts := view.texts(recipe, document)) is not None
    ]
    return {
        "documents": len({each.document_id for each in totals.unprepared}),
        "prepared": len(calls),
        "fewest_calls": min(calls, default=None),
        "mean_calls": round(sum(calls) / len(calls), 1) if calls else None,
        "most_calls": max(calls, default=None),
    }


def _limits(settings: GenerateConfig, ledger: Ledger) -> dict[str, Any]:
    """Return what counts against the limits of the project; no dollars if a price is unknown."""
    budget = project_budget(settings, ledger)
    prices = [prices_of(settings, url) for url in base_urls(settings) or [None]]
    known = all(each.known for each in prices)
    return {
        "max_cost_usd": settings.max_cost_usd,
        "max_total_tokens": settings.max_total_tokens,
        "spent_tokens": budget.spent_tokens,
        "spent_usd": budget.spent_usd if known else None,
    }
