"""Before money is spent by hand: what would be paid for, where, and how much it is about."""

from __future__ import annotations

from steep.config import Config
from steep.core.errors import UserError
from steep.project import Project
from steep.stages.plan import make_plan
from steep.stages.pricing import base_urls, prices_of


def refuse_unlimited_spending(config: Config, project: Project) -> None:
    """Refuse to begin calls that have a price while nothing limits what they may cost.

    Raises:
        UserError: There are such calls to do; it says how many, where, and what they cost.
    """
    settings = config.generate
    limited = settings.max_cost_usd is not None or settings.max_total_tokens is not None
    if settings.recipe is None or limited:
        return
    prices = [prices_of(settings, url) for url in base_urls(settings)]
    if not any(each.usd_per_million_output_tokens for each in prices):
        return  # free, or a price that nobody knows
    plan = make_plan(config, project)
    calls, cost = plan.total.calls, plan.total.cost_usd
    if not calls.high:
        return
    amount = (
        "unknown"
        if cost is None
        else f"${cost.expected:,.2f} (${cost.low:,.2f} to ${cost.high:,.2f})"
    )
    raise UserError(
        "This command would begin to pay for calls.",
        where=", ".join(host.name for host in plan.hosts) + f", model '{settings.model}'",
        expected="--yes, or a limit: --set generate.max_cost_usd=DOLLARS",
        found=f"about {calls.expected:,.0f} calls ({calls.low:,.0f} to {calls.high:,.0f}), "
        f"cost {amount}",
        hint="look at steep plan; then add --yes, or set a limit in steep.yaml",
    )
