"""`steep plan`: calls, tokens, dollars and hours before anything is spent, and who reads what.

Every figure is a range: low, expected and high. Completed calls are shown apart, as they cost
nothing more. Calls beyond a limit are not among those to do.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steep.core.errors import UserError
from steep.core.formatting import count
from steep.core.ranges import CASES, Range
from steep.documents.document import Document
from steep.generation import checks, clients
from steep.generation.config import GenerateConfig
from steep.generation.context_limits import check_context, context_warnings
from steep.generation.forecast import Forecast, Limits, forecast
from steep.generation.plan import PlanView, is_final, preparing_steps
from steep.generation.setup import base_urls, budget_of, plan_view, prices_of
from steep.generation.totals import Totals
from steep.generation.usage_stats import Measured, measure
from steep.generation.work_queue import assign
from steep.ledger import queries
from steep.ledger.budget import Budget
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices

NO_HOST = "nothing leaves this machine"
MORE_AT_ONCE = 1.5  # times what was measured, before a rate is scaled
ABOUT = 0.03  # of a limit, below which a plan does not exceed it


@dataclass(frozen=True, slots=True)
class Host:
    """A host that reads documents."""

    name: str
    leaves: bool  # whether the documents leave this machine
    prices: Prices
    documents: tuple[str, ...] = ()  # IDs

    def reading(self, sent: Collection[str]) -> Host:
        """Return the host with those of its documents that are sent."""
        return replace(self, documents=tuple(each for each in self.documents if each in sent))


@dataclass(frozen=True, slots=True)
class Limit:
    """`generate.max_cost_usd`, what the project has spent of it, and what is left."""

    most_usd: float
    spent_usd: float
    left_usd: float


@dataclass(frozen=True, slots=True)
class Paid:
    """Calls that were paid for; the cost of `unpriced` ones is unknown."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    known_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The figures of `steep plan`.

    Attributes:
        hosts: Each document goes to one of them; theirs are those of `sent`.
        sent: IDs of the documents with calls to do.
        forecast: The calls to do, by document and step, cut where a limit ends.
        asked_again: Answers without text, which the next run asks for again. They are not among the
            calls to do.
        completed: The totals of the plan so far.
        in_all: All paid calls of the project, under this plan and any other.
        target_tokens: Tokens of text per recipe; None if there is no target.
        limit: In dollars.
        hours: By `tokens_per_s` and the limits of the configuration. Without a rate these are the
            least that the limits allow; without limits, None.
        rate_source: Source of the rate: `given`, `measured ...` or `unknown`.
        measured_calls: Number of calls of this model in the statistics.
        measured_answers: Number of answers behind the expected lengths, by recipe and step; a step
            with calls to do that is not named is guessed.
    """

    recipes: tuple[str, ...]
    model: str
    engine: str
    hosts: tuple[Host, ...]
    sent: tuple[str, ...]
    forecast: Forecast
    asked_again: Paid
    completed: Totals
    in_all: Paid
    target_tokens: int | None
    limit: Limit | None
    hours: Range | None
    tokens_per_s: float | None
    rate_source: str
    measured_calls: int
    measured_answers: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def text_tokens(self, recipe: str) -> Range:
        """Return the tokens of all texts of a recipe: those written and those to come."""
        to_do = Range(0.0, 0.0, 0.0)
        for step in self.forecast.steps:
            if step.recipe == recipe:
                to_do += step.to_do.completion_tokens
        return to_do + Range.exactly(self.completed.written.get(recipe, 0))

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        tree: dict[str, Any] = asdict(self)
        forecast: dict[str, Any] = tree.pop("forecast")
        tree["completed"] = {
            **self.completed.counts,
            "submitted": self.completed.submitted,
            "usage": asdict(self.completed.usage),
            "known_usd": self.completed.known_usd,
            "unpriced": self.completed.unpriced,
            "cost_usd": self.completed.cost_usd,
            "written": dict(self.completed.written),
        }
        tree["in_all"] |= {"cost_usd": None if self.in_all.unpriced else self.in_all.known_usd}
        return {**tree, **forecast}


def plan_of(
    settings: GenerateConfig,
    documents: Sequence[Document],
    ledger: Ledger,
    rate: float | None = None,
    root: Path | None = None,
) -> Plan:
    """Plan what the ledger lacks, without spending or writing anything.

    Raises:
        UserError: There is a limit in dollars, but no price.
    """
    view = plan_view(settings, documents, ledger)
    budget = budget_of(settings, ledger)
    totals, limit = view.totals(), _limit(settings, budget)
    measured = measure(ledger, settings.model, preparing_keys(view))
    hosts = hosts_of(settings, documents)
    found = _forecast(settings, view, budget, totals, measured)
    speed, slowest, source = _speed(rate, measured, settings, len(hosts))
    sent = dict.fromkeys(each.document_id for each in found.documents if each.to_do.calls.high > 0)
    asked_again = _asked_again(view, settings.max_attempts)
    limited = [*_limit_warnings(limit, budget, found)]
    is_called = bool(sent or asked_again.calls or totals.submitted or limited)
    warnings = [*_unusable(settings, root, is_called), *limited, *_empty_warnings(view, totals)]
    return Plan(
        recipes=tuple(recipe.name for recipe in view.recipes),
        model=settings.model,
        engine=settings.engine,
        hosts=tuple(host.reading(sent) for host in hosts),
        sent=tuple(sent),
        forecast=found,
        asked_again=asked_again,
        completed=totals,
        in_all=_in_all(ledger),
        target_tokens=settings.target_tokens,
        limit=limit,
        hours=_hours(found, speed, slowest, settings, len(hosts)),
        tokens_per_s=speed,
        rate_source=source,
        measured_calls=measured.calls,
        measured_answers={"/".join(step): n for step, n in measured.answers_read.items()},
        warnings=(*warnings, *context_warnings(documents, settings)),
    )


def forecast_now(settings: GenerateConfig, view: PlanView, budget: Budget) -> Forecast:
    """Forecast the calls to do of a plan while it runs."""
    measured = measure(view.ledger, settings.model, preparing_keys(view))
    return _forecast(settings, view, budget, view.totals(), measured)


def preparing_keys(view: PlanView) -> set[tuple[str, str]]:
    """Return the recipes and names of the steps whose answers others need."""
    return {(r.name, step.name) for r in view.recipes for step in preparing_steps(r)}


def _forecast(
    settings: GenerateConfig, view: PlanView, budget: Budget, totals: Totals, measured: Measured
) -> Forecast:
    hosts = hosts_of(settings, view.documents)
    prices = {each: host.prices for host in hosts for each in host.documents}
    limits = _limits(view, budget, totals, _limit(settings, budget))
    caches = settings.engine != "openai-batch"
    return forecast(view, totals, measured, prices, limits, hosted_caches=caches)


def _limit(settings: GenerateConfig, budget: Budget) -> Limit | None:
    """Return the limit in dollars, unless the engine is free."""
    most_usd = budget.max_cost_usd
    if most_usd is None or not base_urls(settings):
        return None
    return Limit(most_usd, budget.spent_usd, max(0.0, most_usd - budget.spent_usd))


def _limits(view: PlanView, budget: Budget, totals: Totals, limit: Limit | None) -> Limits:
    target, tokens = view.target_tokens, budget.max_tokens
    return Limits(
        usd=None if limit is None else limit.left_usd,
        tokens=None if tokens is None else max(0.0, tokens - budget.spent_tokens),
        text_tokens={
            recipe.name: max(0.0, target - totals.written.get(recipe.name, 0))
            for recipe in view.recipes
            if target is not None
        }
        | dict.fromkeys(view.exhausted, 0.0),
    )


def _asked_again(view: PlanView, max_attempts: int) -> Paid:
    calls = view.textless_calls(max_attempts)
    found = [each.completion for each in view.ledger.get_many(calls).values()]
    return Paid(
        len(found),
        sum(each.usage.prompt_tokens for each in found),
        sum(each.usage.completion_tokens for each in found),
        sum(each.cost_usd or 0.0 for each in found),
        sum(each.cost_usd is None for each in found),
    )


def _in_all(ledger: Ledger) -> Paid:
    sums, _ = queries.paid(ledger)
    usage, calls = sums.usage, sum(n for status, n in sums.counts.items() if is_final(status))
    return Paid(calls, usage.prompt_tokens, usage.completion_tokens, sums.known_usd, sums.unpriced)


def hosts_of(settings: GenerateConfig, documents: Sequence[Document] = ()) -> tuple[Host, ...]:
    """Return the hosts with the documents that they read, and their prices."""
    urls = base_urls(settings)
    shares = [tuple(each.id for each in share) for share in assign(documents, len(urls) or 1)]
    if not urls:
        away = settings.engine == "ray" and settings.ray_address is not None
        name = f"the nodes of the Ray cluster at {settings.ray_address}" if away else NO_HOST
        return (Host(name, away, prices_of(settings, None), *shares),)
    return tuple(
        Host(
            urlsplit(url).netloc.rpartition("@")[2] or url,
            not _is_loopback(urlsplit(url).hostname or ""),
            prices_of(settings, url),
            share,
        )
        for url, share in zip(urls, shares, strict=True)
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _speed(
    rate: float | None, measured: Measured, settings: GenerateConfig, endpoints: int
) -> tuple[float | None, float | None, str]:
    """Return the expected and the lowest rate, and their source.

    A probe has few calls at once; more are answered in the same time, unless the endpoint is at its
    limit.
    """
    if rate or measured.tokens_per_s is None or measured.calls_at_once is None:
        return rate, rate, "given" if rate else "unknown"
    at_once = endpoints * settings.concurrency if base_urls(settings) else 1
    more = at_once / measured.calls_at_once
    if more <= MORE_AT_ONCE:
        return measured.tokens_per_s, measured.tokens_per_s, "measured"
    source = f"measured with {measured.calls_at_once:.1f} calls at once, for {at_once}"
    return measured.tokens_per_s * more, measured.tokens_per_s, source


def _hours(
    found: Forecast,
    tokens_per_s: float | None,
    slowest_per_s: float | None,
    settings: GenerateConfig,
    endpoints: int,
) -> Range | None:
    """Return the hours by the rate, or by the limits of the configuration if they take longer."""
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

    to_do = found.to_do
    calls, prompts, answers = to_do.calls, to_do.prompt_tokens, to_do.completion_tokens
    rates = {"low": tokens_per_s, "expected": tokens_per_s, "high": slowest_per_s}
    return Range(*(hours(calls[c], prompts[c], answers[c], rates[c]) for c in CASES))


def _unusable(settings: GenerateConfig, root: Path | None, is_called: bool) -> Iterable[str]:
    """Yield why a generation would fail before its first call, or without any."""
    attempts: list[Callable[[], object]] = [lambda: clients.check(settings, root)]
    if is_called and (urls := base_urls(settings)):
        from steep.llm.address import checked_url, read_key

        attempts += [partial(checked_url, url) for url in urls]
        attempts.append(lambda: read_key(settings.api_key_env, " and ".join(urls)))
    for attempt in attempts:
        try:
            attempt()
        except UserError as error:
            problem, *about = (" ".join(line.split()) for line in str(error).splitlines())
            yield f"generate will refuse to start: {problem.rstrip('.')} ({'; '.join(about)})"


def _limit_warnings(limit: Limit | None, budget: Budget, found: Forecast) -> Iterable[str]:
    """Warn of limits that end the run before the end of the plan."""
    cost, least_usd = found.uncut.cost_usd, found.least_usd
    if limit is not None:
        left = f"what is left of generate.max_cost_usd, ${limit.left_usd:,.4f},"
        if least_usd is not None and limit.left_usd < least_usd:
            yield f"{left} does not suffice for one call, which is reserved at ${least_usd:,.4f}"
        elif cost is not None and cost.expected > limit.left_usd * (1 + ABOUT):
            share = f"{100 * limit.left_usd / cost.expected:.0f}%"
            yield f"{left} will end the run before the plan's end, at about {share} of its cost"
    most, spent = budget.max_tokens, budget.spent_tokens
    expected = found.uncut.prompt_tokens.expected + found.uncut.completion_tokens.expected
    if most is not None and spent + expected > most:
        yield (
            f"generate.max_total_tokens, {most:,}, will end the run before the plan's end: "
            f"{spent:,} tokens are spent, and about {count(expected)} are to come"
        )


def _empty_warnings(view: PlanView, totals: Totals) -> Iterable[str]:
    for recipe in view.recipes:
        without = [each.document_id for each in totals.without_calls if each.recipe == recipe.name]
        if without:
            found = checks.count_without(without, len(view.documents))
            way = checks.way_out(is_linked=recipe.links_documents)
            yield f"{recipe.name}: {found}; steep {way}"


def check_plannable(settings: GenerateConfig, documents: Sequence[Document]) -> None:
    """Refuse what cannot be planned.

    Raises:
        UserError: There is no recipe, or a document exceeds the context.
    """
    if not settings.recipes:
        raise UserError(
            "There is nothing to plan.",
            where="generate.recipes",
            found="no recipe",
            expected="e.g. entigraph: {pairs: all}",
        )
    check_context(documents, settings)
