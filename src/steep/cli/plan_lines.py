"""A plan as lines for people: who, a table of documents, the sum with its ranges, what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steep.core.progress import duration

if TYPE_CHECKING:
    from steep.stages.plan import Host, Plan, Prices, Range, Row

SHOWN_DOCUMENTS = 20
LONGEST_ID = 32  # characters shown
HEADINGS = (
    "document", "entities", "openings", "pairs", "triplets", "tokens in", "cached", "out", "cost",
)  # fmt: skip


def of_plan(plan: Plan) -> list[str]:
    """All of it."""
    return [
        f"{plan.recipe}, written by {plan.model} ({plan.engine})",
        *_who(plan),
        *(["", *_goal(plan)] if plan.goal else []),
        "",
        *_table(plan),
        "",
        *_sum(plan),
        *(f"warning: {warning}" for warning in plan.warnings),
    ]


def _who(plan: Plan) -> list[str]:
    lines = [_host(host) for host in plan.hosts]
    number = len(plan.sent)
    which = "all" if number == len(plan.documents) else f"{number:,} of {len(plan.documents):,}"
    several = " (each document stays with one of these)" if len(plan.hosts) > 1 else ""
    if number:
        lines.append(f"  documents to be read there: {which}{several}")
    return lines


def _host(host: Host) -> str:
    if host.name == "nothing leaves this machine":
        return f"  {host.name}; a model in this process"
    where = "documents are sent to" if host.leaves else "nothing leaves this machine; read by"
    return f"  {where} {host.name}; {_prices(host.prices)}"


def _prices(prices: Prices) -> str:
    if not prices.known:
        return "its price is unknown"
    dollars = [f"${prices.usd_per_million_input_tokens:g} in"]
    if prices.usd_per_million_cached_tokens is not None:
        dollars.append(f"${prices.usd_per_million_cached_tokens:g} cached")
    dollars.append(f"${prices.usd_per_million_output_tokens:g} out")
    return f"{', '.join(dollars)} a million tokens ({prices.source})"


def _goal(plan: Plan) -> list[str]:
    assert plan.goal is not None
    total = plan.total
    amount = (
        f"{plan.goal.amount:,.0f} tokens of text"
        if plan.goal.unit == "tokens"
        else f"${plan.goal.amount:,.2f}"
    )
    return [
        f"goal: {amount}, shared by length; it buys some {_number(total.pairs.expected)} pairs and "
        f"{_number(total.triplets.expected)} triplets more"
    ]


def _table(plan: Plan) -> list[str]:
    shown = [*plan.documents[:SHOWN_DOCUMENTS], plan.total]
    cells = [HEADINGS, *(_cells(row) for row in shown)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines = ["  ".join(_padded(row, widths)).rstrip() for row in cells]
    more = len(plan.documents) - SHOWN_DOCUMENTS
    if more > 0:
        lines.insert(-1, f"... and {more:,} more (--json has them all)")
    return lines


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def _cells(row: Row) -> tuple[str, ...]:
    about = "" if row.exact else "~"
    calls = (row.openings, row.pairs, row.triplets)
    tokens = (row.prompt_tokens, row.cached_tokens, row.completion_tokens)
    return (
        _short(row.document_id),
        about + _number(row.entities.expected),
        _number(row.openings.expected),
        *(about + _number(each.expected) for each in calls[1:]),
        *(_number(each.expected) for each in tokens),
        "unknown" if row.cost_usd is None else _usd(row.cost_usd.expected),
    )


def _sum(plan: Plan) -> list[str]:
    total, bought, spent = plan.total, plan.total.bought, plan.spent
    cost = "unknown" if spent.cost_usd is None else _usd(spent.cost_usd)
    usage = spent.usage
    return [
        f"to do: expected (low to high); {_basis(plan)}",
        f"  calls       {_range(total.calls)}",
        f"  tokens in   {_range(total.prompt_tokens)}",
        f"    cached    {_range(total.cached_tokens)}",
        f"  tokens out  {_range(total.completion_tokens)}",
        f"  cost        {_cost(total.cost_usd)}",
        f"  time        {_time(plan)}",
        f"bought before: {sum(bought):,} calls, {usage.prompt_tokens:,} tokens in "
        f"({usage.cached_tokens:,} cached), {usage.completion_tokens:,} out, cost {cost}",
    ]


def _basis(plan: Plan) -> str:
    if plan.measured_calls:
        return f"as {plan.measured_calls:,} calls of this model have measured"
    return "guesses, --probe N measures"


def _time(plan: Plan) -> str:
    if plan.hours is None or plan.tokens_a_s is None:
        return "unknown: no rate was measured; give one by --rate TOKENS_PER_S"
    hours = plan.hours
    low, expected, high = (
        duration(each * 3600) for each in (hours.low, hours.expected, hours.high)
    )
    span = "" if low == high else f" ({low} to {high})"
    return f"{expected}{span} at {plan.tokens_a_s:,.1f} tokens/s, {plan.rate_source}"


def _cost(cost: Range | None) -> str:
    if cost is None:
        return "unknown: set generate.usd_per_million_input_tokens and ..._output_tokens"
    span = "" if cost.low == cost.high else f" ({_usd(cost.low)} to {_usd(cost.high)})"
    return _usd(cost.expected) + span


def _range(each: Range) -> str:
    span = "" if each.low == each.high else f" ({_number(each.low)} to {_number(each.high)})"
    return _number(each.expected) + span


def _number(value: float) -> str:
    return f"{round(value):,}"


def _usd(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.4f}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_ID else name[: LONGEST_ID - 3] + "..."
