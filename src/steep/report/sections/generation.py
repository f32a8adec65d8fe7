"""Generation: every planned call with its outcome, tokens, cost, and requests of other stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steep.core.calls import STATUSES
from steep.core.formatting import UNKNOWN, cost_of, count, dollars, duration, percent, plural
from steep.report.blocks import (
    Column,
    Figure,
    PageSection,
    Part,
    Table,
    count_table,
    facts,
    table,
)
from steep.report.charts import stacked_bar
from steep.report.html import Html, el, join
from steep.report.run_data import (
    CorpusSummary,
    Generation,
    OtherRequests,
    RejectedSample,
    ReportData,
    SamplePassage,
)
from steep.report.sections.ledger import (
    endpoint_table,
    step_table,
    text_cost_table,
    usd_per_million_tokens,
    wasted_share,
)
from steep.report.sections.new_information import new_information

OUTCOMES = {name: name.replace("_", " ") for name in (*STATUSES, "to_do")}


def generation(run: ReportData) -> PageSection | None:
    """Return the section; None if nothing was asked of any model."""
    found, title = run.generation, "Generation and cost"
    others = [table for table in (endpoint_table(run), _request_table(run)) if table]
    if found is None:
        opening = "No texts were generated in this run; other requests were made."
        return PageSection("generation", title, opening, others) if others else None
    return PageSection(
        "generation",
        title,
        f"What was asked of {found.model}, what came back, and what was paid for it." + _waste(run),
        [
            Figure("Planned calls by outcome.", lambda _: _outcome_chart(found)),
            facts(_spending(run, found)),
            _part("What became of the answers", text_cost_table(run)),
            _part("Calls by recipe and step", step_table(found)),
            _recipe_table(run.corpus) if run.corpus else None,
            count_table("reason for failure", "calls", found.failures) if found.failures else None,
            new_information(found),
            Part("Endpoints and other requests", others) if others else None,
        ],
    )


def _part(heading: str, found: Table | None) -> Part | None:
    return Part(heading, [found]) if found else None


def _waste(run: ReportData) -> str:
    share = wasted_share(run)
    return "" if share is None else f" {percent(1 - share)} of the tokens of texts became passages."


def _outcome_chart(found: Generation) -> Html:
    """Return a bar above the totals as an equation, with a warning if it does not add up."""
    counts = found.counts
    parts = [(label, counts.get(name, 0), f"o-{name}") for name, label in OUTCOMES.items()]
    planned, total = counts.get("planned", 0), sum(number for _, number, _ in parts)
    terms = [
        el("span", el("i", class_=f"swatch {kind}"), f"{count(number)} {label}")
        for label, number, kind in parts
    ]
    wrong = el(
        "strong",
        f"These outcomes add up to {count(total)}, not {count(planned)}: "
        f"{plural(abs(planned - total), 'call')} unaccounted for.",
        class_="alarm",
    )
    sign, warning = ("=", None) if planned == total else ("\N{NOT EQUAL TO}", wrong)
    content = (f"{count(planned)} planned {sign} ", join(terms, " + "), warning)
    bar = stacked_bar(parts, "Planned calls by outcome")
    return join([bar, el("p", *content, class_="equation")])


def cost(cost_usd: float | None, *, own_machine: bool) -> str:
    """Return a cost; an unknown one is never zero."""
    if cost_usd is None:
        return UNKNOWN
    return f"{dollars(cost_usd)} (own machine)" if own_machine else dollars(cost_usd)


def _spending(run: ReportData, found: Generation) -> Iterator[tuple[str, str]]:
    usage, completion_tokens = found.usage, found.usage.get("completion_tokens", 0)
    yield ("completion tokens", count(completion_tokens))
    if thinking := usage.get("reasoning_tokens", 0):
        yield ("of these reasoning", count(thinking))
    yield ("prompt tokens", count(usage.get("prompt_tokens", 0)))
    yield ("of these cached", count(usage.get("cached_tokens", 0)))
    yield ("cost", cost(found.cost_usd, own_machine=run.embedded_generator))
    if usd := usd_per_million_tokens(run):
        yield ("cost per million tokens of passages", dollars(usd))
    yield ("wall time", duration(found.wall_s))
    if found.busy_s:
        rate = f"{completion_tokens / found.busy_s:,.1f}"
        yield ("completion tokens per second while calls were in flight", rate)


def _recipe_table(corpus: CorpusSummary) -> Table | None:
    """Return the outcome of calls as the corpus counts them."""
    kept, rejected = _call_ids(corpus.passages), _call_ids(corpus.rejected_rows)
    rows = []
    for recipe in sorted(kept.keys() | rejected.keys()):
        passages = kept.get(recipe, set())
        failed = rejected.get(recipe, set()) - passages
        rows.append((recipe, len(passages) + len(failed), len(passages), len(failed)))
    note = "As counted in the corpus: without calls still to do, with imported texts."
    headings = ("recipe", "calls", "with passages", "rejected")
    return Table(headings, rows, note) if rows else None


def _call_ids(rows: Sequence[SamplePassage] | Sequence[RejectedSample]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.call_id is not None:
            found.setdefault(row.recipe, set()).add(row.call_id)
    return found


def _request_table(run: ReportData) -> Table | None:
    """Return the requests of evaluation, judges and retrieval."""
    columns: tuple[Column[OtherRequests], ...] = (
        ("other requests", lambda each: each.purpose),
        ("model", lambda each: each.model),
        ("completed", lambda each: each.requests),
        ("failed", lambda each: each.failed),
        ("prompt tokens", lambda each: each.usage["prompt_tokens"]),
        ("completion tokens", lambda each: each.usage["completion_tokens"]),
        ("cost", lambda each: cost_of(each.known_usd, each.unpriced)),
    )
    note = "Requests of evaluation, judges and retrieval in the whole project."
    return table(run.requests, columns, note, texts=range(2)) if run.requests else None
