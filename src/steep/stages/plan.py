"""`steep plan`: calls, tokens, dollars and hours before anything is spent, and who will see what.

    steep plan                # from the documents, the configuration and the ledger; spends nothing
    steep plan --probe 5      # buys the openings and some texts of five documents, then plans

Every figure is three: of a cheap, the expected and a dear course of things. What is known (calls of
documents whose entities are in the ledger) is the same in all three. What is bought already is
shown apart: it costs nothing more. With a goal in tokens or dollars the plan shares it out as the
running system will, and says how many pairs and triplets of each document it buys. What a limit in
dollars does not pay for is not shown as to be done.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.calls import Usage
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.generation import clients, pricing, requeue
from steep.generation import plan as plan_
from steep.generation.config import GenerateConfig
from steep.generation.context_limits import check_context, context_warnings
from steep.generation.courses import Caching, Planner, Row, sum_spent
from steep.generation.estimate import Range
from steep.generation.goals import Goal
from steep.generation.prospects import Counts, Prospect, Spent, survey
from steep.generation.usage_stats import Measured, measure
from steep.generation.work_queue import assign
from steep.ledger import queries
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices
from steep.recipes.entigraph import EntiGraph
from steep.stages import dead_ends
from steep.stages import documents as documents_stage
from steep.stages.generate import recipe_of, written_about
from steep.stages.status import open_ledger

__all__ = [
    "NO_HOST", "Host", "Limit", "Plan", "Prices", "Range", "Row", "check_plannable", "hosts_of",
    "make_plan", "plan_of",
]  # fmt: skip

NO_HOST = "nothing leaves this machine"
MORE_AT_ONCE = 1.5  # times what was measured, before a rate is scaled
ABOUT = 0.03  # of a goal in dollars, which the shares meet as nearly as whole calls can


@dataclass(frozen=True, slots=True)
class Host:
    """A place that reads documents.

    Attributes:
        leaves: Whether they leave this machine for it.
        documents: Ids of those that it reads.
    """

    name: str
    leaves: bool
    prices: Prices
    documents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """`generate.max_cost_usd`, what the project has spent of it, and what is left."""

    most_usd: float
    spent_usd: float
    left_usd: float


@dataclass(frozen=True, slots=True)
class InAll:
    """What the project has paid for, under any plan; the cost of some calls may be unknown."""

    calls: int
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """Answers without text that the next run asks for again, and what that takes as before."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that `steep plan` shows.

    Attributes:
        hosts: Each document goes to one of them; theirs are those of `sent`.
        sent: Ids of the documents that will be read there: those with calls to do.
        asked_again: Answers without text, which are not among the calls to do.
        submitted: Of the calls to do, how many wait in a provider's batch.
        spent: What the calls took that the plan holds and the ledger has.
        in_all: What the project has bought, under this plan and any other.
        goal: What is to be reached, all of it and not only what is left.
        limit: In dollars; what is to do is cut where it ends.
        hours: By that rate and the limits of the configuration. Without a rate these are the least
            that the limits allow; without limits, None.
        rate_source: Where the rate comes from: `given`, `measured ...` or `unknown`.
        measured_calls: How many calls of this model were looked at.
        measured_answers: On how many answers the expected lengths rest, by stage; a stage with
            calls to do that is not named is guessed.
        warnings: What will keep the plan from being carried out.
    """

    recipe: str
    model: str
    engine: str
    hosts: tuple[Host, ...]
    sent: tuple[str, ...]
    documents: tuple[Row, ...]
    total: Row
    asked_again: AskedAgain
    submitted: int
    spent: Spent
    in_all: InAll
    goal: Goal | None
    limit: Limit | None
    hours: Range | None
    tokens_per_s: float | None
    rate_source: str
    measured_calls: int
    measured_answers: dict[str, int]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything, as a script would read it."""
        tree = asdict(self)
        tree["spent"] = dict(zip(Spent._fields, tree["spent"], strict=True))
        for row in (*tree["documents"], tree["total"]):
            row["bought"] = dict(zip(Counts._fields, row["bought"], strict=True))
        for part in ("spent", "in_all"):
            tree[part] |= {"cost_usd": None if tree[part]["unpriced"] else tree[part]["known_usd"]}
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
    documents = written_about(config.generate, documents_stage.peek(config, project))
    check_plannable(config.generate, documents)
    with open_ledger(project) as ledger:
        return plan_of(config.generate, documents, ledger, rate, project.root)


def plan_of(
    settings: GenerateConfig,
    documents: Sequence[Document],
    ledger: Ledger,
    rate: float | None,
    root: Path | None = None,
) -> Plan:
    """Plan what the ledger lacks."""
    recipe = recipe_of(settings)
    limit, spent_usd = _limit(settings, ledger)
    measured = measure(ledger, settings.model)
    hosts = hosts_of(settings, documents)
    prospects = survey(documents, recipe, ledger, measured)
    goal = pricing.goal_in(settings, recipe)
    counts = ledger.allotment(goal.key) if goal else None
    least_usd = _least_usd(prospects, hosts, recipe.max_tokens)
    rows, total, uncut_usd = Planner(
        prospects=prospects,
        prices=[host.prices for host in hosts],
        caches=_caching(settings, measured),
        goal=goal,
        counts=counts or {},
        spent_usd=spent_usd,
        left_usd=_spendable_usd(limit, least_usd),
    ).rows()
    speed, slowest, source = _speed(rate, measured, settings, len(hosts))
    sent = tuple(row.document_id for row in rows if row.calls.high > 0)
    return Plan(
        recipe=recipe.name,
        model=settings.model,
        engine=settings.engine,
        hosts=_reading(hosts, sent),
        sent=sent,
        documents=rows,
        total=total,
        asked_again=_asked_again(documents, recipe, ledger, counts, settings.max_attempts),
        submitted=_submitted(documents, recipe, ledger, counts),
        spent=sum_spent(each.spent for each in prospects),
        in_all=_in_all(ledger),
        goal=goal,
        limit=limit,
        hours=_hours(total, speed, slowest, settings, len(hosts)),
        tokens_per_s=speed,
        rate_source=source if speed else "unknown",
        measured_calls=measured.calls,
        measured_answers=dict(measured.answers_read),
        warnings=(
            *_unusable(settings, root),
            *_money_warnings(limit, least_usd, uncut_usd),
            *_token_warnings(settings, ledger, total),
            *_entity_warnings(prospects, recipe),
            *context_warnings(documents, settings),
        ),
    )


def _limit(settings: GenerateConfig, ledger: Ledger) -> tuple[Limit | None, float]:
    """The limit in dollars, where anything costs some; and what the project has spent."""
    budget = pricing.budget_of(settings, ledger)  # refuses a limit in dollars without a price
    most_usd = budget.max_cost_usd
    if most_usd is None or not pricing.base_urls(settings):
        return None, budget.spent_usd
    left_usd = max(0.0, most_usd - budget.spent_usd)
    return Limit(most_usd, budget.spent_usd, left_usd), budget.spent_usd


def _least_usd(
    prospects: Sequence[Prospect], hosts: Sequence[Host], max_tokens: int
) -> float | None:
    """What has to be left for any call to be made: the worst case of the smallest one to do."""
    bounds = [
        one.least_bound
        for each in prospects
        for stage, one in each.stages.items()
        if _to_do(each, stage)
    ]
    if not bounds:
        return None
    most = Usage(min(bounds), 0, max_tokens)
    costs = [host.prices.cost_usd(most) for host in hosts]
    return min((cost for cost in costs if cost is not None), default=None)


def _to_do(prospect: Prospect, stage: str) -> bool:
    """Whether calls of a stage can be made next: relations wait for the entities."""
    if not prospect.complete:
        return stage == "entities"
    if stage == "pair":
        return prospect.pairs.high > prospect.bought.pairs
    return stage == "triplet" and prospect.triplets.high > prospect.bought.triplets


def _spendable_usd(limit: Limit | None, least_usd: float | None) -> float | None:
    """What is left of the limit; nothing, if it does not suffice for a call."""
    if limit is None:
        return None
    return 0.0 if least_usd is not None and limit.left_usd < least_usd else limit.left_usd


def _caching(settings: GenerateConfig, measured: Measured) -> Caching:
    """What was measured, else what hosted providers do; prices of batches know no cached tokens."""
    if settings.engine == "openai-batch" or measured.cached_share == 0.0:
        return "none"
    return "long" if measured.cached_share is None else "all"


def _reading(hosts: Sequence[Host], sent: Sequence[str]) -> tuple[Host, ...]:
    """The hosts, each with those of its documents that have calls to do."""
    chosen = frozenset(sent)
    return tuple(
        replace(host, documents=tuple(each for each in host.documents if each in chosen))
        for host in hosts
    )


def _submitted(
    documents: Sequence[Document],
    recipe: EntiGraph,
    ledger: Ledger,
    counts: dict[str, int] | None,
) -> int:
    if not ledger.batches():
        return 0
    return plan_.totals(documents, recipe, ledger, counts).submitted


def _asked_again(
    documents: Sequence[Document],
    recipe: EntiGraph,
    ledger: Ledger,
    counts: dict[str, int] | None,
    max_attempts: int,
) -> AskedAgain:
    calls = requeue.textless_calls(documents, recipe, ledger, counts, max_attempts)
    found = [each.completion for each in ledger.get_many(calls).values()]
    return AskedAgain(
        len(found),
        sum(each.usage.prompt_tokens for each in found),
        sum(each.usage.completion_tokens for each in found),
        sum(each.cost_usd or 0.0 for each in found),
        sum(each.cost_usd is None for each in found),
    )


def _in_all(ledger: Ledger) -> InAll:
    counts = queries.bought(ledger).sums.counts
    calls = sum(number for status, number in counts.items() if plan_.is_final(status))
    spending = ledger.usage()
    return InAll(calls, spending.known_usd, spending.unpriced)


def hosts_of(settings: GenerateConfig, documents: Sequence[Document] = ()) -> tuple[Host, ...]:
    """Who reads which of the documents, at which prices."""
    urls = pricing.base_urls(settings)
    shares = [tuple(each.id for each in share) for share in assign(documents, len(urls) or 1)]
    if not urls:
        away = settings.engine == "ray" and settings.ray_address is not None
        name = f"the nodes of the Ray cluster at {settings.ray_address}" if away else NO_HOST
        return (Host(name, away, pricing.prices_of(settings, None), *shares),)
    return tuple(
        Host(
            urlsplit(url).netloc.rpartition("@")[2] or url,
            not _is_loopback(urlsplit(url).hostname or ""),
            pricing.prices_of(settings, url),
            share,
        )
        for url, share in zip(urls, shares, strict=True)
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _speed(
    rate: float | None, measured: Measured, settings: GenerateConfig, endpoints: int
) -> tuple[float | None, float | None, str]:
    """The rate that is expected, the least one, and where they come from.

    A probe has few calls at once; more of them are answered in the same time, unless the endpoint
    is at its limit.
    """
    if rate or measured.tokens_per_s is None or measured.calls_at_once is None:
        return rate, rate, "given"
    at_once = endpoints * settings.concurrency if pricing.base_urls(settings) else 1
    more = at_once / measured.calls_at_once
    if more <= MORE_AT_ONCE:
        return measured.tokens_per_s, measured.tokens_per_s, "measured"
    source = f"measured with {measured.calls_at_once:.1f} calls at once, for {at_once}"
    return measured.tokens_per_s * more, measured.tokens_per_s, source


def _hours(
    total: Row,
    tokens_per_s: float | None,
    slowest_per_s: float | None,
    settings: GenerateConfig,
    endpoints: int,
) -> Range | None:
    """By the generator's rate, or by the limits of the configuration where those are narrower."""
    limited = settings.engine != "openai-batch"  # what is uploaded as a file has no such limits
    requests = settings.requests_per_minute if limited else None
    tokens = settings.tokens_per_minute if limited else None
    if not (tokens_per_s or requests or tokens):
        return None
    requests_per_s = endpoints * (requests or math.inf) / 60
    limit_per_s = endpoints * (tokens or math.inf) / 60

    def hours(calls: float, prompts: float, answers: float, answers_per_s: float | None) -> float:
        limited_s = max(calls / requests_per_s, (prompts + answers) / limit_per_s)
        return max(limited_s, answers / (answers_per_s or math.inf)) / 3600

    calls, prompts, answers = total.calls, total.prompt_tokens, total.completion_tokens
    return Range(
        hours(calls.low, prompts.low, answers.low, tokens_per_s),
        hours(calls.expected, prompts.expected, answers.expected, tokens_per_s),
        hours(calls.high, prompts.high, answers.high, slowest_per_s),
    )


def _unusable(settings: GenerateConfig, root: Path | None) -> Iterable[str]:
    """Why a generation would fail before its first call."""
    checks: list[Callable[[], object]] = [lambda: clients.check(settings, root)]
    if urls := pricing.base_urls(settings):
        from steep.llm.address import checked_url, read_key

        checks += [partial(checked_url, url) for url in urls]
        checks.append(lambda: read_key(settings.api_key_env, " and ".join(urls)))
    for check in checks:
        try:
            check()
        except UserError as error:
            problem, *about = (" ".join(line.split()) for line in str(error).splitlines())
            yield f"generate will refuse to start: {problem.rstrip('.')} ({'; '.join(about)})"


def _money_warnings(
    limit: Limit | None, least_usd: float | None, uncut_usd: Range | None
) -> Iterable[str]:
    if limit is None:
        return
    left = f"what is left of generate.max_cost_usd, ${limit.left_usd:,.4f},"
    if least_usd is not None and limit.left_usd < least_usd:
        yield (
            f"{left} does not suffice for one call, for which ${least_usd:,.4f} are rejected; "
            "generate will buy nothing"
        )
    elif uncut_usd is not None and uncut_usd.expected > limit.left_usd * (1 + ABOUT):
        yield (
            f"{left} will end the run before the plan's end, which takes some "
            f"${uncut_usd.expected:,.4f}; shown is what the money buys"
        )


def _token_warnings(settings: GenerateConfig, ledger: Ledger, total: Row) -> Iterable[str]:
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


def _entity_warnings(prospects: Sequence[Prospect], recipe: EntiGraph) -> Iterable[str]:
    without = [
        each.document_id
        for each in prospects
        if each.complete and dead_ends.has_too_few(recipe, round(each.entities.expected))
    ]
    if without:
        yield (
            f"{dead_ends.counted(without, len(prospects))}; nothing is written about them; "
            "steep generate --retry-entities asks for their entities again"
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
