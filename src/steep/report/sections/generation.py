"""Generation: every planned call with its outcome, tokens, cost, and requests of other stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steep.core.calls import STATUSES
from steep.core.formatting import cost_of, count, duration, plural
from steep.report.charts import stacked_bar
from steep.report.components import (
    PageSection,
    absent,
    cost,
    count_table,
    facts,
    figure,
    section,
    table,
)
from steep.report.html import Child, Html, el, join
from steep.report.view_models import (
    CorpusSummary,
    Generation,
    RejectedSample,
    ReportData,
    SamplePassage,
)

OUTCOMES = {name: name.replace("_", " ") for name in (*STATUSES, "to_do")}


def generation(run: ReportData) -> PageSection:
    """Return the section."""
    title, found = "Generation", run.generation
    if found is None:
        why = absent("This run planned no calls.")
        return section("generation", title, None, why, _request_table(run))
    bar = stacked_bar(
        [(label, found.counts.get(name, 0), f"o-{name}") for name, label in OUTCOMES.items()],
        "Planned calls by outcome",
    )
    return section(
        "generation",
        title,
        f"All planned calls to {found.model}, by outcome.",
        figure(join([bar, _totals(found)]), "Planned calls by outcome."),
        facts(_spending(run, found), "facts"),
        _recipe_table(run.corpus) if run.corpus else None,
        count_table("reason for failure", "calls", found.failures) if found.failures else None,
        _request_table(run),
    )


def _totals(found: Generation) -> Html:
    """Return the totals as an equation, with a warning if it does not add up."""
    counts = found.counts
    planned, total = counts.get("planned", 0), sum(counts.get(name, 0) for name in OUTCOMES)
    terms = [
        el("span", el("i", class_=f"swatch o-{name}"), f"{count(counts.get(name, 0))} {label}")
        for name, label in OUTCOMES.items()
    ]
    wrong = el(
        "strong",
        f"These outcomes add up to {count(total)}, not {count(planned)}: "
        f"{plural(abs(planned - total), 'call')} unaccounted for.",
        class_="alarm",
    )
    sign, warning = ("=", None) if planned == total else ("\N{NOT EQUAL TO}", wrong)
    return el(
        "p", f"{count(planned)} planned {sign} ", join(terms, " + "), warning, class_="equation"
    )


def _spending(run: ReportData, found: Generation) -> Iterator[tuple[str, Child]]:
    usage, completion_tokens = found.usage, found.usage.get("completion_tokens", 0)
    yield ("completion tokens", count(completion_tokens))
    yield ("prompt tokens", count(usage.get("prompt_tokens", 0)))
    yield ("of these cached", count(usage.get("cached_tokens", 0)))
    yield ("cost", cost(found.cost_usd, own_machine=run.embedded_generator))
    yield ("wall time", duration(found.wall_s))
    if found.busy_s:
        rate = f"{completion_tokens / found.busy_s:,.1f}"
        yield ("completion tokens per second while calls were in flight", rate)


def _recipe_table(corpus: CorpusSummary) -> Html | None:
    """Return the outcome of calls as the corpus counts them."""
    kept, rejected = _call_ids(corpus.passages), _call_ids(corpus.rejected_rows)
    rows = []
    for recipe in sorted(kept.keys() | rejected.keys()):
        passages = kept.get(recipe, set())
        failed = rejected.get(recipe, set()) - passages
        rows.append((recipe, len(passages) + len(failed), len(passages), len(failed)))
    note = "As counted in the corpus: without calls still to do, with imported texts."
    headings = ("recipe", "calls", "with passages", "rejected")
    return table(headings, rows, note) if rows else None


def _call_ids(rows: Sequence[SamplePassage] | Sequence[RejectedSample]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.call_id is not None:
            found.setdefault(row.recipe, set()).add(row.call_id)
    return found


def _request_table(run: ReportData) -> Html | None:
    """Return the requests of evaluation, judges and retrieval."""
    rows = [
        (
            each.purpose,
            each.model,
            each.requests,
            each.failed,
            each.usage["prompt_tokens"],
            each.usage["completion_tokens"],
            cost_of(each.known_usd, each.unpriced),
        )
        for each in run.requests
    ]
    tokens = ("prompt tokens", "completion tokens")
    headings = ("other requests", "model", "completed", "failed", *tokens, "cost")
    note = "Requests of evaluation, judges and retrieval in the whole project."
    return table(headings, rows, note, texts=range(2)) if rows else None
