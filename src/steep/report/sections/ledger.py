"""Every planned call and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from steep.core.calls import STATUSES
from steep.core.formatting import cost_of, count, duration, plural
from steep.report.charts import stacked_bar
from steep.report.components import (
    Column,
    PageSection,
    absent,
    cost,
    facts,
    figure,
    section,
    table,
    text_column,
)
from steep.report.html import Child, Html, el, join
from steep.report.view_models import Generation, RejectedSample, ReportData, SamplePassage

OUTCOMES = (*STATUSES, "to_do")


def ledger(run: ReportData) -> PageSection:
    """Every planned call and what became of it."""
    title = "The ledger"
    generation = run.generation
    if generation is None:
        return section(
            "ledger",
            title,
            None,
            absent("This run planned no calls, so there is nothing to add up."),
            _requests(run),
        )
    opening = f"Every call that was planned for {generation.model}, by what became of it."
    parts = [(_outcome(name), generation.counts.get(name, 0), f"o-{name}") for name in OUTCOMES]
    return section(
        "ledger",
        title,
        opening,
        figure(
            join([stacked_bar(parts, "Planned calls by outcome"), _equation(generation)]),
            "Planned calls by outcome.",
        ),
        facts(_spending(run, generation), "facts"),
        _calls_by_recipe(run),
        _failures(generation),
        _requests(run),
    )


def _requests(run: ReportData) -> Html | None:
    """What servers were asked beside generation."""
    rows: list[list[Child]] = [
        [
            each["purpose"],
            each["model"],
            count(each["requests"]),
            count(each["failed"]),
            count(each["usage"]["prompt_tokens"]),
            count(each["usage"]["completion_tokens"]),
            cost_of(each["known_usd"], each["unpriced"]),
        ]
        for each in run.requests
    ]
    columns = [
        text_column("requests beside generation"),
        text_column("model"),
        *map(Column, ("completed", "failed", "tokens read", "tokens written", "cost")),
    ]
    note = "Of the whole project: what evaluations, judges and searches asked of servers."
    return table(columns, rows, note) if rows else None


def _outcome(name: str) -> str:
    return name.replace("_", " ")


def _equation(generation: Generation) -> Html:
    """The totals as an equation; one that does not add up says so."""
    counts = generation.counts
    planned, total = counts.get("planned", 0), sum(counts.get(name, 0) for name in OUTCOMES)
    terms = [
        el(
            "span",
            el("i", class_=f"swatch o-{name}"),
            f"{count(counts.get(name, 0))} ",
            _outcome(name),
        )
        for name in OUTCOMES
    ]
    sign = "=" if planned == total else "\N{NOT EQUAL TO}"
    wrong = (
        None
        if planned == total
        else el(
            "strong",
            f"These outcomes add up to {count(total)}, not {count(planned)}: "
            f"{plural(abs(planned - total), 'call')} unaccounted for.",
            class_="alarm",
        )
    )
    return el(
        "p", f"{count(planned)} planned {sign} ", join(terms, " + "), wrong, class_="equation"
    )


def _spending(run: ReportData, generation: Generation) -> list[tuple[str, Child]]:
    usage = generation.usage
    written = usage.get("completion_tokens", 0)
    rows: list[tuple[str, Child]] = [
        ("tokens written", count(written)),
        ("tokens read", count(usage.get("prompt_tokens", 0))),
        ("of them from a cache", count(usage.get("cached_tokens", 0))),
        ("cost", cost(generation.cost_usd, own_machine=run.embedded_generator)),
        ("wall time", duration(generation.wall_s)),
    ]
    if generation.busy_s:
        rate = f"{written / generation.busy_s:,.1f}"
        rows.append(("tokens written a second, while calls were under way", rate))
    return rows


def _calls_by_recipe(run: ReportData) -> Html | None:
    """What became of the calls that the corpus stage has seen."""
    if run.corpus is None:
        return None
    kept, aside = _call_ids(run.corpus.passages), _call_ids(run.corpus.rejected_rows)
    recipes = sorted(kept.keys() | aside.keys())
    rows: list[list[Child]] = []
    for recipe in recipes:
        both = kept.get(recipe, set()) | aside.get(recipe, set())
        became = len(kept.get(recipe, set()))
        rows.append([recipe, count(len(both)), count(became), count(len(both) - became)])
    columns = [
        text_column("recipe"),
        Column("calls"),
        Column("became passages"),
        Column("rejected"),
    ]
    note = (
        "As the corpus counts them: without calls still to do, with texts imported from elsewhere."
    )
    return table(columns, rows, note) if rows else None


def _call_ids(rows: Sequence[SamplePassage] | Sequence[RejectedSample]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.call_id is not None:
            found.setdefault(row.recipe, set()).add(row.call_id)
    return found


def _failures(generation: Generation) -> Html | None:
    if not generation.failures:
        return None
    rows: list[list[Child]] = [[reason, count(calls)] for reason, calls in generation.failures]
    columns = [text_column("why calls failed"), Column("calls")]
    return table(columns, rows)
