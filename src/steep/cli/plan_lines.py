"""A plan as lines for people: who, a table of documents, the sum with its ranges, what is odd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steep.core.formatting import cost_of, count, dollars, duration, plural, shorten, span
from steep.core.tables import table

if TYPE_CHECKING:
    from steep.core.ranges import Range
    from steep.generation.estimate import Amounts
    from steep.generation.forecast import DocumentForecast, StepForecast
    from steep.generation.planning import Host, Limit, Plan
    from steep.llm.prices import Prices

SHOWN_DOCUMENTS = 20
LONGEST_ID = 32  # characters shown


def of_plan(plan: Plan) -> list[str]:
    """Return the lines of a plan."""
    return [
        f"{', '.join(plan.recipes)}, written by {plan.model} ({plan.engine})",
        *_who(plan),
        *(
            [f"target: {plan.target_tokens:,} tokens of text per recipe"]
            if plan.target_tokens
            else []
        ),
        *(_limit(plan.limit) if plan.limit else []),
        "",
        *_table(plan),
        "",
        *_sum(plan),
        *(f"warning: {warning}" for warning in plan.warnings),
    ]


def _who(plan: Plan) -> list[str]:
    lines = [_host(host) for host in plan.hosts]
    number = len(plan.sent)
    which = (
        "all"
        if number == len(plan.forecast.documents)
        else f"{number:,} of {len(plan.forecast.documents):,}"
    )
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


def _limit(limit: Limit) -> list[str]:
    amounts = (limit.most_usd, limit.spent_usd, limit.left_usd)
    most, spent, left = map(dollars, amounts)
    return [f"limit: {most}, {spent} spent, {left} left"]


def _table(plan: Plan) -> list[str]:
    """The calls of each step and what they take, by document; calls that have ended included."""
    several = len(plan.recipes) > 1
    shown = [each for each in plan.forecast.steps if each.done or each.to_do.calls.high]
    steps = [(each.recipe, each.step) for each in shown]
    headings = [f"{recipe} {step}" if several else step for recipe, step in steps]
    documents = plan.forecast.documents
    rows = [
        ("document", *headings, "tokens in", "cached", "out", "cost"),
        *(_cells(each, steps) for each in documents[:SHOWN_DOCUMENTS]),
    ]
    more = len(documents) - SHOWN_DOCUMENTS
    if more > 0:
        rows.append((f"{more:,} more", *[""] * (len(rows[0]) - 1)))
    calls = [_calls(each) for each in shown]
    rows.append(("total", *calls, *_amounts(plan.forecast.to_do)))
    return [*table(rows), *(["(--json shows every document)"] if more > 0 else [])]


def _cells(row: DocumentForecast, steps: list[tuple[str, str]]) -> tuple[str, ...]:
    by_step = {(each.recipe, each.step): each for each in row.steps}
    found = (by_step.get(step) for step in steps)
    calls = ["0" if each is None else _calls(each) for each in found]
    return (shorten(row.document_id, LONGEST_ID), *calls, *_amounts(row.to_do))


def _calls(step: StepForecast) -> str:
    calls = step.to_do.calls
    about = "" if calls.low == calls.high else "~"
    return about + count(calls.expected + step.done)


def _amounts(to_do: Amounts) -> tuple[str, ...]:
    tokens = (to_do.prompt_tokens, to_do.cached_tokens, to_do.completion_tokens)
    cost = "unknown" if to_do.cost_usd is None else dollars(to_do.cost_usd.expected)
    return (*(count(each.expected) for each in tokens), cost)


def _sum(plan: Plan) -> list[str]:
    to_do, completed, in_all, again = (
        plan.forecast.to_do, plan.completed, plan.in_all, plan.asked_again,
    )  # fmt: skip
    usage, calls = completed.usage, completed.planned - completed.to_do
    submitted = completed.submitted
    waiting = f"; {submitted:,} of them are submitted already" if submitted else ""
    cost = cost_of(completed.known_usd, completed.unpriced)
    others = in_all.calls != calls or cost_of(in_all.known_usd, in_all.unpriced) != cost
    amounts = [
        f"to do: expected (low to high); {_basis(plan)}",
        f"  calls       {span(to_do.calls)}{waiting}",
        f"  tokens in   {span(to_do.prompt_tokens)}",
        f"    cached    {span(to_do.cached_tokens)}",
        f"  tokens out  {span(to_do.completion_tokens)}",
        f"  cost        {_cost(to_do.cost_usd)}",
        f"  time        {_time(plan)}",
    ]
    if not to_do.calls.high:
        amounts = ["to do: nothing" if not again.calls else "to do:"]
    if again.calls:
        amounts += [
            f"  {plural(again.calls, 'answer')} without text will be asked for again; last time "
            f"that took {again.prompt_tokens:,} tokens in,",
            f"    {again.completion_tokens:,} out, cost {cost_of(again.known_usd, again.unpriced)}",
        ]
    return [
        *amounts,
        f"completed: {plural(calls, 'call')}, {usage.prompt_tokens:,} tokens in "
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
    """Return which lengths of answers were measured, and which are guesses."""
    steps = [each for each in plan.forecast.steps if each.to_do.calls.high > 0]
    measured, guessed = [], []
    for each in steps:
        key = f"{each.recipe}/{each.step}"
        if key in plan.measured_answers:
            answers = plural(plan.measured_answers[key], "call")
            measured.append(f"{each.step} as measured by {answers}")
        else:
            guessed.append(each.step)
    if not steps:
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
