"""The ledger in tables: calls by recipe and step, what became of paid texts, and endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.calls import STATUSES
from steep.core.formatting import UNKNOWN, cost_of, count, decimal, duration, percent
from steep.report.blocks import Cell, Column, Strong, Table, table
from steep.report.run_data import Generation, ReportData
from steep.report.spending_data import EndpointSpending, StepOutcomes, TextCost

MILLION = 1e6
PASSAGES, PREPARING = "became passages", "answers that prepare texts"
ANSWERED = ("done", "refused", "truncated", "empty", "reasoning")
USAGE = {
    "prompt_tokens": "prompt tokens",
    "cached_tokens": "of these cached",
    "completion_tokens": "completion tokens",
    "reasoning_tokens": "of these reasoning",
}


# ---- calls by recipe and step --------------------------------------------------------------------


def step_table(found: Generation) -> Table | None:
    """Return the calls of each step by outcome; None in runs that did not record them."""
    if not found.by_step:
        return None
    outcomes = [
        name
        for name in (*STATUSES, "to_do")
        if any(step.counts.get(name) for step in found.by_step) or name in ("done", "to_do")
    ]
    tokens = [name for name in USAGE if any(step.usage.get(name) for step in found.by_step)]
    columns: list[Column[StepOutcomes]] = [
        ("recipe", lambda step: step.recipe),
        ("step", lambda step: step.step),
        ("planned", lambda step: step.counts["planned"]),
        *(
            (name.replace("_", " "), lambda step, name=name: step.counts.get(name, 0))
            for name in outcomes
        ),
        *((USAGE[name], lambda step, name=name: step.usage.get(name, 0)) for name in tokens),
        ("cost", lambda step: cost_of(step.known_usd, step.unpriced)),
    ]
    note = "Planned calls are the sum of the outcomes after them."
    return table(found.by_step, columns, note, texts=range(2))


# ---- what became of texts ------------------------------------------------------------------------


def text_cost_table(run: ReportData) -> Table | None:
    """Return what was paid for passages, and for all that is no training text."""
    rows = list(_text_costs(run))
    if not rows:
        return None
    total_usd = sum(each.known_usd for each in rows)
    total_tokens = sum(each.completion_tokens for each in rows)

    def share(each: TextCost) -> str:
        if total_usd:
            return percent(each.known_usd / total_usd)
        return percent(each.completion_tokens / total_tokens) if total_tokens else UNKNOWN

    columns: tuple[Column[TextCost], ...] = (
        ("answers", lambda each: _outcome(each.reason)),
        ("calls", lambda each: each.calls),
        ("completion tokens", lambda each: each.completion_tokens),
        ("cost", lambda each: cost_of(each.known_usd, each.unpriced)),
        (f"share of {'cost' if total_usd else 'tokens'}", share),
    )
    lost = run.spending.lost
    note = "A text is rejected for the first reason that applies."
    if lost.attempts:
        note += (
            f" Beside them, {count(lost.attempts)} attempts of the project returned nothing "
            f"usable: at most {count(lost.tokens)} tokens, {cost_of(lost.cost_usd, lost.unpriced)}."
        )
    return table(rows, columns, note)


def _outcome(reason: str) -> Cell:
    if not reason:
        return Strong(PASSAGES)
    return reason if reason == PREPARING else f"rejected: {reason}"


def _text_costs(run: ReportData) -> Iterator[TextCost]:
    """Yield the costs of passages, of rejected texts, and of the other answers."""
    found, outcomes = run.generation, [each for each in run.spending.outcomes if each.calls]
    yield from outcomes
    if found is None or not outcomes:
        return
    calls = sum(found.counts.get(name, 0) for name in ANSWERED)
    rest = TextCost(
        PREPARING,
        calls - sum(each.calls for each in outcomes),
        found.usage.get("completion_tokens", 0) - sum(each.completion_tokens for each in outcomes),
        max(0.0, (found.known_usd or 0.0) - sum(each.known_usd for each in outcomes)),
        max(0, found.unpriced - sum(each.unpriced for each in outcomes)),
    )
    if rest.calls > 0 and rest.completion_tokens >= 0:
        yield rest


def usd_per_million_tokens(run: ReportData) -> float | None:
    """Return all dollars of generation per million completion tokens that became passages."""
    kept = sum(each.completion_tokens for each in run.spending.outcomes if not each.reason)
    if not kept or run.generation is None or run.generation.cost_usd is None:
        return None
    return MILLION * run.generation.cost_usd / kept


def wasted_share(run: ReportData) -> float | None:
    """Return the share of the completion tokens of texts that were rejected."""
    total = sum(each.completion_tokens for each in run.spending.outcomes)
    rejected = sum(each.completion_tokens for each in run.spending.outcomes if each.reason)
    return rejected / total if total else None


# ---- endpoints -----------------------------------------------------------------------------------


def endpoint_table(run: ReportData) -> Table | None:
    """Return the use of each endpoint and model in the whole project."""
    if not run.spending.endpoints:
        return None
    columns: tuple[Column[EndpointSpending], ...] = (
        ("endpoint", lambda each: each.endpoint),
        ("model", lambda each: each.model),
        ("answered", lambda each: each.answered),
        ("failed", lambda each: each.failed),
        (("attempts", "per request"), _attempts),
        ("prompt tokens", lambda each: each.usage["prompt_tokens"]),
        ("of these cached", lambda each: each.usage["cached_tokens"]),
        ("completion tokens", lambda each: each.usage["completion_tokens"]),
        ("cost", lambda each: cost_of(each.known_usd, each.unpriced)),
        (("seconds per answer", "median / 90% / 99%"), _latency),
    )
    note = "All calls and requests of the project, of generation, evaluation, judges and retrieval."
    return table(run.spending.endpoints, columns, note, texts=range(2))


def _attempts(each: EndpointSpending) -> str:
    requests = each.answered + each.failed
    return decimal(each.attempts / requests, 2) if requests else UNKNOWN


def _latency(each: EndpointSpending) -> str:
    if not each.latency_s:
        return UNKNOWN
    return " / ".join(map(duration, each.latency_s))
