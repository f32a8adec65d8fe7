"""Before money is spent by hand: what would be paid for, where, and how much it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.evaluation.callers import used_endpoints
from steep.generation.setup import base_urls, prices_of
from steep.stages.evaluate import plan_evaluation, setup_of
from steep.stages.plan import make_plan

if TYPE_CHECKING:
    from steep.evaluation.writing.plan import WritingPlan


class _Bill(NamedTuple):
    """What would be paid to one place. `cost` None is unknown."""

    where: str
    what: str
    cost: Range | None


def refuse_unlimited_spending(config: Config, project: Project, evaluates: bool) -> None:
    """Refuse to begin requests that have a price while nothing limits what they may cost.

    Args:
        config: The configuration.
        project: Where the ledger is, if there is one.
        evaluates: Whether the command goes on to the evaluation.

    Raises:
        UserError: There are such requests to do; the message has their number, endpoint and cost.
    """
    settings = config.generate
    if settings.max_cost_usd is not None or settings.max_total_tokens is not None:
        return
    bills = [*_generation(config, project), *(_evaluation(config, project) if evaluates else ())]
    if bills:
        raise _unlimited(bills, "generate.max_cost_usd", "steep plan")


def refuse_unlimited_questions(config: Config, plan: WritingPlan) -> None:
    """Refuse to write questions at a price while nothing limits what they may cost.

    Raises:
        UserError: There are priced calls; the message has their number, endpoint and cost.
    """
    limits = (config.generate.max_cost_usd, config.generate.max_total_tokens, plan.max_cost_usd)
    if plan.is_finished or any(each is not None for each in limits):
        return
    sums: dict[str, tuple[float, Range]] = {}
    for each in plan.steps:
        if each.cost_usd is not None and each.cost_usd.high > 0:
            where = f"{each.base_url}, model '{each.model}' ({each.section})"
            calls, cost = sums.get(where, (0.0, Range.exactly(0.0)))
            sums[where] = calls + each.calls.expected, cost + each.cost_usd
    bills = [
        _Bill(where, f"about {calls:,.0f} calls", cost) for where, (calls, cost) in sums.items()
    ]
    if bills:
        raise _unlimited(bills, "questions.max_cost_usd", "steep questions --plan")


def _unlimited(bills: Sequence[_Bill], limit: str, plan: str) -> UserError:
    return UserError(
        "This command would begin to pay for requests.",
        where="; ".join(each.where for each in bills),
        expected=f"--yes, or a limit: --set {limit}=DOLLARS",
        found="; ".join(f"{each.what}, cost {_amount(each.cost)}" for each in bills),
        hint=f"look at {plan}; then add --yes, or set a limit in steep.yaml",
    )


def _generation(config: Config, project: Project) -> Iterator[_Bill]:
    settings = config.generate
    prices = [prices_of(settings, url) for url in base_urls(settings)]
    if not settings.recipes or not any(each.usd_per_million_output_tokens for each in prices):
        return  # free, or an unknown price
    plan = make_plan(config, project)
    calls = plan.forecast.to_do.calls
    again = plan.asked_again
    if again.calls and not calls.high:
        where = ", ".join(host.name for host in plan.hosts) + f", model '{settings.model}'"
        cost = None if again.unpriced else Range.exactly(again.known_usd)
        yield _Bill(where, f"{again.calls:,} answers without text, requested again", cost)
    if calls.high:
        where = ", ".join(host.name for host in plan.hosts) + f", model '{settings.model}'"
        what = f"about {calls.expected:,.0f} calls ({calls.low:,.0f} to {calls.high:,.0f})"
        yield _Bill(where, what, plan.forecast.to_do.cost_usd)


def _evaluation(config: Config, project: Project) -> Iterator[_Bill]:
    used = [(each, each.prices) for each in used_endpoints(setup_of(config, project))]
    if not any(p.usd_per_million_input_tokens or p.usd_per_million_output_tokens for _, p in used):
        return
    for each in plan_evaluation(config, project).calls:
        to_do = each.requests - each.completed
        if to_do and each.cost_usd is not None and each.cost_usd.high > 0:
            where = f"{each.base_url}, model '{each.model}' ({each.section})"
            yield _Bill(where, f"{to_do:,} requests of the evaluation", each.cost_usd)


def _amount(cost: Range | None) -> str:
    if cost is None:
        return "unknown"
    return f"${cost.expected:,.2f} (${cost.low:,.2f} to ${cost.high:,.2f})"
