"""A plan as lines for people: who, a table of documents, the sum with its ranges, what is odd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steep.core.formatting import cost_of, count, dollars, duration, plural, shorten, span
from steep.core.tables import table

if TYPE_CHECKING:
    from steep.stages.plan import Host, Limit, Plan, Prices, Range, Row

SHOWN_DOCUMENTS = 20
LONGEST_ID = 32  # characters shown
STAGES = {"entities": "openings", "pair": "pairs", "triplet": "triplets"}
HEADINGS = (
    "document", "entities", "openings", "pairs", "triplets", "tokens in", "cached", "out", "cost",
)  # fmt: skip


def of_plan(plan: Plan) -> list[str]:
    """All of it."""
    return [
        f"{plan.recipe}, written by {plan.model} ({plan.engine})",
        *_who(plan),
        *(["", *_aims(plan)] if plan.goal or plan.limit else []),
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
    if number and len(plan.hosts) > 1:
        shares = ", ".join(f"{len(host.documents):,} by {host.name}" for host in plan.hosts)
        lines.append(f"  documents to be read: {which}, each by one of these: {shares}")
    elif number:
        lines.append(f"  documents to be read there: {which}")
    return lines


def _host(host: Host) -> str:
    if host.name == "nothing leaves this machine":
        return f"  {host.name}; a model in this process"
    where = "documents are sent to" if host.leaves else "nothing leaves this machine; read by"
    return f"  {where} {host.name}; {_prices(host.prices)}"


def _prices(prices: Prices) -> str:
    if not prices.known:
        return "its price is unknown"
    shown = [f"${prices.usd_per_million_input_tokens:g} in"]
    if prices.usd_per_million_cached_tokens is not None:
        shown.append(f"${prices.usd_per_million_cached_tokens:g} cached")
    shown.append(f"${prices.usd_per_million_output_tokens:g} out")
    return f"{', '.join(shown)} per million tokens ({prices.source})"


def _aims(plan: Plan) -> list[str]:
    return [*(_goal(plan) if plan.goal else []), *(_limit(plan.limit) if plan.limit else [])]


def _limit(limit: Limit) -> list[str]:
    amounts = (limit.most_usd, limit.spent_usd, limit.left_usd)
    most, spent, left = map(dollars, amounts)
    return [f"limit: {most}, {spent} spent, {left} left"]


def _goal(plan: Plan) -> list[str]:
    assert plan.goal is not None
    total = plan.total
    amount = (
        f"{plan.goal.amount:,.0f} tokens of text"
        if plan.goal.unit == "tokens"
        else dollars(plan.goal.amount)
    )
    return [
        f"goal: {amount}, shared by length; it buys some {count(total.pairs.expected)} pairs and "
        f"{count(total.triplets.expected)} triplets more"
    ]


def _table(plan: Plan) -> list[str]:
    shown = [*plan.documents[:SHOWN_DOCUMENTS], plan.total]
    cells = [HEADINGS, *(_cells(row) for row in shown)]
    more = len(plan.documents) - SHOWN_DOCUMENTS
    if more <= 0:
        return table(cells)
    cells.insert(-1, (f"{more:,} more", *[""] * (len(HEADINGS) - 1)))
    return [*table(cells), "(--json shows every document)"]


def _cells(row: Row) -> tuple[str, ...]:
    about = "" if row.exact else "~"
    calls = (row.openings, row.pairs, row.triplets)
    tokens = (row.prompt_tokens, row.cached_tokens, row.completion_tokens)
    return (
        shorten(row.document_id, LONGEST_ID),
        about + count(row.entities.expected),
        count(row.openings.expected),
        *(about + count(each.expected) for each in calls[1:]),
        *(count(each.expected) for each in tokens),
        "unknown" if row.cost_usd is None else dollars(row.cost_usd.expected),
    )


def _sum(plan: Plan) -> list[str]:
    total, calls, spent = plan.total, sum(plan.total.bought), plan.spent
    usage, in_all = spent.usage, plan.in_all
    waiting = f"; {plan.submitted:,} of them are submitted already" if plan.submitted else ""
    cost = cost_of(spent.known_usd, spent.unpriced)
    others = in_all.calls != calls or cost_of(in_all.known_usd, in_all.unpriced) != cost
    again = plan.asked_again
    amounts = [
        f"to do: expected (low to high); {_basis(plan)}",
        f"  calls       {span(total.calls)}{waiting}",
        f"  tokens in   {span(total.prompt_tokens)}",
        f"    cached    {span(total.cached_tokens)}",
        f"  tokens out  {span(total.completion_tokens)}",
        f"  cost        {_cost(total.cost_usd)}",
        f"  time        {_time(plan)}",
    ]
    if not total.calls.high:
        amounts = ["to do: nothing" if not again.calls else "to do:"]
    if again.calls:
        amounts += [
            f"  {plural(again.calls, 'answer')} without text will be asked for again; last time "
            f"that took {again.prompt_tokens:,} tokens in,",
            f"    {again.completion_tokens:,} out, cost {cost_of(again.known_usd, again.unpriced)}",
        ]
    return [
        *amounts,
        f"bought before: {plural(calls, 'call')}, {usage.prompt_tokens:,} tokens in "
        f"({usage.cached_tokens:,} cached), {usage.completion_tokens:,} out, cost {cost}",
        *([_in_all(plan)] if others else []),
    ]


def _in_all(plan: Plan) -> str:
    in_all = plan.in_all
    return (
        f"  by the project in all, under this plan and others: {plural(in_all.calls, 'call')}, "
        f"cost {cost_of(in_all.known_usd, in_all.unpriced)}"
    )


def _basis(plan: Plan) -> str:
    """Which lengths of answers were measured, and which are guesses."""
    to_do = {"entities": plan.total.openings, "pair": plan.total.pairs}
    to_do["triplet"] = plan.total.triplets
    stages = [stage for stage, calls in to_do.items() if calls.high > 0]
    measured = [
        f"{STAGES[stage]} as measured by {plural(plan.measured_answers[stage], 'call')}"
        for stage in stages
        if stage in plan.measured_answers
    ]
    guessed = [STAGES[stage] for stage in stages if stage not in plan.measured_answers]
    if not stages:
        return "nothing"
    if not measured:
        return "guesses, --probe N measures"
    more = [f"{' and '.join(guessed)} guessed, --probe N measures"] if guessed else []
    return "; ".join([", ".join(measured), *more])


def _time(plan: Plan) -> str:
    if plan.hours is None:
        return "unknown: no rate was measured; give one by --rate TOKENS_PER_S"
    time = span(plan.hours.times(3600), duration)
    if plan.tokens_per_s is None:
        return f"at least {time}, by the limits a minute; no rate was measured (--rate)"
    return f"{time} at {plan.tokens_per_s:,.1f} tokens/s, {plan.rate_source}"


def _cost(cost: Range | None) -> str:
    if cost is None:
        return "unknown: set generate.usd_per_million_input_tokens and ..._output_tokens"
    return span(cost, dollars)
