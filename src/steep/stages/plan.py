"""`steep plan`: calls, tokens, dollars and hours before anything is spent, and who will see what.

    steep plan                # from the documents, the configuration and the ledger; spends nothing
    steep plan --probe 5      # buys the openings and some texts of five documents, then plans

Every figure is three: of a cheap, the expected and a dear course of things. What is known (calls of
documents whose entities are in the ledger) is the same in all three. What is bought already is
shown apart: it costs nothing more. With a goal in tokens or dollars the plan shares it out as the
running system will, and says how many pairs and triplets of each document it buys.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from steep.config import Config, GenerateConfig
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation.courses import Planner, Row, sum_spent
from steep.generation.estimate import Range
from steep.generation.goals import Goal
from steep.generation.ledger import Ledger
from steep.generation.measured import measure
from steep.generation.prospects import Counts, Spent, survey
from steep.llm.prices import Prices
from steep.project import Project
from steep.stages import documents as documents_stage
from steep.stages import pricing
from steep.stages.generate import check_context, recipe_of
from steep.stages.status import open_ledger

__all__ = [
    "NO_HOST", "Host", "Plan", "Prices", "Range", "Row", "check_plannable", "hosts_of", "make_plan",
    "plan_of",
]  # fmt: skip

NO_HOST = "nothing leaves this machine"


@dataclass(frozen=True, slots=True)
class Host:
    """A place that reads documents. `leaves` says whether they leave this machine for it."""

    name: str
    leaves: bool
    prices: Prices


@dataclass(frozen=True, slots=True)
class Plan:
    """All that `steep plan` shows.

    Attributes:
        hosts: Each document goes to one of them.
        sent: Ids of the documents that will be read there: those with calls to do.
        spent: What the calls took that the plan holds and the ledger has.
        goal: What is to be reached, all of it and not only what is left.
        hours: By that rate and the limits of the configuration; None where no rate is known.
        rate_source: Where the rate comes from: `given`, `measured` or `unknown`.
        measured_calls: How many calls of this model the expectations rest on.
        warnings: What will keep the plan from being carried out.
    """

    recipe: str
    model: str
    engine: str
    hosts: tuple[Host, ...]
    sent: tuple[str, ...]
    documents: tuple[Row, ...]
    total: Row
    spent: Spent
    goal: Goal | None
    hours: Range | None
    tokens_a_s: float | None
    rate_source: str
    measured_calls: int
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything, as a script would read it."""
        tree = asdict(self)
        for row in (*tree["documents"], tree["total"]):
            row["bought"] = dict(zip(Counts._fields, row["bought"], strict=True))
        tree["spent"] = {"usage": tree["spent"][0], "cost_usd": tree["spent"][1]}
        return tree


def make_plan(config: Config, project: Project, rate: float | None = None) -> Plan:
    """Plan what is to do, without spending or writing anything.

    Args:
        config: The configuration.
        project: Where the ledger is, if there is one.
        rate: Tokens of text a second that the generator is expected to write.

    Raises:
        UserError: There is no recipe, or a limit in dollars and no price.
    """
    documents = documents_stage.peek(config, project)
    check_plannable(config.generate, documents)
    with open_ledger(project) as ledger:
        return plan_of(config.generate, documents, ledger, rate)


def plan_of(
    settings: GenerateConfig, documents: Sequence[Document], ledger: Ledger, rate: float | None
) -> Plan:
    """Plan what the ledger lacks."""
    recipe = recipe_of(settings)
    pricing.budget_of(settings, ledger)  # refuses a limit in dollars without a price
    measured = measure(ledger, settings.model)
    hosts = hosts_of(settings)
    prospects = survey(documents, recipe, ledger, measured)
    goal = pricing.goal_in(settings, recipe)
    counts = ledger.allotment(goal.key) if goal else {}
    elsewhere_usd = ledger.usage().known_usd - sum(
        each.spent_on_relations.cost_usd or 0.0 for each in prospects
    )
    planner = Planner(
        prospects=prospects,
        prices=[host.prices for host in hosts],
        caches=measured.cached_share != 0.0,
        goal=goal,
        counts=counts,
        elsewhere_usd=elsewhere_usd,
    )
    rows, total = planner.rows()
    speed, source = (rate, "given") if rate else (measured.tokens_a_s, "measured")
    return Plan(
        recipe=recipe.name,
        model=settings.model,
        engine=settings.engine,
        hosts=hosts,
        sent=tuple(row.document_id for row in rows if row.calls.high > 0),
        documents=rows,
        total=total,
        spent=sum_spent(each.spent for each in prospects),
        goal=goal,
        hours=_hours(total, speed, settings, len(hosts)),
        tokens_a_s=speed,
        rate_source=source if speed else "unknown",
        measured_calls=measured.calls,
        warnings=tuple(_warnings(settings, ledger, total)),
    )


def hosts_of(settings: GenerateConfig) -> tuple[Host, ...]:
    """Who reads the documents, at which prices."""
    urls = pricing.base_urls(settings)
    if not urls:
        away = settings.engine == "ray" and settings.ray_address is not None
        name = f"the nodes of the Ray cluster at {settings.ray_address}" if away else NO_HOST
        return (Host(name, away, pricing.prices_of(settings, None)),)
    return tuple(
        Host(
            urlsplit(url).netloc.rpartition("@")[2] or url,
            not _is_loopback(urlsplit(url).hostname or ""),
            pricing.prices_of(settings, url),
        )
        for url in urls
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hours(
    total: Row, tokens_a_s: float | None, settings: GenerateConfig, endpoints: int
) -> Range | None:
    """By the generator's rate, or by the limits of the configuration where those are narrower."""
    if not tokens_a_s:
        return None
    requests_a_s = endpoints * (settings.requests_per_minute or math.inf) / 60
    limit_a_s = endpoints * (settings.tokens_per_minute or math.inf) / 60

    def hours(calls: float, prompts: float, answers: float) -> float:
        limited_s = max(calls / requests_a_s, (prompts + answers) / limit_a_s)
        return max(limited_s, answers / tokens_a_s) / 3600

    calls, prompts, answers = total.calls, total.prompt_tokens, total.completion_tokens
    return Range(
        hours(calls.low, prompts.low, answers.low),
        hours(calls.expected, prompts.expected, answers.expected),
        hours(calls.high, prompts.high, answers.high),
    )


def _warnings(settings: GenerateConfig, ledger: Ledger, total: Row) -> Iterable[str]:
    limit = settings.max_total_tokens
    if limit is None:
        return
    usage = ledger.usage().usage
    spent = usage.prompt_tokens + usage.completion_tokens
    expected = total.prompt_tokens.expected + total.completion_tokens.expected
    if spent + expected > limit:
        yield (
            f"generate.max_total_tokens, {limit:,}, will end the run before the plan's end: "
            f"{spent:,} tokens are spent, and some {expected:,.0f} are to come"
        )


def check_plannable(settings: GenerateConfig, documents: Sequence[Document]) -> None:
    """Refuse what cannot be planned.

    Raises:
        UserError: There is no recipe, or a document exceeds the context.
    """
    if settings.recipe is None:
        raise UserError(
            "There is nothing to plan.", where="generate.recipe", found="null", expected="entigraph"
        )
    check_context(documents, settings)
