"""The plan of an evaluation as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from steep.core.formatting import dollars, span

if TYPE_CHECKING:
    from steep.evaluation.plan import EvaluationCalls, EvaluationPlan


def of_evaluation(plan: EvaluationPlan) -> Iterator[str]:
    """Yield the requests, tokens and costs of each endpoint, then the warnings."""
    if plan.calls:
        yield ""
        yield "evaluation by servers"
    for each in plan.calls:
        to_do = each.requests - each.completed
        yield f"  {each.section}: {each.model} at {each.base_url}"
        yield f"    {each.requests:,} requests = {each.completed:,} completed + {to_do:,} to do"
        if to_do:
            yield f"    tokens in  {span(each.tokens_in)}"
            yield f"    tokens out {span(each.tokens_out)}"
            yield f"    cost       {_cost(each)}"
    known = [each.cost_usd.expected for each in plan.calls if each.cost_usd is not None]
    if len(known) > 1 and any(known):
        which = "all endpoints" if len(known) == len(plan.calls) else "those with a known price"
        yield f"  cost of {which}: about {dollars(sum(known))}"
    for warning in plan.warnings:
        yield f"warning: {warning}"


def _cost(calls: EvaluationCalls) -> str:
    if calls.cost_usd is None:
        return f"unknown: set {calls.section}.usd_per_million_input_tokens, ..._output_tokens"
    return span(calls.cost_usd, dollars)
